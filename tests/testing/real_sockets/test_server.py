"""Servers on real sockets, for tests that are written as those in memory are."""

from __future__ import annotations

import socketserver
from typing import Any

import pytest

import sync_backend
from sansio_server.testing.real_sockets.backends import REAL_BACKENDS
from sansio_server.testing.real_sockets.server import RealServer
from sansio_server.trace import TraceKind

EVERYWHERE = pytest.mark.parametrize("backend", sorted(REAL_BACKENDS))


class Upper(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line.upper())


class UpperDatagram(socketserver.DatagramRequestHandler):
    def handle(self) -> None:
        self.wfile.write(self.packet.upper())


class AsyncUpper(sync_backend.StreamRequestHandler):
    async def handle(self) -> None:
        async for line in self.rfile:
            await self.wfile.write(line.upper())


class Picky(socketserver.ThreadingTCPServer):
    """Serves nobody."""

    def verify_request(self, request: Any, client_address: Any) -> bool:
        return False


@EVERYWHERE
@pytest.mark.parametrize("handler", [Upper, AsyncUpper])
def test_it_serves(handler: type, backend: str) -> None:
    with RealServer(handler, backend=backend) as server:
        client = server.connect()
        client.send(b"one\ntwo\nthree")
        client.shutdown_write()
        assert client.readline() == b"ONE\n"
        assert client.recv_exactly(2) == b"TW"
        assert client.read_to_end() == b"O\nTHREE"
        assert client.address[0] == "127.0.0.1"
    assert server.server.counters.accepted == 1


@EVERYWHERE
def test_it_serves_datagrams(backend: str) -> None:
    with RealServer(UpperDatagram, socketserver.UDPServer, backend=backend) as server:
        with server.datagram_client() as client:
            client.send(b"hello")
            assert client.recv() == b"HELLO"
            assert client.address[0] == "127.0.0.1"


@pytest.mark.parametrize("backend", ["threads", "trio"])
def test_it_serves_on_unix_sockets(backend: str) -> None:
    with RealServer(Upper, sync_backend.UnixStreamServer, backend=backend) as server:
        client = server.connect()
        client.send(b"hello\n")
        assert client.readline() == b"HELLO\n"
    with RealServer(UpperDatagram, sync_backend.UnixDatagramServer, backend=backend) as datagrams:
        asking = datagrams.datagram_client()
        asking.send(b"hello")
        assert asking.recv() == b"HELLO"


@EVERYWHERE
def test_a_server_class_serves_in_the_way_of_the_backend(backend: str) -> None:
    with RealServer(Upper, Picky, backend=backend) as server:
        assert server.connect().read_to_end() == b""
    assert server.server.counters.refused == 1


def test_a_client_that_resets() -> None:
    with RealServer(Upper, backend="threads", handle_error=lambda *_: None) as server:
        client = server.connect()
        client.send(b"hello\n")
        assert client.readline() == b"HELLO\n"
        client.reset()
        report = server.drain(10.0)
    assert report.cut == ()
    errors = [event.detail for event in server.trace if event.kind is TraceKind.ERROR]
    assert [type(error) for error in errors][:1] == [ConnectionResetError]


@pytest.mark.parametrize("backend", ["threads", "trio"])
def test_a_drain_cuts_who_stays(backend: str) -> None:
    with RealServer(Upper, backend=backend, handle_error=lambda *_: None) as server:
        client = server.connect()
        client.send(b"hello\n")
        assert client.readline() == b"HELLO\n"
        report = server.drain(0.0)
        assert [straggler.client_address for straggler in report.cut] == [client.address]


def test_suspended_it_accepts_nobody() -> None:
    with RealServer(Upper) as server:
        server.suspend()
        client = server.connect()
        client.send(b"hello\n")
        server.resume()
        assert client.readline() == b"HELLO\n"


def test_a_client_waits_no_longer_than_it_may() -> None:
    with RealServer(Upper) as server:
        with pytest.raises(TimeoutError):
            server.connect().recv(timeout=0.001)


def test_what_ends_the_loop_is_raised_in_the_test() -> None:
    class Breaks(sync_backend.TCPServer):
        def service_actions(self) -> None:
            raise LookupError("gone")

    server = RealServer(Upper, Breaks, backend="inline")
    server.__enter__()
    server.connect().close()
    server._loop.join(10.0)
    with pytest.raises(LookupError, match="gone"):
        server.__exit__(None, None, None)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"backend": "smoke"}, ValueError, "backend must be one of .*, not 'smoke'"),
        ({"max_connection": 1}, TypeError, "TCPServer has no attribute 'max_connection'"),
        ({"server_class": "TCPServer"}, TypeError, "must be a class of servers, not 'TCPServer'"),
    ],
)
def test_what_cannot_be_served(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        RealServer(Upper, **arguments)
