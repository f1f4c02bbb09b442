from __future__ import annotations

import errno
import signal
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from sansio_server.lifecycle import State
from sansio_server.trace import TraceEvent, TraceKind
from sync_backend import (
    BaseServer,
    TCPServer,
    ThreadingTCPServer,
    UDPServer,
)
from tests.sync_backend.crowds import check_that_who_comes_late_waits_on
from tests.sync_backend.servers import PatientServer, Sleeps, Stay, Upper
from tests.sync_backend.support import (
    HERE,
    PATIENCE,
    Watcher,
    ask,
    connect,
    in_thread,
    read_to_end,
    running,
    visit,
)

# A server without a socket.


def test_a_base_server_makes_no_socket() -> None:
    server = BaseServer("anywhere", Upper)
    assert (server.server_address, server.RequestHandlerClass) == ("anywhere", Upper)
    assert not hasattr(server, "socket")
    server.server_activate()
    server.server_close()


class OneByOne(BaseServer):
    """Serves numbers that come through a socket pair."""

    def __init__(self) -> None:
        super().__init__(None, self.serve)
        self.inside, self.outside = socket.socketpair()
        self.served: list[int] = []

    def serve(self, request: int, client_address: str, _server: BaseServer) -> None:
        assert client_address == "outside"
        self.served.append(request)

    def fileno(self) -> int:
        return self.inside.fileno()

    def get_request(self) -> tuple[int, str]:
        return self.inside.recv(1)[0], "outside"

    def server_close(self) -> None:
        super().server_close()
        self.inside.close()
        self.outside.close()


def test_a_server_may_bring_requests_of_any_kind() -> None:
    with OneByOne() as server:
        server.outside.send(b"\1\2")
        server.handle_request()
        server.handle_request()
        assert server.served == [1, 2]
        assert (server.counters.accepted, server.counters.closed) == (2, 2)


def test_the_block_of_a_with_statement_closes_the_server() -> None:
    with TCPServer(HERE, Upper) as server:
        assert server.fileno() >= 0
    assert server.fileno() == -1


# serve_forever().


def test_clients_are_served_until_the_stop(server: PatientServer) -> None:
    with running(server):
        assert [ask(server, line) for line in (b"a\n", b"b\n")] == [b"A\n", b"B\n"]
    assert server.counters.accepted == 2


def test_a_server_serves_again_after_a_stop(server: PatientServer) -> None:
    for _ in range(3):
        with in_thread(server.serve_forever):
            assert ask(server) == b"HELLO\n"
            server.shutdown()
    assert server._lifecycle.loop is State.IDLE


def test_service_actions_are_called_in_each_turn() -> None:
    class Server(TCPServer):
        turns = 0

        def service_actions(self) -> None:
            self.turns += 1
            if self.turns == 5:
                self.shutdown()

    with Server(HERE, Upper) as server:
        server.serve_forever(poll_interval=0.001)
        assert server.turns == 5


def test_service_actions_may_be_a_coroutine_function() -> None:
    class Server(TCPServer):
        async def service_actions(self) -> None:
            self.shutdown()

    with Server(HERE, Upper) as server:
        server.serve_forever(poll_interval=0.001)


def test_without_a_poll_interval_there_are_turns_for_clients_only(sleeps: Sleeps) -> None:
    class Server(TCPServer):
        turns = 0

        def service_actions(self) -> None:
            self.turns += 1

    server = Server(HERE, Upper)
    with server, in_thread(server.serve_forever, None):
        ask(server)
        sleeps.wait_for_one()
        server.shutdown()
    assert server.turns >= 1
    assert set(sleeps.timeouts) == {None}


@pytest.mark.parametrize("kind", [TCPServer, ThreadingTCPServer, UDPServer])
def test_an_idle_server_sleeps_until_something_happens(
    kind: type[TCPServer], sleeps: Sleeps
) -> None:
    with running(kind(HERE, Stay)):
        sleeps.wait_for_one()
    assert sleeps.timeouts == [None]


def test_a_server_whose_clients_are_idle_sleeps_too(sleeps: Sleeps) -> None:
    server = ThreadingTCPServer(HERE, Stay)
    server.trace = watcher = Watcher()
    with running(server):
        clients = [connect(server) for _ in range(5)]
        watcher.wait_for(TraceKind.ENTER, "finish_request", 5)
        slept = len(sleeps.timeouts)
        for client in clients:
            client.close()
        watcher.wait_for(TraceKind.CLOSE, count=5)
        # Nor does the loop wake up when a client goes, unless it waits for room.
        assert len(sleeps.timeouts) <= slept + 1
    assert set(sleeps.timeouts) <= {None}


def test_serving_on_a_closed_socket_is_an_error(server: PatientServer) -> None:
    server.server_close()
    with pytest.raises(ValueError, match="-1"):
        server.serve_forever()
    with pytest.raises(ValueError, match="-1"):
        server.handle_request()
    assert server._lifecycle.loop is State.IDLE


def test_a_server_may_be_closed_while_it_serves(server: PatientServer) -> None:
    server.trace = watcher = Watcher()
    with in_thread(server.serve_forever):
        watcher.wait_until_serving()
        ask(server)
        server.server_close()
    assert server._lifecycle.loop is State.IDLE


def test_a_handler_may_close_the_server() -> None:
    class Last(Upper):
        def finish(self) -> None:
            super().finish()
            self.server.server_close()

    with TCPServer(HERE, Last) as server, in_thread(server.serve_forever):
        assert ask(server) == b"HELLO\n"


def test_a_socket_may_be_swapped_in_and_bound_by_hand() -> None:
    server = TCPServer(None, Upper, bind_and_activate=False)
    server.socket.close()
    server.socket = socket.create_server(HERE)
    server.server_address = server.socket.getsockname()
    with running(server):
        assert ask(server) == b"HELLO\n"


def test_an_exception_of_a_handler_does_not_end_the_loop(
    server: PatientServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.RequestHandlerClass = lambda *_: 1 / 0
    with running(server):
        assert visit(server) == b""
        assert visit(server) == b""
    assert capsys.readouterr().err.count("ZeroDivisionError") == 2
    assert server.counters.errors == 2


def test_ctrl_c_in_a_handler_ends_the_loop_and_closes_the_request(server: PatientServer) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    server.RequestHandlerClass = interrupt
    client = connect(server)
    with pytest.raises(KeyboardInterrupt):
        server.serve_forever()
    assert read_to_end(client) == b""
    assert server._lifecycle.loop is State.IDLE
    server.RequestHandlerClass = Upper
    with running(server):
        assert ask(server) == b"HELLO\n"


def test_ctrl_c_ends_the_loops_sleep(server: PatientServer) -> None:
    server.trace = watcher = Watcher()

    def press() -> None:
        watcher.wait_until_serving()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    with in_thread(press), pytest.raises(KeyboardInterrupt):
        server.serve_forever()
    with running(server):
        assert ask(server) == b"HELLO\n"


# handle_request().


def test_one_request_is_served(server: PatientServer) -> None:
    client = connect(server)
    client.sendall(b"hello\n")
    assert server.handle_request() is None
    assert read_to_end(client) == b"HELLO\n"
    assert server.timeouts == 0


def test_a_timeout_is_handled(server: PatientServer) -> None:
    server.timeout = 0
    assert server.handle_request() == "timed out"
    server.timeout = 0.001
    assert server.handle_request() == "timed out"
    assert server.timeouts == 2


def test_the_timeout_of_the_socket_counts_if_it_is_shorter(server: PatientServer) -> None:
    server.socket.settimeout(0.001)
    assert server.handle_request() == "timed out"
    server.timeout, timeout = 0.001, PATIENCE
    server.socket.settimeout(timeout)
    assert server.handle_request() == "timed out"
    assert server.socket.gettimeout() == timeout


def test_without_a_timeout_the_wait_has_no_end_of_its_own(
    server: PatientServer, sleeps: Sleeps
) -> None:
    server.timeout = None
    client = connect(server)
    client.sendall(b"hello\n")
    server.handle_request()
    assert read_to_end(client) == b"HELLO\n"
    assert sleeps.timeouts == [None, 0.0]  # and a look whether no other thread has taken the client


def test_handle_timeout_may_be_a_coroutine_function() -> None:
    class Server(TCPServer):
        timeout = 0

        async def handle_timeout(self) -> str:
            return "timed out"

    with Server(HERE, Upper) as server:
        assert server.handle_request() == "timed out"


def test_a_connection_that_fails_ends_the_wait(server: PatientServer) -> None:
    def fail() -> None:
        raise ConnectionAbortedError(errno.ECONNABORTED, "lost")

    server.get_request = fail  # type: ignore[method-assign]
    with connect(server):
        assert server.handle_request() is None
    assert server.counters.connection_errors == 1
    assert server.timeouts == 0


def test_a_kept_stop_ends_the_wait(server: PatientServer) -> None:
    server.shutdown()
    assert server.handle_request() is None
    assert server.timeouts == 0


def test_several_threads_may_wait_at_once(server: PatientServer) -> None:
    with in_thread(server.handle_request), in_thread(server.handle_request):
        assert ask(server) == b"HELLO\n"
        assert ask(server) == b"HELLO\n"
    assert server._lifecycle.loop is State.IDLE


def test_who_begins_to_wait_while_another_takes_a_client_has_the_next(
    server: PatientServer,
) -> None:
    check_that_who_comes_late_waits_on(server)


def test_a_server_may_be_closed_while_several_threads_wait_and_a_client_comes() -> None:
    for _ in range(20):
        server = PatientServer(HERE, Upper)
        server.trace = watcher = Watcher()
        with in_thread(server.handle_request), in_thread(server.handle_request):
            watcher.wait_for(TraceKind.STATE, "WAIT", 2)
            with connect(server):
                server.server_close()
        assert server._lifecycle.loop is State.IDLE


@pytest.mark.parametrize("serve", [TCPServer.serve_forever, TCPServer.handle_request])
def test_a_server_may_be_closed_while_its_listener_is_made_ready(
    serve: Callable[[TCPServer], None],
) -> None:
    class Closing(TCPServer):
        def _listener_is_dead(self) -> bool:
            dead = super()._listener_is_dead()
            self.server_close()
            return dead

    server = Closing(HERE, Upper)
    serve(server)
    assert server._lifecycle.loop is State.IDLE


# get_request().


def test_requests_are_taken_one_after_the_other_while_there_are_any(
    server: PatientServer, sleeps: Sleeps
) -> None:
    clients = [connect(server) for _ in range(5)]
    for client in clients:
        client.sendall(b"hello\n")
    with running(server):
        assert [read_to_end(client) for client in clients] == [b"HELLO\n"] * 5
    assert len(sleeps.timeouts) <= 1


def test_an_overridden_get_request_is_called_for_those_who_are_there_only() -> None:
    class Server(TCPServer):
        calls = 0

        def get_request(self) -> Any:
            self.calls += 1
            return super().get_request()

    server = Server(HERE, Upper)
    with running(server):
        for _ in range(3):
            ask(server)
    assert server.calls == 3


def test_get_request_may_be_a_coroutine_function() -> None:
    class Server(TCPServer):
        async def get_request(self) -> Any:
            return super().get_request()

    server = Server(HERE, Upper)
    with running(server):
        assert ask(server) == b"HELLO\n"


def test_an_exception_of_get_request_that_is_no_oserror_ends_the_loop(
    server: PatientServer,
) -> None:
    server.get_request = lambda: 1 / 0  # type: ignore[method-assign]
    with connect(server), pytest.raises(ZeroDivisionError):
        server.serve_forever()
    assert server._lifecycle.loop is State.IDLE


class FailingServer(TCPServer):
    """Cannot accept at first, for the reasons given."""

    errors: tuple[int, ...] = ()

    def get_request(self) -> Any:
        if self.errors:
            code, *rest = self.errors
            self.errors = tuple(rest)
            raise OSError(code, "no")
        return super().get_request()


def test_a_full_machine_is_left_alone_for_a_while(caplog: pytest.LogCaptureFixture) -> None:
    server = FailingServer(HERE, Upper)
    server.errors = (errno.EMFILE, errno.ENFILE)
    with running(server):
        assert ask(server) == b"HELLO\n"
        assert ask(server) == b"HELLO\n"
    assert server.counters.capacity_errors == 2
    began, ended = (record.getMessage() for record in caplog.records)
    assert "FailingServer on ('127.0.0.1'" in began
    assert "cannot accept" in began
    assert ended.endswith("accepts again")


def test_a_lost_connection_is_counted_and_no_more(caplog: pytest.LogCaptureFixture) -> None:
    server = FailingServer(HERE, Upper)
    server.errors = (errno.ECONNABORTED, errno.EPROTO, errno.EAGAIN, errno.EINVAL)
    with running(server):
        assert ask(server) == b"HELLO\n"
    assert server.counters.connection_errors == 3
    assert server.counters.capacity_errors == 0
    assert caplog.records == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="what shutdown() does there")
def test_a_dead_listener_ends_the_loop_with_the_error(server: PatientServer) -> None:
    server.socket.shutdown(socket.SHUT_RDWR)
    with pytest.raises(OSError, match="Invalid argument") as caught:
        server.serve_forever()
    assert caught.value.errno == errno.EINVAL


# The trace.


def test_the_trace_tells_of_all_that_happens() -> None:
    events: list[TraceEvent] = []
    with PatientServer(HERE, Upper, bind_and_activate=False) as server:
        server.trace = events.append
        server.server_bind()
        server.server_activate()
        client = connect(server)
        client.sendall(b"hello\n")
        server.handle_request()
        client.close()
    told = [(event.kind.value, event.request, event.what) for event in events]
    assert told == [
        ("begin", 0, "begin"),
        ("state", 0, "BIND"),
        ("state", 0, "ACTIVATE"),
        ("state", 0, "WAIT"),
        ("state", 0, "REQUEST"),
        ("accept", 1, "accept"),
        ("enter", 1, "verify_request"),
        ("leave", 1, "verify_request"),
        ("enter", 1, "process_request"),
        ("enter", 1, "finish_request"),
        ("bytes", 1, "in"),
        ("bytes", 1, "out"),
        ("leave", 1, "finish_request"),
        ("enter", 1, "shutdown_request"),
        ("close", 1, "close"),
        ("leave", 1, "shutdown_request"),
        ("leave", 1, "process_request"),
        ("state", 0, "CLOSE"),
    ]
    assert [event.time for event in events] == sorted(event.time for event in events)


def test_a_trace_that_fails_does_no_harm(
    server: PatientServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.trace = lambda _: 1 / 0
    client = connect(server)
    client.sendall(b"hello\n")
    server.handle_request()
    assert read_to_end(client) == b"HELLO\n"
    assert "the trace" in caplog.text
