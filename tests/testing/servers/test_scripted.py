"""Servers for tests: any handler, clients, time, stops, and what is left behind."""

from __future__ import annotations

import os
import socket
import time
from typing import Any

import pytest

from sansio_server import DatagramRequestHandler, StreamRequestHandler, TraceKind
from sansio_server.testing.scripts.faults import Fault, FaultRule
from sansio_server.testing.servers.classes import (
    TCPServer,
    ThreadingTCPServer,
    ThreadingUDPServer,
    ThreadingUnixDatagramServer,
    ThreadingUnixStreamServer,
    UDPServer,
    UnixDatagramServer,
    UnixStreamServer,
)
from sansio_server.testing.servers.scripted import ScriptedServer
from sansio_server.testing.world.errors import Deadlock, LeftBehind

STREAM = (TCPServer, UnixStreamServer, ThreadingTCPServer, ThreadingUnixStreamServer)
DATAGRAM = (UDPServer, UnixDatagramServer, ThreadingUDPServer, ThreadingUnixDatagramServer)


class Upper(StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line.upper())


class AsyncUpper(StreamRequestHandler):
    async def handle(self) -> None:
        async for line in self.rfile:
            await self.wfile.write(line.upper())


def upper(request: Any, client_address: Any, server: Any) -> None:
    while data := request.recv(100):
        request.sendall(data.upper())


async def async_upper(request: Any, client_address: Any, server: Any) -> None:
    while data := await request.recv(100):
        await request.sendall(data.upper())


class Packet(DatagramRequestHandler):
    def handle(self) -> None:
        self.wfile.write(self.packet.upper())


class AsyncPacket(DatagramRequestHandler):
    async def handle(self) -> None:
        self.wfile.write(self.packet.upper())


@pytest.mark.parametrize("server_class", STREAM)
@pytest.mark.parametrize("handler", [Upper, AsyncUpper, upper, async_upper])
@pytest.mark.parametrize("seed", [None, 1])
def test_streams(handler: Any, server_class: Any, seed: int | None) -> None:
    with ScriptedServer(handler, server_class, seed=seed) as server:
        client = server.connect()
        client.send(b"hello\n")
        assert client.readline() == b"HELLO\n"
        client.send(b"again")
        client.shutdown_write()
        assert client.read_to_end() == b"AGAIN"
        assert client.closed_by_server
    assert server.errors == []
    assert server.server.counters.closed == 1


@pytest.mark.parametrize("server_class", DATAGRAM)
@pytest.mark.parametrize("handler", [Packet, AsyncPacket])
def test_datagrams(handler: Any, server_class: Any) -> None:
    with ScriptedServer(handler, server_class) as server:
        one, other = server.datagram_client(), server.datagram_client()
        one.send(b"one")
        other.send(b"other")
        assert (one.recv(), other.recv()) == (b"ONE", b"OTHER")
        with pytest.raises(TimeoutError):
            one.recv(timeout=5.0)
        assert server.now == 5.0


def test_nothing_of_the_system_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a socket, a sleep or a fork")

    monkeypatch.setattr(socket.socket, "__init__", refuse)
    monkeypatch.setattr(socket, "socketpair", refuse)
    monkeypatch.setattr(time, "sleep", refuse)
    monkeypatch.setattr(os, "fork", refuse)
    monkeypatch.setattr(os, "pipe", refuse)
    test_streams(Upper, ThreadingTCPServer, None)
    test_datagrams(Packet, UDPServer)


def test_plain_servers_serve_one_at_a_time() -> None:
    with ScriptedServer(Upper) as server:
        first, second = server.connect(), server.connect()
        first.send(b"first\n")
        second.send(b"second\n")
        assert first.readline() == b"FIRST\n"
        with pytest.raises(Deadlock, match="loop waits for bytes from client 1"):
            second.readline()
        first.close()
        assert second.readline() == b"SECOND\n"


def test_threading_servers_serve_side_by_side() -> None:
    with ScriptedServer(Upper, ThreadingTCPServer) as server:
        first, second = server.connect(), server.connect()
        second.send(b"second\n")
        assert second.readline() == b"SECOND\n"
        first.send(b"first\n")
        assert first.readline() == b"FIRST\n"


def test_receiving() -> None:
    with ScriptedServer(upper) as server:
        client = server.connect()
        client.send(b"abcdef\nrest")
        assert client.recv(2) == b"AB"
        assert client.recv_exactly(3) == b"CDE"
        assert client.readline() == b"F\n"
        assert not client.closed_by_server
        client.shutdown_write()
        assert client.recv_exactly(100) == b"REST"
        assert client.readline() == client.recv() == b""


def test_a_reset_reaches_the_handler() -> None:
    with ScriptedServer(upper) as server:
        client = server.connect()
        server.run()
        client.reset()
        server.run()
        assert [type(error) for error in server.errors] == [ConnectionResetError]


def test_a_timeout_of_the_handler_is_on_the_worlds_clock() -> None:
    class Impatient(Upper):
        timeout = 30.0

    with ScriptedServer(Impatient) as server:
        client = server.connect()
        closed = []
        for seconds in (29.0, 1.0):
            server.advance(seconds)
            closed.append(client.closed_by_server)
        assert closed == [False, True]
    assert [type(error) for error in server.errors] == [TimeoutError]


@pytest.mark.parametrize("server_class", [TCPServer, ThreadingTCPServer])
def test_request_timeout(server_class: Any) -> None:
    with ScriptedServer(Upper, server_class, request_timeout=10.0) as server:
        client = server.connect()
        assert client.read_to_end(timeout=60.0) == b""
        assert server.now == 10.0
        assert server.server.counters.cut == 1


def test_limits_wait() -> None:
    with ScriptedServer(Upper, ThreadingTCPServer, max_connections=1) as server:
        first, second = server.connect(), server.connect()
        second.send(b"second\n")
        with pytest.raises(Deadlock):
            second.readline()
        first.close()
        assert second.readline() == b"SECOND\n"


def test_limits_shed() -> None:
    with ScriptedServer(Upper, ThreadingTCPServer, max_connections=1, when_full="shed") as server:
        server.connect()
        second = server.connect()
        assert second.read_to_end() == b""
        assert server.server.counters.shed == 1


def test_a_full_backlog_lets_clients_wait() -> None:
    with ScriptedServer(Upper, request_queue_size=1, serve=False) as server:
        server.connect()
        with pytest.raises(TimeoutError):
            server.connect(timeout=1.0)
        with pytest.raises(Deadlock, match="room in the backlog"):
            server.connect()


def test_suspend_and_resume() -> None:
    with ScriptedServer(Upper) as server:
        server.suspend()
        client = server.connect()
        client.send(b"hello\n")
        server.advance(100.0)
        assert server.server.counters.accepted == 0
        server.resume()
        assert client.readline() == b"HELLO\n"


def test_drain_tells_who_was_stuck_where() -> None:
    with ScriptedServer(Upper, ThreadingTCPServer) as server:
        quick, mute = server.connect(), server.connect()
        server.run()
        server.world.call_at(1.0, quick.close)
        report = server.drain(5.0)
        assert len(report.finished) == len(report.cut) == 1
        assert report.seconds == 5.0
        assert "in handle" in report.cut[0].where
        assert report.cut[0].ended
        assert mute.read_to_end() == b""


def test_a_handler_may_stop_its_server() -> None:
    class Stops(Upper):
        def handle(self) -> None:
            self.server.shutdown()
            self.wfile.write(b"bye\n")

    for server_class in (TCPServer, ThreadingTCPServer):
        with ScriptedServer(Stops, server_class) as server:
            client = server.connect()
            assert client.read_to_end() == b"bye\n"
            server.shutdown()
            with pytest.raises(Deadlock):
                server.connect().recv()


def test_handle_request() -> None:
    with ScriptedServer(Upper, serve=False, timeout=3.0) as server:
        client = server.connect()
        client.send(b"one\n")
        client.shutdown_write()
        server.server.handle_request()
        assert client.read_to_end() == b"ONE\n"
        server.server.handle_request()
        assert server.now == 3.0


def test_faults_that_are_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    faults = [Fault("thread", "fail", nth=2), Fault("recv", "one-byte"), Fault("accept", "EMFILE")]
    with ScriptedServer(upper, ThreadingTCPServer, faults=faults) as server:
        first, second, third = (server.connect() for _ in range(3))
        for client in (first, third):
            client.send(b"xy")
        assert first.recv_exactly(2, timeout=5.0) == b"XY"
        assert second.read_to_end() == b""
        assert third.recv_exactly(2) == b"XY"
        assert server.now > 0  # who has no descriptors left waits before it accepts again
        told = [moment.detail for moment in server.timeline if moment.what == "fault"]
        assert told == ["accept EMFILE", "thread fail", "recv one-byte"]
        assert [str(error) for error in server.errors] == ["can't start new thread"]
    assert "can't start new thread" in capsys.readouterr().err


def test_rules_draw_from_the_seed() -> None:
    def timeline(seed: int | None) -> list[Any]:
        rules = [FaultRule("recv", "one-byte", 0.5)]
        with ScriptedServer(upper, faults=rules, seed=seed) as server:
            client = server.connect()
            client.send(b"hello")
            client.shutdown_write()
            assert client.read_to_end() == b"HELLO"
        return server.timeline

    assert timeline(1) == timeline(1) != timeline(2)
    assert timeline(None) == timeline(None)


def test_faults_must_be_faults() -> None:
    with pytest.raises(TypeError, match="of Fault and FaultRule, not 'EMFILE'"):
        ScriptedServer(Upper, faults=["EMFILE"])  # type: ignore[list-item]


def test_attributes_must_exist() -> None:
    with pytest.raises(TypeError, match="TCPServer has no attribute 'max_connection'"):
        ScriptedServer(Upper, max_connection=1)


def test_time_does_not_go_back() -> None:
    with ScriptedServer(Upper) as server, pytest.raises(ValueError, match="not -1"):
        server.advance(-1)


def test_what_is_left_behind_is_told() -> None:
    class Waits(Upper):
        def handle(self) -> None:
            self.server.world.wait()

    with (
        pytest.raises(LeftBehind, match=r"(?s)request 1.*in handle"),
        ScriptedServer(Waits, ThreadingTCPServer, daemon_threads=True) as server,
    ):
        let_in(server)


def let_in(server: ScriptedServer) -> None:
    server.connect()
    server.run()


def divide_by_zero(server: ScriptedServer) -> None:
    let_in(server)
    raise ZeroDivisionError


def test_an_error_of_the_test_is_told_before_what_is_left() -> None:
    class Waits(Upper):
        def handle(self) -> None:
            self.server.world.wait()

    with pytest.raises(ZeroDivisionError), ScriptedServer(Waits, ThreadingTCPServer) as server:
        divide_by_zero(server)


def test_a_loop_that_fails_fails_the_test() -> None:
    class Raises(TCPServer):
        def service_actions(self) -> None:
            raise KeyError("service")

    with pytest.raises(KeyError), ScriptedServer(Upper, Raises) as server:
        let_in(server)


def test_the_trace_and_the_timeline_tell_what_happened() -> None:
    own: list[Any] = []

    class Tells(TCPServer):
        trace = staticmethod(own.append)

    with ScriptedServer(upper, Tells) as server:
        client = server.connect()
        client.send(b"x")
        assert client.recv() == b"X"
    assert own[-10:] == server.trace[-10:]
    moved = [event.what for event in server.trace if event.kind is TraceKind.BYTES]
    assert moved == ["in", "out", "in"]
    told = [(m.actor, m.what) for m in server.timeline]
    for one in [("client 1", "connect"), ("loop", "accept"), ("request 1", "send")]:
        assert one in told
    assert "client 1     recv b'X'" in str(server)


def test_a_hundred_requests_take_little_time() -> None:
    with ScriptedServer(Upper, ThreadingTCPServer) as server:
        for _ in range(100):
            with server.connect() as client:
                client.send(b"hello\n")
                assert client.readline() == b"HELLO\n"
    assert server.server.counters.closed == 100
    assert server.now == 0.0
