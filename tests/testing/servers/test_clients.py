"""Clients: what they receive of what comes, on any socket; and clients in a world.

Real sockets here, since these clients are used with them, too.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest

from sansio_server import BaseRequestHandler
from sansio_server.testing import (
    Client,
    DatagramClient,
    Deadlock,
    ScriptedServer,
    ThreadingTCPServer,
    UDPServer,
    UnixDatagramServer,
    UnixStreamServer,
    World,
)
from sansio_server.testing.servers.clients import PacketClient, StreamClient
from sansio_server.testing.sockets.base import AF_UNIX

SHORT = 0.01
LONG = 30.0


@attrs.frozen
class Real:
    """A client on a real socket, and the other end."""

    client: StreamClient
    peer: socket.socket


@pytest.fixture
def real() -> Iterator[Real]:
    ours, theirs = socket.socketpair()
    with StreamClient(ours, LONG) as client, theirs:
        yield Real(client, theirs)


def test_lines_and_counts_are_taken_of_what_came_at_once(real: Real) -> None:
    real.peer.sendall(b"one\ntwo\nthree")
    real.peer.shutdown(socket.SHUT_WR)
    assert real.client.readline() == b"one\n"
    assert real.client.recv_exactly(2) == b"tw"
    assert real.client.recv(1) == b"o"
    assert real.client.readline() == b"\n"
    assert real.client.read_to_end() == b"three"
    assert real.client.recv() == real.client.readline() == real.client.recv_exactly(1) == b""


def test_what_ends_early_is_returned_as_far_as_it_came(real: Real) -> None:
    real.peer.sendall(b"abc")
    real.peer.close()
    assert real.client.recv_exactly(100) == b"abc"


def test_a_line_without_an_end(real: Real) -> None:
    real.peer.sendall(b"abc")
    real.peer.close()
    assert real.client.readline() == b"abc"


def test_no_more_is_received_than_asked_for(real: Real) -> None:
    real.peer.sendall(b"abcdef")
    assert real.client.recv(2) == b"ab"
    assert real.client.socket.recv(100) == b"cdef"  # it was left in the socket


def test_half_closing(real: Real) -> None:
    real.client.send(b"hello")
    real.client.shutdown_write()
    assert real.peer.recv(100) == b"hello"
    assert real.peer.recv(100) == b""
    real.peer.sendall(b"reply")
    assert real.client.recv() == b"reply"


def test_a_timeout_goes_before_patience(real: Real) -> None:
    with pytest.raises(TimeoutError):
        real.client.recv(timeout=SHORT)
    patient = StreamClient(real.client.socket, SHORT)
    with pytest.raises(TimeoutError):
        patient.readline()
    real.peer.sendall(b"x\n")
    assert patient.readline(timeout=LONG) == b"x\n"


def test_packets_on_real_sockets() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server,
        PacketClient(
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM), ("127.0.0.1", 0), SHORT
        ) as lonely,
    ):
        server.bind(("127.0.0.1", 0))
        with PacketClient(lonely.socket.dup(), server.getsockname(), LONG) as client:
            client.send(b"hello")
            data, address = server.recvfrom(100)
            server.sendto(data.upper(), address)
            assert client.recv() == b"HELLO"
            assert address[1] == client.address[1]
        with pytest.raises(TimeoutError):
            lonely.recv()


class Echo(BaseRequestHandler):
    def handle(self) -> None:
        if isinstance(self.request, tuple):
            data, sock = self.request
            sock.sendto(data, self.client_address)
            return
        while data := self.request.recv(100):
            self.request.sendall(data)


@pytest.mark.parametrize("server_class", [None, UnixStreamServer])
def test_in_a_world(server_class: Any) -> None:
    with ScriptedServer(Echo, *filter(None, [server_class])) as server:
        client = server.connect()
        assert client.name == "client 1"
        closed = [client.closed_by_server]
        client.send(b"hello")
        assert client.recv() == b"hello"
        with pytest.raises(Deadlock):
            client.recv()
        with pytest.raises(TimeoutError):
            client.recv(timeout=3.0)
        assert server.now == 3.0
        client.shutdown_write()
        assert [*closed, client.closed_by_server] == [False, True]
        assert client.read_to_end() == b""
        client.close()
        client.close()


def test_a_reset_is_told_to_the_server_and_to_nobody_else() -> None:
    with ScriptedServer(Echo) as server:
        with server.connect() as client:
            client.send(b"hello")
            client.reset()
        server.run()
        assert [type(error) for error in server.errors] == [ConnectionResetError]
        other = server.connect()
        other.send(b"x")
        assert other.recv() == b"x"


def test_a_server_that_breaks_the_connection_has_closed_it() -> None:
    class Leaves(Echo):
        def handle(self) -> None:
            self.request.close()  # with bytes unread

    with ScriptedServer(Leaves) as server:
        client = server.connect()
        client.send(b"hello")
        assert client.closed_by_server
        with pytest.raises(ConnectionResetError):
            client.recv()


def test_nobody_listens() -> None:
    with World() as world, Client(world, "client 1") as client:
        assert not client.closed_by_server
        with pytest.raises(ConnectionRefusedError):
            client.connect(("127.0.0.1", 80))


@pytest.mark.parametrize("server_class", [UDPServer, UnixDatagramServer])
def test_datagrams_in_a_world(server_class: Any) -> None:
    with ScriptedServer(Echo, server_class) as server:
        client = server.datagram_client()
        client.send(b"hello")
        assert client.recv(size=4) == b"hell"  # the rest of a datagram is lost, as ever
        client.send(b"again")
        assert client.recv() == b"again"
        assert client.name == "client 1"


def test_a_unix_client_of_datagrams_can_be_answered() -> None:
    with World() as world, DatagramClient(world, "client 7", "/server", AF_UNIX) as client:
        assert client.address == "\0client 7"


class Trickles(BaseRequestHandler):
    """Sends a byte a second, and a line feed at the end."""

    def handle(self) -> None:
        for byte in (b"a", b"b", b"c", b"\n"):
            time.sleep(1.0)
            self.request.sendall(byte)


class Says(BaseRequestHandler):
    def handle(self) -> None:
        self.request.sendall(b"hello")
        self.request.recv(1)


@pytest.mark.parametrize(
    "wait", [Client.readline, Client.read_to_end, lambda client, t: client.recv_exactly(3, t)]
)
def test_a_timeout_is_for_all_of_an_answer(wait: Callable[[Client, float], bytes]) -> None:
    with ScriptedServer(Trickles, ThreadingTCPServer) as server:
        client = server.connect()
        with pytest.raises(TimeoutError):
            wait(client, 2.5)
        assert server.now == 2.5
        assert client.recv() == b"ab"
        assert client.readline(2.0) == b"c\n"
        assert client.read_to_end() == b""


def test_no_time_is_for_what_is_there_already() -> None:
    with ScriptedServer(Says, ThreadingTCPServer) as server:
        client = server.connect()
        server.run()
        assert client.recv(timeout=0.0) == b"hello"
        with pytest.raises(TimeoutError):
            client.recv(timeout=0.0)
        assert server.now == 0.0
