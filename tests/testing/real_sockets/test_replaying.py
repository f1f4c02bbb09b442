"""The same scripts on real sockets, with every backend.

Real sockets, since that is what is shown: that what clients see in memory they see there, too.
"""

from __future__ import annotations

from typing import Any

import pytest

from sansio_server.testing.real_sockets.backends import REAL_BACKENDS
from sansio_server.testing.real_sockets.replaying import replay
from sansio_server.testing.runs.run import Run
from sansio_server.testing.scripts.actions import (
    Action,
    Close,
    CloseServer,
    Connect,
    Drain,
    Expect,
    ReceiveDatagram,
    ReceiveLine,
    ReceiveToEnd,
    Resume,
    Send,
    SendDatagram,
    Shutdown,
    Suspend,
    Wait,
)
from tests.testing import replayed
from tests.testing.replayed import STREAM, messages, one


@pytest.mark.parametrize("backend", REAL_BACKENDS)
def test_a_script_on_every_backend(backend: str) -> None:
    result = replay(STREAM, replayed.Upper, backend=backend)
    assert messages(result) == []
    assert result.left_out == ()
    first, second, third = result.run.clients
    assert first.replies == (b"HELLO\n", b"WOR", b"LD\n")
    assert second.replies == (b"X\n", b"")
    assert (third.replies, third.error) == ((), "")
    if REAL_BACKENDS[backend].sees_all:
        # One that breaks off at once may be gone before it is accepted.
        counters = result.run.counters
        assert counters.accepted == counters.closed in {2, 3}


@pytest.mark.parametrize("backend", ["inline", "threads", "forks", "trio", "trio-threads"])
def test_an_asynchronous_handler(backend: str) -> None:
    result = replay(STREAM, replayed.UpperAsync, backend=backend)
    assert messages(result) == []
    assert result.run.clients[0].received == b"HELLO\nWORLD\n"


@pytest.mark.parametrize("backend", ["inline", "threads", "forks", "trio", "trio-threads"])
def test_datagrams(backend: str) -> None:
    script = one(SendDatagram(b"a"), ReceiveDatagram(), SendDatagram(b"b"), Expect(b"B"), Close())
    result = replay(script, replayed.UpperDatagram, backend=backend)
    assert messages(result) == []
    assert result.run.clients[0].replies == (b"A", b"B")


def test_unix_sockets() -> None:
    script = one(Connect(), Send(b"a\n"), ReceiveLine())
    result = replay(script, replayed.Upper, server_class=replayed.UnixServer)
    assert result.run.clients[0].replies == (b"A\n",)
    packets = one(SendDatagram(b"a"), ReceiveDatagram())
    result = replay(packets, replayed.UpperDatagram, server_class=replayed.UnixPackets)
    assert result.run.clients[0].replies == (b"A",)
    assert messages(result) == []


def test_what_a_client_did_not_expect_is_found() -> None:
    script = one(Connect(), Send(b"ab"), Wait(0.05), Send(b"cd"), Expect(b"ABCD"))
    assert messages(replay(script, replayed.OneRecv)) == [
        "replies as expected: client 1 got b'AB', not b'ABCD'"
    ]


def test_what_a_handler_raises_is_found() -> None:
    (message,) = messages(replay(one(Connect(), ReceiveToEnd()), replayed.Raises))
    raised = "no errors: finish_request of request 1 raised ValueError: on purpose"
    assert message.startswith(f"{raised}, in handle (replayed.py:")


def test_who_waits_for_ever_is_found() -> None:
    script = one(Connect(), Send(b"a"), ReceiveLine())
    result = replay(script, replayed.Mute, patience=0.3)
    assert result.run.findings[0].invariant == "ends"
    assert "client 1: ReceiveLine(timeout=None) waited for 0.3 s" in result.run.stuck


def test_a_client_may_give_up_before() -> None:
    script = one(Connect(), Send(b"a"), ReceiveLine(timeout=0.05))
    result = replay(script, replayed.Mute)
    assert result.run.clients[0].error == "TimeoutError"
    assert messages(result) == []


@pytest.mark.parametrize("backend", ["threads", "trio", "trio-threads"])
@pytest.mark.parametrize(
    "actions",
    [
        (CloseServer(),),
        (Drain(5.0),),
        (Shutdown(), CloseServer()),
        (Suspend(), Resume(), Shutdown(), Drain(None)),
    ],
)
def test_what_an_operator_asks_for(backend: str, actions: tuple[Action, ...]) -> None:
    result = replay(one(*actions), replayed.Upper, backend=backend)
    assert messages(result) == []
    assert result.run.closing < 10


@pytest.mark.parametrize("backend", ["inline", "trio"])
def test_a_client_that_comes_too_late_sees_the_error(backend: str) -> None:
    script = one(CloseServer(), Connect(), ReceiveLine())
    seen = replay(script, replayed.Upper, backend=backend).run.clients[0]
    assert seen.error == "ConnectionRefusedError"


def test_a_server_class_and_attributes() -> None:
    script = one(Connect(), ReceiveToEnd())
    result = replay(script, replayed.Upper, server_class=replayed.Refusing)
    assert result.run.counters.refused == 1
    result = replay(script, replayed.Upper, attributes={"request_timeout": 0.05})
    assert result.run.counters.cut == 1


def test_own_invariants() -> None:
    def nobody_comes(run: Run) -> str:
        return f"{run.counters.accepted} came"

    result = replay(one(Connect()), replayed.Upper, invariants=[nobody_comes])
    assert messages(result) in (["nobody comes: 1 came"], ["nobody comes: 0 came"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backend": "asyncio"}, "backend must be one of inline, threads, .*, not 'asyncio'"),
        ({"patience": 0}, "patience must be more than 0 seconds, not 0"),
    ],
)
def test_what_cannot_be_asked_for(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replay(STREAM, replayed.Upper, **arguments)
