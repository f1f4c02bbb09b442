"""The loop of blocking servers on trio: how it ends, and what it takes on.

Real sockets and signals: what is tested is that the loop that trio runs is woken and ends.
"""

from __future__ import annotations

import contextlib
import errno
import signal
import socket
import threading
from typing import Any

import pytest
import trio

from sansio_server.lifecycle import State
from sansio_server.trace import TraceEvent, TraceKind
from tests.sync_backend.crowds import check_that_who_comes_late_waits_on
from tests.sync_backend.support import (
    HERE,
    PATIENCE,
    Watcher,
    ask,
    connect,
    in_thread,
    read_to_end,
    running,
)
from tests.trio_backend.blocking_servers import NAMES, WHERE, Stay, Upper, connect_to, server_class
from trio_backend import blocking

# Stopping.


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("name", NAMES)
def test_a_stop_comes_back_when_nobody_is_let_in_any_more(name: str, where: str) -> None:
    with server_class(name, where)(HERE, Upper) as server:
        with in_thread(server.serve_forever):
            assert ask(server) == b"HELLO\n"
            server.shutdown()
            assert server._lifecycle.loop is State.IDLE
            assert server._control.loops == ()


def test_in_threads_the_loop_ends_and_the_close_waits_for_handlers() -> None:
    with connect_to(server_class("ThreadingTCPServer", "threads")(HERE, Upper)) as (server, client):
        with in_thread(server.serve_forever):
            client.sendall(b"one\n")
            assert client.recv(100) == b"ONE\n"
            server.shutdown()
        with in_thread(server.server_close) as closing:
            client.sendall(b"two\n")
            assert client.recv(100) == b"TWO\n"
            assert closing.is_alive()
            client.close()


def test_in_greenlets_the_stop_comes_back_and_the_loop_waits_for_handlers() -> None:
    with connect_to(server_class("ThreadingTCPServer", "greenlets")(HERE, Upper)) as (
        server,
        client,
    ):
        with in_thread(server.serve_forever) as serving:
            client.sendall(b"one\n")
            assert client.recv(100) == b"ONE\n"
            server.shutdown()
            client.sendall(b"two\n")
            assert client.recv(100) == b"TWO\n"
            assert serving.is_alive()
            client.close()
        server.server_close()


def test_daemons_in_greenlets_end_with_the_loop() -> None:
    daemon_class = server_class("ThreadingTCPServer", "greenlets", daemon_threads=True)
    with connect_to(daemon_class(HERE, Upper)) as (server, client):
        with in_thread(server.serve_forever):
            client.sendall(b"one\n")
            assert client.recv(100) == b"ONE\n"
            server.shutdown()
        assert client.recv(100) == b""


@pytest.mark.parametrize("where", WHERE)
def test_handlers_that_do_not_end_are_cut_and_told_of(where: str) -> None:
    cls = server_class("ThreadingTCPServer", where, drain_timeout=0.01)
    with connect_to(cls(HERE, Stay)) as (server, client):
        server.trace = watcher = Watcher()
        with in_thread(server.serve_forever):
            watcher.wait_for(TraceKind.ENTER, "finish_request")
            server.shutdown()
        server.server_close()
        assert client.recv(1) == b""
        [straggler] = server.drain_report.cut
        assert straggler.ended
        assert "self.request.recv(1)" in straggler.where
        assert server.drain(0).cut == ()
        assert server.drain_report.cut == ()


def test_asynchronous_handlers_that_do_not_end_are_cancelled() -> None:
    class Sleeps(blocking.BaseRequestHandler):
        async def handle(self) -> None:
            await trio.sleep_forever()

    for name in NAMES:
        cls = server_class(name, "greenlets", request_timeout=0.01)
        with connect_to(cls(HERE, Sleeps)) as (server, client), running(server):
            assert client.recv(1) == b""
            assert server.counters.cut == 1


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("name", NAMES)
def test_requests_that_are_overdue_are_cut(name: str, where: str) -> None:
    cls = server_class(name, where, request_timeout=0.01)
    with connect_to(cls(HERE, Stay)) as (server, client), running(server):
        assert client.recv(1) == b""
        assert server.counters.cut == 1


@pytest.mark.parametrize("where", WHERE)
def test_a_drain_from_another_thread_knows_where_a_greenlet_is(where: str) -> None:
    with connect_to(server_class("TCPServer", where)(HERE, Stay)) as (server, client):
        server.trace = watcher = Watcher()
        with in_thread(server.serve_forever):
            watcher.wait_for(TraceKind.ENTER, "finish_request")
            report = server.drain(0)
            assert client.recv(1) == b""
            server.shutdown()
        assert "self.request.recv(1)" in report.cut[0].where


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("name", NAMES)
def test_a_handler_may_stop_the_server(name: str, where: str) -> None:
    class Stops(blocking.BaseRequestHandler):
        def handle(self) -> None:
            self.server.shutdown()
            self.request.sendall(b"stopped")

    with server_class(name, where)(HERE, Stops) as server:
        client = connect(server)
        with in_thread(server.serve_forever):
            assert read_to_end(client) == b"stopped"


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("name", NAMES)
def test_a_handler_may_close_the_server(name: str, where: str) -> None:
    class Closes(blocking.BaseRequestHandler):
        def handle(self) -> None:
            self.server.server_close()
            self.request.sendall(b"closed")

    server = server_class(name, where)(HERE, Closes)
    client = connect(server)
    with in_thread(server.serve_forever):
        assert read_to_end(client) == b"closed"
    assert server.fileno() == -1
    server.server_close()


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("name", NAMES)
def test_another_thread_may_close_the_server_while_it_serves(name: str, where: str) -> None:
    server = server_class(name, where)(HERE, Upper)
    with in_thread(server.serve_forever):
        assert ask(server) == b"HELLO\n"
        server.server_close()
        assert server.fileno() == -1
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        server.socket.accept()
    assert caught.value.errno == errno.EBADF


@pytest.mark.parametrize("where", WHERE)
def test_the_loops_own_thread_may_close_the_server_while_it_waits(where: str) -> None:
    """In a signal handler, or a task that service_actions() has started."""

    class Server(server_class("TCPServer", where)):  # type: ignore[misc]
        def service_actions(self) -> None:
            trio.lowlevel.current_trio_token().run_sync_soon(self.server_close)

    server = Server(HERE, Upper)
    with in_thread(server.serve_forever):
        assert ask(server) == b"HELLO\n"
    assert server.fileno() == -1


def test_a_signal_handler_may_stop_the_loop() -> None:
    with server_class("TCPServer", "threads")(HERE, Upper) as server:

        def trace(event: TraceEvent) -> None:
            if event.what == "SERVE":
                signal.raise_signal(signal.SIGUSR1)

        server.trace = trace
        former = signal.signal(signal.SIGUSR1, lambda *_: server.shutdown())
        try:
            server.serve_forever()
        finally:
            signal.signal(signal.SIGUSR1, former)


@pytest.mark.parametrize("where", WHERE)
def test_a_stop_before_it_serves_is_kept(where: str) -> None:
    with server_class("TCPServer", where)(HERE, Upper) as server:
        server.shutdown()
        server.serve_forever()
        server.shutdown()
        assert server.handle_request() is None
        with running(server):
            assert ask(server) == b"HELLO\n"


@pytest.mark.parametrize("where", WHERE)
def test_it_may_serve_again(where: str) -> None:
    with server_class("ThreadingTCPServer", where)(HERE, Upper) as server:
        for _ in range(2):
            with in_thread(server.serve_forever):
                assert ask(server) == b"HELLO\n"
                server.shutdown()


@pytest.mark.parametrize("where", WHERE)
def test_a_stop_ends_the_input_of_those_who_ask_for_it(where: str) -> None:
    class Goodbye(Upper):
        stop_ends_input = True

        def finish(self) -> None:
            self.wfile.write(b"goodbye\n")
            super().finish()

    with connect_to(server_class("ThreadingTCPServer", where)(HERE, Goodbye)) as (server, client):
        with in_thread(server.serve_forever):
            client.sendall(b"one\n")
            assert client.recv(100) == b"ONE\n"
            server.shutdown()
            assert read_to_end(client) == b"goodbye\n"
            assert server.stopping.is_set()


# One request.


class Impatient(blocking.TCPServer):
    timeout: float | None = 0.01
    timeouts = 0

    def handle_timeout(self) -> str:
        self.timeouts += 1
        return "timed out"


@pytest.mark.parametrize("where", WHERE)
def test_one_request_is_served_or_none_in_time(where: Any) -> None:
    with Impatient(HERE, Upper) as server:
        server.blocking_handlers = where
        assert server.handle_request() == "timed out"
        server.timeout = PATIENCE
        with in_thread(server.handle_request):
            assert ask(server) == b"HELLO\n"
        server.timeout = 0
        assert server.handle_request() == "timed out"
        server.timeout = None
        server.socket.settimeout(0.01)
        assert server.handle_request() == "timed out"
    assert server.timeouts == 3


@pytest.mark.parametrize("where", WHERE)
def test_a_threading_server_may_serve_single_requests(where: str) -> None:
    with server_class("ThreadingTCPServer", where)(HERE, Upper) as server:
        for _ in range(2):
            with in_thread(server.handle_request):
                assert ask(server) == b"HELLO\n"


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("name", NAMES)
def test_several_threads_may_wait_for_a_request_each(name: str, where: str) -> None:
    with server_class(name, where, timeout=PATIENCE)(HERE, Upper) as server:
        with contextlib.ExitStack() as stack:
            for _ in range(3):
                stack.enter_context(in_thread(server.handle_request))
            for _ in range(3):
                assert ask(server) == b"HELLO\n"


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("name", NAMES)
def test_who_begins_to_wait_while_another_takes_a_client_has_the_next(
    name: str, where: str
) -> None:
    with server_class(name, where, timeout=PATIENCE)(HERE, Upper) as server:
        check_that_who_comes_late_waits_on(server)


def test_threads_that_wait_each_have_their_time() -> None:
    with Impatient(HERE, Upper) as server:
        with in_thread(server.handle_request), in_thread(server.handle_request):
            """Wait for the end of both."""
    assert server.timeouts == 2


# Limits.


@pytest.mark.parametrize("where", WHERE)
def test_a_full_server_lets_nobody_in_until_there_is_room(where: str) -> None:
    cls = server_class("ThreadingTCPServer", where, max_connections=1)
    with connect_to(cls(HERE, Upper)) as (server, first), running(server):
        first.sendall(b"one\n")
        assert first.recv(100) == b"ONE\n"
        with connect(server) as second:
            second.sendall(b"two\n")
            assert server.counters.accepted == 1
            first.close()
            assert second.recv(100) == b"TWO\n"


def test_limits_are_checked() -> None:
    with server_class("TCPServer", "threads")(HERE, Upper) as server:
        server.cut_timeout = -1
        for serve in (server.serve_forever, server.handle_request):
            with pytest.raises(ValueError, match="cut_timeout must be 0 seconds or more"):
                serve()
        server.cut_timeout = 1
        server.blocking_handlers = "forks"
        with pytest.raises(ValueError, match="blocking_handlers must be one of"):
            server.serve_forever()


def test_a_closed_server_does_not_serve() -> None:
    server = server_class("TCPServer", "threads")(HERE, Upper)
    server.server_close()
    with pytest.raises(ValueError, match="negative"):
        server.serve_forever()


@pytest.mark.parametrize("where", WHERE)
def test_a_listener_may_be_swapped(where: str) -> None:
    with server_class("TCPServer", where)(HERE, Upper, bind_and_activate=False) as server:
        server.socket.close()
        server.socket = socket.create_server(HERE)
        server.server_address = server.socket.getsockname()
        with running(server):
            assert ask(server) == ask(server) == b"HELLO\n"


@pytest.mark.parametrize("where", WHERE)
def test_service_actions_are_called_in_turns(where: str) -> None:
    enough = threading.Event()

    class Server(server_class("TCPServer", where)):  # type: ignore[misc]
        turns = 0

        def service_actions(self) -> None:
            self.turns += 1
            if self.turns == 3:
                enough.set()

    with Server(HERE, Upper) as server:
        with in_thread(server.serve_forever, 0.001):
            assert enough.wait(PATIENCE)
            server.shutdown()
