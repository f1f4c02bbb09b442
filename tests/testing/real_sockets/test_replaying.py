"""The same scripts on real sockets, with every backend.

Real sockets, since that is what is shown: that what clients see in memory they see there, too.
"""

from __future__ import annotations

from typing import Any

import pytest

from sansio_server.testing.real_sockets.backends import REAL_BACKENDS
from sansio_server.testing.real_sockets.replaying import Replay, replay
from sansio_server.testing.runs.run import Run
from sansio_server.testing.scripts.actions import (
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
    Resume,
    Send,
    SendDatagram,
    Shutdown,
    Suspend,
    Wait,
)
from sansio_server.testing.scripts.faults import Fault
from sansio_server.testing.scripts.script import Script
from tests.testing import replayed

STREAM = Script(
    (
        ClientScript(
            (
                Connect(),
                Send(b"he"),
                Send(b"llo\nwor"),
                ReceiveLine(),
                Send(b"ld\n"),
                ReceiveExactly(3),
                HalfClose(),
                ReceiveToEnd(),
                Close(),
            )
        ),
        ClientScript((Connect(), Send(b"x\n"), Expect(b"X\n"), HalfClose(), Receive())),
        ClientScript((Connect(), Send(b"half"), Reset()), start=0.01),
    )
)


def one(*actions: Action) -> Script:
    return Script((ClientScript(actions),))


def messages(replayed: Replay) -> list[str]:
    return [str(finding) for finding in replayed.run.findings]


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
    assert messages(replay(one(Connect(), ReceiveToEnd()), replayed.Raises)) == [
        "no errors: finish_request of request 1 raised ValueError: on purpose"
    ]


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


def test_errors_of_accepting_are_met_on_every_backend() -> None:
    for backend in ("inline", "trio"):
        script = Script(STREAM.clients, faults=(Fault("accept", "EMFILE"),))
        result = replay(script, replayed.Upper, backend=backend)
        assert messages(result) == []
        assert result.run.counters.capacity_errors == 1
        assert result.run.clients[0].received == b"HELLO\nWORLD\n"


@pytest.mark.parametrize("backend", ["inline", "threads", "trio", "trio-threads"])
@pytest.mark.parametrize("kind", ["short", "one-byte", "delay"])
def test_faults_of_reading_show_to_blocking_handlers(backend: str, kind: str) -> None:
    faults = tuple(
        Fault(point, kind, nth, "request 1") for point in ("recv", "send") for nth in range(1, 20)
    )
    script = Script(STREAM.clients[:1], faults=faults)
    result = replay(script, replayed.Upper, backend=backend)
    assert messages(result) == []
    assert result.left_out == ()
    assert result.run.clients[0].received == b"HELLO\nWORLD\n"


def test_faults_end_connections() -> None:
    cases: dict[Fault, bytes] = {
        Fault("recv", "eof", 1): b"",
        Fault("recv", "reset", 1): b"",
        Fault("send", "reset", 1, "request 1"): b"",
        Fault("recv", "one-byte", 1, "request 1"): b"H",
        Fault("recv", "short", 1, "request 1", amount=3): b"HEL",
        Fault("send", "short", 1, amount=3): b"HELLO",
    }
    for fault, received in cases.items():
        script = Script(one(Connect(), Send(b"hello"), ReceiveToEnd()).clients, faults=(fault,))
        result = replay(script, replayed.OneRecv)
        assert result.run.clients[0].received == received, fault
        assert messages(result) == []


def test_what_cannot_be_shown_is_told() -> None:
    faults = (Fault("fork", "EAGAIN"), Fault("recv", "mute"), Fault("recv", "short"))
    script = Script(STREAM.clients, faults=faults)
    assert replay(script, replayed.Upper).left_out == faults[:2]
    assert replay(script, replayed.UpperAsync, backend="trio").left_out == faults
    assert replay(script, replayed.Upper, backend="trio-greenlets").left_out == faults


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
