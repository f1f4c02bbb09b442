"""Actions and the scripts of clients: what they accept, and what they say of what they don't."""

from __future__ import annotations

import re
from typing import Any

import attrs
import pytest

from sansio_server.testing.scripts.actions import (
    ACTIONS,
    Action,
    ClientScript,
    Close,
    CloseServer,
    Connect,
    Drain,
    Expect,
    HalfClose,
    Receive,
    ReceiveDatagram,
    ReceiveExactly,
    ReceiveLine,
    ReceiveToEnd,
    Reset,
    Send,
    SendDatagram,
    Wait,
)


def test_actions_are_values() -> None:
    assert Send(b"a") == Send(b"a")
    assert len({Connect(), Connect(), Close()}) == 2
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Send(b"a").data = b"b"  # type: ignore[misc]


def test_every_action_has_its_name() -> None:
    assert all(kind.__name__ == name for name, kind in ACTIONS.items())
    assert len(ACTIONS) == 18


@pytest.mark.parametrize(
    ("kind", "value", "error", "message"),
    [
        (Send, "text", TypeError, "data must be bytes, not 'text'"),
        (Expect, None, TypeError, "data must be bytes, not None"),
        (Receive, 0, ValueError, "size must be 1 or more, not 0"),
        (ReceiveExactly, 1.5, TypeError, "size must be a whole number, not 1.5"),
        (Wait, -1, ValueError, "seconds must be 0 seconds or more, and finite, not -1"),
        (Wait, float("nan"), ValueError, "finite, not nan"),
        (Wait, True, TypeError, "seconds must be a number of seconds, not True"),
        (Drain, float("inf"), ValueError, "timeout must be 0 seconds or more, and finite"),
    ],
)
def test_what_an_action_cannot_be(
    kind: Any, value: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        kind(value)


def test_a_timeout_is_named() -> None:
    assert ReceiveLine(timeout=1.0).timeout == 1.0
    with pytest.raises(ValueError, match="timeout must be 0 seconds or more"):
        ReceiveToEnd(timeout=-1)


@pytest.mark.parametrize(
    "actions",
    [
        (),
        (Connect(), Send(b"a"), HalfClose(), ReceiveToEnd(), Close()),
        (Connect(), Close(), Connect(), Reset(), Connect()),
        (SendDatagram(b"a"), ReceiveDatagram(), Expect(b"a"), Close(), SendDatagram(b"")),
        (Connect(), Close(), SendDatagram(b"")),
        (Wait(1), CloseServer(), Drain(1.0), Drain(None)),
    ],
)
def test_what_a_client_may_do(actions: tuple[Action, ...]) -> None:
    assert ClientScript(actions).actions == actions
    assert ClientScript(list(actions)) == ClientScript(actions)


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ((Send(b"a"),), "action 1 is Send(data=b'a'), but no Connect() is before it"),
        ((Connect(), Connect()), "action 2 is Connect(), but a connection is open"),
        ((Connect(), Close(), Close()), "action 3 is Close(), but nothing is open"),
        ((Connect(), Reset(), Reset()), "action 3 is Reset(), but no Connect() is before it"),
        ((Expect(b"a"),), "but nothing is open"),
        ((Connect(), SendDatagram(b"")), "but a connection is open"),
        ((SendDatagram(b""), Connect()), "but datagrams is open"),
        ((SendDatagram(b""), Send(b"")), "no Connect() is before it"),
    ],
)
def test_what_a_client_cannot_do(actions: tuple[Action, ...], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        ClientScript(actions)


def test_only_actions_are_actions() -> None:
    with pytest.raises(TypeError, match=r"action 2 must be one of Connect, .*, not 'close'"):
        ClientScript((Connect(), "close"))  # type: ignore[arg-type]


def test_what_a_script_tells_about_itself() -> None:
    client = ClientScript((Connect(), Send(b"a"), Send(b"b")), start=1.0)
    assert client.sent == b"ab"
    assert not client.operates
    assert ClientScript((CloseServer(),)).operates
