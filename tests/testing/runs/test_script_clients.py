"""What each action of a script brings: in memory, and on real sockets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sansio_server.testing import (
    Action,
    ClientScript,
    Close,
    CloseServer,
    Connect,
    Expect,
    HalfClose,
    Receive,
    ReceiveDatagram,
    ReceiveExactly,
    ReceiveLine,
    ReceiveToEnd,
    Reset,
    Resume,
    Script,
    Seen,
    Send,
    SendDatagram,
    Shutdown,
    Suspend,
    Wait,
    play,
    replay,
)
from tests.testing.replayed import Mute, Upper, UpperDatagram


def in_memory(script: Script, handler: Callable[..., Any]) -> Seen:
    return play(script, handler).clients[0]


def on_real_sockets(script: Script, handler: Callable[..., Any]) -> Seen:
    return replay(script, handler).run.clients[0]


@pytest.mark.parametrize("played", [in_memory, on_real_sockets])
@pytest.mark.parametrize(
    ("handler", "actions", "seen"),
    [
        (Upper, (), Seen()),
        (
            Upper,
            (Connect(), Send(b"one\ntwo\nthr"), ReceiveLine(), ReceiveExactly(2), HalfClose(),
             ReceiveToEnd(), Receive(), ReceiveToEnd()),
            Seen((b"ONE\n", b"TW", b"O\nTHR", b"", b"")),
        ),
        (
            Upper,
            (Connect(), Send(b"one\n"), ReceiveExactly(4), Close(),
             Connect(), Send(b"two\n"), ReceiveLine(), Reset(),
             Connect(), Send(b"three\n"), Wait(0.001), ReceiveLine()),
            Seen((b"ONE\n", b"TWO\n", b"THREE\n")),
        ),
        (
            Upper,
            (Connect(), Send(b"one\n"), Expect(b"One\n"), Send(b"two\n"), Expect(b"Two\n")),
            Seen((b"ONE\n", b"TWO\n"), "", r"got b'ONE\n', not b'One\n'"),
        ),
        (Upper, (Suspend(), Connect(), Send(b"a\n"), Resume(), ReceiveLine()), Seen((b"A\n",))),
        (Upper, (Shutdown(), CloseServer(), Connect()), Seen((), "ConnectionRefusedError")),
        (Mute, (Connect(), Send(b"a\n"), ReceiveLine(timeout=0.01)), Seen((), "TimeoutError")),
        (
            UpperDatagram,
            (SendDatagram(b"a"), ReceiveDatagram(), SendDatagram(b"b"), Expect(b"B"), Close(),
             SendDatagram(b"c"), ReceiveDatagram()),
            Seen((b"A", b"B", b"C")),
        ),
    ],
)  # fmt: skip
def test_what_a_client_sees(
    played: Callable[[Script, Callable[..., Any]], Seen],
    handler: Callable[..., Any],
    actions: tuple[Action, ...],
    seen: Seen,
) -> None:
    assert played(Script((ClientScript(actions),)), handler) == seen
