from __future__ import annotations

import math
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from sansio_server.request import Step
from sansio_server.trace import TraceKind
from sync_backend import (
    BaseRequestHandler,
    DatagramRequestHandler,
    StreamRequestHandler,
    TCPServer,
    UDPServer,
    UnixDatagramServer,
    UnixStreamServer,
)
from sync_backend.runtime import BlockingRequest
from tests.sync_backend.support import HERE, Watcher, ask, connect, read_to_end, running, visit


class Upper(StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(self.rfile.readline().upper())


class UpperDatagram(DatagramRequestHandler):
    def handle(self) -> None:
        self.wfile.write(self.packet.upper())


class Told:
    """A handler that tells what became of its request, and how it waits for the client to go."""

    def __init__(self) -> None:
        self.outcome: object = None

    def __call__(self, request: Any, _address: Any, _server: Any) -> None:
        try:
            self.outcome = request.recv(10)
        except OSError as error:
            self.outcome = type(error)


# Kinds of sockets.


def test_a_unix_stream_server_serves(tmp_path: Path) -> None:
    server = UnixStreamServer(str(tmp_path / "socket"), Upper)
    with running(server):
        assert ask(server) == b"HELLO\n"


def test_a_datagram_server_answers_a_datagram() -> None:
    server = UDPServer(HERE, UpperDatagram)
    with running(server), connect(server) as client:
        for line in (b"one", b"two"):
            client.send(line)
            assert client.recv(10) == line.upper()
    assert server.counters.closed == 2


def test_a_unix_datagram_server_answers_who_has_a_name(tmp_path: Path) -> None:
    server = UnixDatagramServer(str(tmp_path / "server"), UpperDatagram)
    with running(server), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.settimeout(30)
        client.bind(str(tmp_path / "client"))
        client.sendto(b"hello", server.server_address)
        assert client.recv(10) == b"HELLO"


def test_who_has_no_name_gets_no_answer_and_makes_no_error(tmp_path: Path) -> None:
    with UnixDatagramServer(str(tmp_path / "server"), UpperDatagram) as server:
        with connect(server) as client:
            client.send(b"hello")
            server.handle_request()
        assert (server.counters.closed, server.counters.errors) == (1, 0)


def test_nothing_written_is_an_empty_answer() -> None:
    with UDPServer(HERE, DatagramRequestHandler) as server, connect(server) as client:
        client.send(b"hello")
        server.handle_request()
        assert client.recv(10) == b""


# The listener.


def test_serving_leaves_the_timeout_of_the_socket_alone() -> None:
    with TCPServer(HERE, Upper) as server:
        with connect(server) as client:
            client.sendall(b"hello\n")
            server.handle_request()
        assert server.socket.gettimeout() is None


def test_a_timeout_set_by_the_program_stays_in_force() -> None:
    with TCPServer(HERE, Upper) as server:
        server.socket.settimeout(30)
        with connect(server) as client:
            client.sendall(b"hello\n")
            server.handle_request()
            assert read_to_end(client) == b"HELLO\n"
        assert server.socket.gettimeout() == 30


@pytest.mark.parametrize("kind", [TCPServer, UDPServer])
def test_a_loop_does_not_wait_for_a_client_that_another_has_taken(kind: type[TCPServer]) -> None:
    class Slow(kind):  # type: ignore[misc,valid-type]
        def get_request(self) -> Any:
            server.handle_request()  # which shares the socket, and is faster
            return super().get_request()

    with kind(HERE, BaseRequestHandler) as server, connect(server) as client:
        with Slow(None, BaseRequestHandler, bind_and_activate=False) as slow:
            slow.socket.close()
            slow.socket = server.socket.dup()
            client.send(b"hello")
            slow.handle_request()
            assert (slow.counters.accepted, server.counters.accepted) == (0, 1)


def test_handlers_of_datagrams_wait_on_the_socket_as_ever() -> None:
    def ask_back(request: Any, client_address: Any, _server: Any) -> None:
        _, sock = request
        sock.sendto(b"what?", client_address)
        sock.sendto(b"you said " + sock.recv(10), client_address)

    server = UDPServer(HERE, ask_back)
    with running(server), connect(server) as client:
        client.send(b"hello")
        assert client.recv(10) == b"what?"
        client.send(b"hello!")
        assert client.recv(20) == b"you said hello!"


# Deadlines of requests that are served in the loop's own thread.


def test_a_mute_client_is_cut_in_time() -> None:
    told = Told()
    server = TCPServer(HERE, told)
    server.request_timeout = 0.02
    with running(server):
        assert visit(server) == b""
    assert told.outcome == b""
    assert server.counters.cut == 1


def test_a_request_that_was_cut_before_it_was_in_hand_ends_all_the_same() -> None:
    told = Told()
    with TCPServer(HERE, told) as server, connect(server):
        request, address = server.get_request()
        server._cut(server._place_of(request, address), "request_timeout")
        server.continue_request(Step.FINISH, request, address)
    assert told.outcome == b""


def test_a_client_who_does_not_read_is_cut_in_time() -> None:
    outcome: list[type[BaseException]] = []

    def flood(request: socket.socket, _address: Any, _server: Any) -> None:
        try:
            while True:
                request.sendall(bytes(1 << 20))
        except OSError as error:
            outcome.append(type(error))

    server = TCPServer(HERE, flood)
    server.request_timeout = 0.02
    server.trace = watcher = Watcher()
    with running(server), connect(server):
        watcher.wait_for(TraceKind.CLOSE)
    assert outcome == [BrokenPipeError]
    assert [e.detail for e in watcher.events if e.kind is TraceKind.CUT] == ["request_timeout"]


@pytest.mark.parametrize("timeout", [30.0, 1e12, math.inf])
def test_who_is_in_time_is_not_cut(timeout: float) -> None:
    server = TCPServer(HERE, Upper)
    server.request_timeout = timeout
    with running(server):
        threads = threading.active_count()
        assert ask(server) == b"HELLO\n"
    assert threading.active_count() < threads
    assert server.counters.cut == 0


def test_a_deadline_that_nobody_can_watch_is_an_error_of_the_request(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with TCPServer(HERE, Upper) as server, connect(server) as client:
        server.request_timeout = 30
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", fail)
            server.handle_request()
        assert client.recv(1) == b""
    assert "can't start new thread" in capsys.readouterr().err


def test_datagrams_have_no_deadline_that_would_cut_others() -> None:
    with UDPServer(HERE, UpperDatagram) as server, connect(server) as client:
        server.request_timeout = 0.0
        for _ in range(2):
            client.send(b"hello")
            server.handle_request()
            assert client.recv(10) == b"HELLO"


# Asynchronous handlers.


def test_an_asynchronous_handler_gets_a_socket_to_await() -> None:
    async def handle(request: Any, _address: Any, _server: Any) -> None:
        assert isinstance(request, BlockingRequest)
        await request.sendall((await request.recv(10)).upper())

    server = TCPServer(HERE, handle)
    with running(server):
        assert ask(server) == b"HELLO\n"


def test_an_asynchronous_handler_of_datagrams_gets_one_beside_the_data() -> None:
    async def handle(request: Any, client_address: Any, _server: Any) -> None:
        data, sock = request
        await sock.sendto(data.upper(), client_address)

    with UDPServer(HERE, handle) as server, connect(server) as client:
        client.send(b"hello")
        server.handle_request()
        assert client.recv(10) == b"HELLO"


# Traces.


def test_the_trace_of_a_datagram_server_tells_of_bytes() -> None:
    with UDPServer(HERE, UpperDatagram) as server, connect(server) as client:
        server.trace = watcher = Watcher()
        client.send(b"hello")
        server.handle_request()
        assert client.recv(10) == b"HELLO"
    told = [(e.what, e.detail) for e in watcher.events if e.kind is TraceKind.BYTES]
    assert told == [("in", 5), ("out", 5)]
