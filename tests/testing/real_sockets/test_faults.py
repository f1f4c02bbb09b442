"""Faults on real sockets: when they are due, and what they look like.

Real sockets, since what is shown is that a socket does what a fault says.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from typing import Any

import attrs
import pytest

import sync_backend
from sansio_server import BaseRequestHandler
from sansio_server.testing import Connect, Fault, ReceiveToEnd, Script, Send, replay
from sansio_server.testing.real_sockets.faults import FaultySocket, Injector, with_faults
from tests.testing import replayed
from tests.testing.replayed import STREAM, messages, one

LONG = 30.0


@attrs.frozen
class Pair:
    faulty: FaultySocket
    peer: socket.socket
    injector: Injector


def pair_with(*faults: Fault) -> Pair:
    ours, peer = socket.socketpair()
    ours.settimeout(LONG)
    peer.settimeout(LONG)
    injector = Injector(faults, on_connections=True)
    return Pair(FaultySocket.around(ours, injector, "request 1"), peer, injector)


@pytest.fixture
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    pair = pair_with(*request.param)
    with pair.faulty, pair.peer:
        yield pair


def with_fault(point: str, kind: str, **more: Any) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("pair", [(Fault(point, kind, **more),)], indirect=True)


def test_faults_are_due_at_their_visit() -> None:
    second, third = Fault("recv", "reset", nth=2, actor="a"), Fault("recv", "eof", nth=3)
    injector = Injector([second, third], on_connections=True)
    assert injector.at("recv", "a") is None
    assert injector.at("send", "a") is None
    assert injector.at("recv", "b") is None
    # The second of its own, the third of all.
    assert injector.at("recv", "a") is second
    assert injector.at("recv", "b") is None


def test_the_count_of_all_goes_on_beside_each_ones_own() -> None:
    fault = Fault("recv", "eof", nth=3)
    injector = Injector([fault], on_connections=True)
    assert [injector.at("recv", who) for who in "abc"] == [None, None, fault]


@pytest.mark.parametrize("on_connections", [True, False])
def test_what_cannot_be_shown_is_told(on_connections: bool) -> None:
    shown_always = Fault("accept", "EMFILE")
    shown_here = [Fault("recv", "short"), Fault("send", "reset")]
    never = [Fault("recv", "mute"), Fault("clock", "jump"), Fault("thread", "fail")]
    injector = Injector([shown_always, *shown_here, *never], on_connections=on_connections)
    expected = never if on_connections else shown_here + never
    assert injector.left_out == tuple(expected)
    assert injector.touches_connections is on_connections


@with_fault("recv", "one-byte")
def test_one_byte(pair: Pair) -> None:
    pair.peer.sendall(b"abc")
    assert pair.faulty.recv(100) == b"a"
    assert pair.faulty.recv(100) == b"bc"


@with_fault("recv", "short", amount=2)
def test_a_short_read_into_a_buffer(pair: Pair) -> None:
    pair.peer.sendall(b"abc")
    buffer = bytearray(100)
    assert pair.faulty.recv_into(buffer) == 2
    assert pair.faulty.recv_into(buffer, 1) == 1
    assert buffer[:1] == b"c"


@with_fault("recv", "short", amount=2)
def test_a_file_of_it_reads_on(pair: Pair) -> None:
    pair.peer.sendall(b"abc\n")
    with pair.faulty.makefile("rb") as file:
        assert file.readline() == b"abc\n"


@with_fault("recv", "reset")
@pytest.mark.parametrize("call", ["recv", "recv_into"])
def test_a_reset(pair: Pair, call: str) -> None:
    pair.peer.sendall(b"abc")
    with pytest.raises(ConnectionResetError):
        getattr(pair.faulty, call)(100 if call == "recv" else bytearray(100))


@with_fault("recv", "eof")
def test_an_end_is_for_good(pair: Pair) -> None:
    assert pair.faulty.recv(100) == b""
    assert pair.faulty.recv_into(bytearray(100)) == 0
    pair.faulty.sendall(b"goodbye")  # the other direction is open
    assert pair.peer.recv(100) == b"goodbye"


@with_fault("recv", "delay", amount=0.001)
def test_a_delay_takes_nothing(pair: Pair) -> None:
    pair.peer.sendall(b"abc")
    assert pair.faulty.recv(100) == b"abc"


@with_fault("send", "short", amount=2)
def test_a_short_send(pair: Pair) -> None:
    assert pair.faulty.send(b"abc") == 2
    assert pair.faulty.send(b"c") == 1
    assert pair.peer.recv(100) == b"abc"


@with_fault("send", "one-byte")
def test_sending_all_goes_on(pair: Pair) -> None:
    pair.faulty.sendall(b"abc")
    received = b""
    while len(received) < 3:
        received += pair.peer.recv(100)
    assert received == b"abc"


def test_it_takes_the_connection_over_with_its_timeout() -> None:
    pair = pair_with()
    with pair.faulty, pair.peer:
        assert pair.faulty.gettimeout() == LONG
        pair.peer.sendall(b"abc")
        assert pair.faulty.recv(100) == b"abc"


class Echo(BaseRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(100):
            self.request.sendall(data)


def test_a_server_whose_accept_fails() -> None:
    injector = Injector([Fault("accept", "ECONNABORTED")], on_connections=True)
    faulty = with_faults(sync_backend.TCPServer, injector)
    assert faulty.__name__ == "TCPServer"
    with (
        faulty(("127.0.0.1", 0), Echo) as server,
        socket.create_connection(server.server_address, LONG),
    ):
        with pytest.raises(OSError) as caught:  # noqa: PT011 - its number is looked at
            server.get_request()
        assert caught.value.errno == errno.ECONNABORTED
        request, _ = server.get_request()
        with request:
            assert not isinstance(request, FaultySocket)  # nothing is to happen to it
            assert injector.requests == 1


def test_requests_of_a_server_are_counted() -> None:
    injector = Injector([Fault("recv", "one-byte", actor="request 2")], on_connections=True)
    with with_faults(sync_backend.TCPServer, injector)(("127.0.0.1", 0), Echo) as server:
        for expected in (b"abc", b"a"):
            with socket.create_connection(server.server_address, LONG) as client:
                request, _ = server.get_request()
                with request:
                    client.sendall(b"abc")
                    assert request.recv(100) == expected


# In a replay.


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


def test_a_replay_tells_what_it_left_out() -> None:
    faults = (Fault("fork", "EAGAIN"), Fault("recv", "mute"), Fault("recv", "short"))
    script = Script(STREAM.clients, faults=faults)
    assert replay(script, replayed.Upper).left_out == faults[:2]
    assert replay(script, replayed.UpperAsync, backend="trio").left_out == faults
    assert replay(script, replayed.Upper, backend="trio-greenlets").left_out == faults
