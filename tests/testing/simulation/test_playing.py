"""One run of a script in memory: what clients see, what is told, what is left."""

from __future__ import annotations

import socketserver
import time
from typing import Any

import attrs
import pytest

import sync_backend
from sansio_server import BaseRequestHandler
from sansio_server.testing import (
    Action,
    ClientScript,
    Close,
    CloseServer,
    Connect,
    Drain,
    Expect,
    Fault,
    HalfClose,
    Receive,
    ReceiveDatagram,
    ReceiveExactly,
    ReceiveLine,
    ReceiveToEnd,
    Reset,
    Resume,
    Run,
    Script,
    Send,
    SendDatagram,
    Shutdown,
    Suspend,
    Wait,
    play,
)
from tests.testing import replayed
from tests.testing.replayed import STREAM


def one(*actions: Action, **rest: Any) -> Script:
    return Script((ClientScript(actions),), **rest)


ECHO = one(Connect(), Send(b"a\n"), ReceiveLine(), Close())


@pytest.mark.parametrize(
    "server_class",
    [sync_backend.ThreadingTCPServer, sync_backend.UnixStreamServer, sync_backend.UDPServer],
)
def test_whose_requests_they_are(server_class: type) -> None:
    streams = server_class is not sync_backend.UDPServer
    greeting = (Connect(), Close()) if streams else (SendDatagram(b"hello"),)
    clients = (ClientScript(greeting, start=2.0), ClientScript(greeting, start=1.0))
    handler = replayed.Upper if streams else replayed.UpperDatagram
    assert play(Script(clients), handler, server_class=server_class).served == {1: 2, 2: 1}


@pytest.mark.parametrize("handler", [replayed.Upper, replayed.UpperAsync])
@pytest.mark.parametrize("schedule", [None, 1, 2])
def test_what_clients_see(handler: type, schedule: int | None) -> None:
    run = play(attrs.evolve(STREAM, schedule=schedule), handler)
    assert [seen.received for seen in run.clients] == [b"HELLO\nWORLD\n", b"X\n", b""]
    assert run.counters.accepted == run.counters.closed == 3
    assert set(run.served.values()) == {1, 2, 3}
    assert (run.stuck, run.left, run.still_open, run.loop_error) == ("", (), 0, "")
    assert run.timeline
    assert run.trace


@pytest.mark.parametrize(
    "server_class",
    [
        sync_backend.TCPServer,
        socketserver.ThreadingTCPServer,
        sync_backend.ThreadingUnixStreamServer,
        replayed.Refusing,
    ],
)
def test_server_classes_of_any_backend(server_class: type) -> None:
    run = play(ECHO, replayed.Upper, server_class=server_class)
    refused = server_class is replayed.Refusing
    assert run.clients[0].replies == ((b"",) if refused else (b"A\n",))
    assert run.counters.refused == refused


def test_datagrams() -> None:
    script = one(SendDatagram(b"a"), ReceiveDatagram(), SendDatagram(b"b"), Expect(b"X"), Close())
    run = play(script, replayed.UpperDatagram)
    assert run.clients[0].replies == (b"A", b"B")
    assert run.clients[0].unexpected == "got b'B', not b'X'"
    lost = attrs.evolve(
        one(SendDatagram(b"a"), ReceiveDatagram(timeout=2.0)),
        faults=(Fault("recvfrom", "lost"),),
    )
    assert play(lost, replayed.UpperDatagram).clients[0].error == "TimeoutError"


def test_ways_to_receive() -> None:
    script = one(
        Connect(),
        Send(b"abc\ndef\n"),
        Receive(1),
        ReceiveExactly(2),
        Expect(b"\nDE"),
        HalfClose(),
        ReceiveToEnd(),
    )
    seen = play(script, replayed.Upper).clients[0]
    assert seen.replies == (b"A", b"BC", b"\nDE", b"F\n")
    assert seen.unexpected == ""


def test_a_second_connection() -> None:
    script = one(
        Connect(), Reset(), Connect(), Send(b"a\n"), ReceiveLine(), Close(), Connect(), Close()
    )
    run = play(script, replayed.Upper)
    assert run.clients[0].replies == (b"A\n",)
    assert run.served == {1: 1, 2: 1, 3: 1}


def test_time_is_virtual() -> None:
    begun = time.monotonic()
    run = play(one(Wait(3000.0), Connect()), replayed.Upper)
    assert run.seconds >= 3000
    assert time.monotonic() - begun < 60


@pytest.mark.parametrize(
    "actions",
    [
        (CloseServer(),),
        (Drain(5.0),),
        (Shutdown(), CloseServer()),
        (Suspend(), Resume(), Shutdown(), Drain(None)),
    ],
)
def test_what_an_operator_asks_for(actions: tuple[Action, ...]) -> None:
    run = play(one(*actions), replayed.Upper)
    assert (run.stuck, run.left) == ("", ())
    assert run.clients[0].error == ""


def test_a_stopped_server_that_nobody_closes_is_closed_for_those_who_wait() -> None:
    script = one(Shutdown(), Connect(), ReceiveLine())
    run = play(script, replayed.Upper)
    assert run.stuck == ""
    assert run.clients[0].error == "ConnectionResetError"


def test_a_drain_cuts_who_does_not_end() -> None:
    script = Script(
        (
            ClientScript((Connect(), Send(b"a"), ReceiveToEnd())),
            ClientScript((Drain(2.0),), start=1.0),
        )
    )
    run = play(script, replayed.Mute)
    assert run.drain is not None
    assert len(run.drain.cut) == 1
    assert run.closing == pytest.approx(2.0)
    assert run.closing_limit == 7.0
    assert run.hit == {1}


def test_who_waits_for_ever_is_told() -> None:
    run = play(one(Connect(), Send(b"a"), ReceiveLine()), replayed.Mute)
    assert "client 1" in run.stuck
    assert "recv" in run.stuck


class AtEnd(BaseRequestHandler):
    """Goes round in circles when the client sends no more."""

    def handle(self) -> None:
        line = b""
        while b"\n" not in line:
            line += self.request.recv(100)


class Later(BaseRequestHandler):
    def handle(self) -> None:
        while True:
            time.sleep(1)


def test_who_goes_round_in_circles_is_told() -> None:
    run = play(one(Connect(), Send(b"a"), Close()), AtEnd)
    assert "request 1 still moves after 5000 moments" in run.stuck
    assert "line += self.request.recv(100)" in run.stuck
    assert play(one(Connect(), Send(b"a"), Close()), Later).stuck


class RaisingLoop(sync_backend.ThreadingTCPServer):
    def service_actions(self) -> None:
        raise ValueError("on purpose")


def test_what_ends_the_loop_is_told() -> None:
    run = play(one(Connect(), Close()), replayed.Upper, server_class=RaisingLoop)
    assert run.loop_error == "ValueError: on purpose"


class RaisingClose(sync_backend.ThreadingTCPServer):
    def server_close(self) -> None:
        super().server_close()
        raise ValueError("on purpose")


def test_what_closing_raises_is_told() -> None:
    run = play(ECHO, replayed.Upper, server_class=RaisingClose)
    assert run.close_error == "ValueError: on purpose"


class Keeping(sync_backend.ThreadingTCPServer):
    def shutdown_request(self, request: Any) -> None:
        self.kept = request


def test_what_is_left_is_told() -> None:
    run = play(ECHO, replayed.Upper, server_class=Keeping)
    assert run.left == ("a socket of client 1",)


def test_attributes() -> None:
    script = one(Connect(), ReceiveToEnd())
    run = play(script, replayed.Upper, attributes={"request_timeout": 4.0})
    assert run.counters.cut == 1
    assert run.seconds == pytest.approx(4.0)
    with pytest.raises(TypeError, match="ThreadingTCPServer has no attribute 'max_conections'"):
        play(script, replayed.Upper, attributes={"max_conections": 1})


def test_faults_are_told_and_happen_again() -> None:
    faults = (Fault("accept", "EMFILE"), Fault("recv", "one-byte", 2), Fault("send", "short"))
    run = play(attrs.evolve(ECHO, faults=faults), replayed.Upper)
    assert [(fault.kind, fault.actor, fault.nth) for fault in run.faults] == [
        ("EMFILE", "loop", 1),
        ("short", "request 1", 1),
        ("one-byte", "request 1", 2),
    ]
    assert run.clients[0].replies == (b"A\n",)
    again: Run = play(run.script, replayed.Upper)
    assert again.signature() == run.signature()
