"""Children that serve; no thread is beside them."""

from __future__ import annotations

import errno
import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from sansio_server.trace import TraceEvent, TraceKind
from sync_backend import (
    ForkingMixIn,
    ForkingTCPServer,
    ForkingUDPServer,
    ForkingUnixStreamServer,
    TCPServer,
)
from tests.sync_backend.forked import (
    Server,
    Stay,
    Upper,
    exited,
    is_open,
    only_child,
    served,
    staying,
    tell,
)
from tests.sync_backend.support import (
    HERE,
    connect,
    read_to_end,
)

# Serving.


def test_a_child_serves() -> None:
    with Server(tell(lambda _: os.getpid())) as server:
        with served(server) as client:
            pid = only_child(server)
            assert client.recv(20) == str(pid).encode()
        assert pid != os.getpid()


def test_a_datagram_is_served_by_a_child() -> None:
    def answer(request: Any, client_address: Any, _server: Any) -> None:
        data, sock = request
        sock.sendto(data.upper(), client_address)

    with ForkingUDPServer(HERE, answer) as server, connect(server) as client:
        client.send(b"hello")
        server.handle_request()
        assert client.recv(10) == b"HELLO"


def test_a_unix_server_forks_too(tmp_path: Path) -> None:
    with ForkingUnixStreamServer(str(tmp_path / "socket"), Upper) as server:
        with served(server, b"hello\n") as client:
            assert client.recv(10) == b"HELLO\n"


def test_the_loop_serves_and_reaps() -> None:
    events: list[TraceEvent] = []

    def stop_when_over(event: TraceEvent) -> None:
        if event.kind is TraceKind.CLOSE:
            events.append(event)
            if len(events) == 3:
                server.shutdown()

    with Server(Upper) as server:
        server.trace = stop_when_over
        clients = [connect(server) for _ in range(3)]
        for client in clients:
            client.sendall(b"hello\n")
        # Ends once three children have been reaped, though nobody comes and no time passes.
        server.serve_forever(poll_interval=None)
        assert [read_to_end(client) for client in clients] == [b"HELLO\n"] * 3
        assert server.active_children == set()
        assert len(server._ledger) == 0


def test_the_actions_of_a_class_behind_the_mixin_are_called() -> None:
    class Behind(TCPServer):
        def service_actions(self) -> None:
            self.shutdown()

    class Acting(ForkingMixIn, Behind):
        pass

    with Acting(HERE, Upper) as server:
        server.serve_forever(poll_interval=0.001)
        assert not server._is_running()


def test_children_that_cannot_be_watched_are_reaped_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "pidfd_open")

    class Polling(Server):
        def service_actions(self) -> None:
            super().service_actions()
            if not self.active_children:
                self.shutdown()

    with Polling(Upper) as server:
        with served(server, b"hello\n"):
            server.serve_forever(poll_interval=0.001)
        assert server.counters.closed == 1


def test_the_mixin_comes_first_and_has_no_constructor() -> None:
    assert ForkingTCPServer.__mro__[1] is ForkingMixIn
    assert "__init__" not in vars(ForkingMixIn)
    assert ForkingMixIn.__mro__ == (ForkingMixIn, object)
    assert (ForkingMixIn.timeout, ForkingMixIn.max_children) == (300, 40)
    assert (ForkingMixIn.active_children, ForkingMixIn.block_on_close) == (None, True)


# Exit statuses.


@pytest.mark.parametrize(
    ("error", "status", "reported"),
    [
        (None, 0, False),
        (ValueError, 1, True),
        (SystemExit, 1, False),
        (KeyboardInterrupt, 1, False),
    ],
)
def test_a_childs_status_says_whether_all_went_well(
    error: type[BaseException] | None, status: int, reported: bool, tmp_path: Path
) -> None:
    class Told(Server):
        def handle_error(self, request: Any, client_address: Any) -> None:
            (tmp_path / "reported").touch()

    def handle(*_: Any) -> None:
        if error is not None:
            raise error

    with Told(handle) as server:
        assert read_to_end(served(server)) == b""
        assert exited(only_child(server)) == status
    assert (tmp_path / "reported").exists() is reported


# What a child has of its parent.


def test_a_child_has_no_listener() -> None:
    with Server(tell(lambda server: is_open(listener))) as server:
        listener = server.fileno()
        with served(server) as client:
            assert client.recv(10) == b"False"


def test_an_address_is_free_once_the_parent_has_closed_though_a_child_lives() -> None:
    server = Server(Stay, allow_reuse_address=True, block_on_close=False)
    with staying(server):
        server.server_close()
        again = TCPServer(server.server_address, Upper, bind_and_activate=False)
        again.allow_reuse_address = True
        with again:
            again.server_bind()
            again.server_activate()
    server.collect_children(blocking=True)


def test_a_child_of_a_datagram_server_keeps_the_socket_to_answer() -> None:
    def answer(request: Any, client_address: Any, server: Any) -> None:
        server.socket.sendto(b"answer", client_address)

    with ForkingUDPServer(HERE, answer) as server, connect(server) as client:
        client.send(b"hello")
        server.handle_request()
        assert client.recv(10) == b"answer"


def test_a_stop_in_a_child_is_the_childs_own() -> None:
    def stop(request: socket.socket, _address: Any, server: Any) -> None:
        server.shutdown()
        request.sendall(server._lifecycle.loop.name.encode())

    with Server(stop) as server:
        for _ in range(2):
            assert read_to_end(served(server)) == b"STOP_KEPT"
        assert server.counters.accepted == 2


def test_closing_in_a_child_does_no_harm_to_its_siblings() -> None:
    def close(request: socket.socket, _address: Any, server: Any) -> None:
        server.drain_timeout = 0
        server.server_close()
        request.sendall(b"closed")

    with Server(Stay) as server:
        with staying(server) as sibling:
            server.RequestHandlerClass = close
            assert read_to_end(served(server)) == b"closed"
            sibling.sendall(b"!")
            assert sibling.recv(1) == b""  # it went by itself, and was not reset
        assert [exited(pid) for pid in server.active_children or ()] == [0, 0]


def test_a_child_knows_of_no_other_request() -> None:
    with Server(Stay) as server, staying(server):
        server.RequestHandlerClass = tell(lambda server: len(server._ledger))
        assert read_to_end(served(server)) == b"1"


def test_a_childs_signals_wake_nobody() -> None:
    with Server(tell(lambda _: signal.set_wakeup_fd(-1))) as server:
        assert read_to_end(served(server)) == b"-1"


# When things go wrong.


def test_a_fork_that_fails_is_an_error_of_its_request_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    with Server(Upper) as server:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fork", fail)
            assert read_to_end(served(server)) == b""
        assert "temporarily unavailable" in capsys.readouterr().err
        assert not server.active_children
        with served(server, b"hello\n") as client:
            assert client.recv(10) == b"HELLO\n"
        assert server.counters.errors == 1


def test_an_override_may_serve_some_requests_in_place() -> None:
    class Mixed(Server):
        def process_request(self, request: Any, client_address: Any) -> Any:
            if self.counters.accepted % 2:
                return super().process_request(request, client_address)
            return TCPServer.process_request(self, request, client_address)

    with Mixed(tell(lambda _: os.getpid())) as server:
        answers = [read_to_end(served(server)) for _ in range(4)]
    assert [int(answer) == os.getpid() for answer in answers] == [False, True] * 2


def test_a_child_may_use_the_server_as_it_likes() -> None:
    # A server of its own, in the child of another: its own loop, wake-up and children.
    def serve(request: socket.socket, _address: Any, server: Any) -> None:
        with Server(Upper) as inner:
            with served(inner, b"hello\n") as client:
                request.sendall(client.recv(10))

    with Server(serve) as server:
        assert read_to_end(served(server)) == b"HELLO\n"
