"""All of ``socketserver`` with its blocking signatures, while trio does the waiting."""

from __future__ import annotations

import contextlib
import errno
import gc
import http.server
import signal
import socket
import socketserver
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from sansio_server.exceptions import SuspendedError
from sansio_server.lifecycle import State
from sansio_server.trace import TraceEvent, TraceKind
from tests.sync_backend.support import (
    HERE,
    PATIENCE,
    Thread,
    Watcher,
    ask,
    connect,
    in_thread,
    read_to_end,
    running,
)
from trio_backend import blocking

WHERE = ["threads", "greenlets"]
NAMES = ["TCPServer", "ThreadingTCPServer"]


class Upper(blocking.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line.upper())


class AsyncUpper(blocking.StreamRequestHandler):
    async def handle(self) -> None:
        async for line in self.rfile:
            await self.wfile.write(line.upper())


class Stay(blocking.BaseRequestHandler):
    """Stays until the client goes."""

    def handle(self) -> None:
        self.request.recv(1)


def server_class(name: str, where: str, **attributes: Any) -> Any:
    """Return a class of that name, whose handlers run there."""
    base = getattr(blocking, name)
    return type(name, (base,), {"blocking_handlers": where, **attributes})


@pytest.fixture
def lost(monkeypatch: pytest.MonkeyPatch) -> list[type[BaseException]]:
    """What threads raised and nobody caught."""
    errors: list[type[BaseException]] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: errors.append(args.exc_type))
    return errors


# Serving.


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("handler", [Upper, AsyncUpper])
@pytest.mark.parametrize("name", NAMES)
def test_clients_are_served(name: str, handler: Any, where: str) -> None:
    with server_class(name, where)(HERE, handler) as server, running(server):
        for _ in range(3):
            assert ask(server) == b"HELLO\n"
    assert len(server._ledger) == 0


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("name", ["UnixStreamServer", "ThreadingUnixStreamServer"])
def test_clients_of_unix_sockets_are_served(name: str, where: str, tmp_path: Path) -> None:
    with server_class(name, where)(str(tmp_path / "socket"), Upper) as server, running(server):
        assert ask(server) == b"HELLO\n"


class Shout(blocking.DatagramRequestHandler):
    def handle(self) -> None:
        self.wfile.write(self.rfile.read().upper())


class AsyncShout(blocking.DatagramRequestHandler):
    async def handle(self) -> None:
        await self.server.runtime.sleep(0)
        self.wfile.write(self.rfile.read().upper())


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("handler", [Shout, AsyncShout])
@pytest.mark.parametrize("name", ["UDPServer", "ThreadingUDPServer"])
def test_datagrams_are_answered(name: str, handler: Any, where: str) -> None:
    with server_class(name, where)(HERE, handler) as server, running(server):
        with connect(server) as client:
            client.send(b"hello")
            assert client.recv(100) == b"HELLO"


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("name", ["UnixDatagramServer", "ThreadingUnixDatagramServer"])
def test_unix_datagrams_are_answered(name: str, where: str, tmp_path: Path) -> None:
    with server_class(name, where)(str(tmp_path / "server"), Shout) as server, running(server):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.settimeout(PATIENCE)
            client.bind(str(tmp_path / "client"))
            client.sendto(b"hello", server.server_address)
            assert client.recv(100) == b"HELLO"


@pytest.mark.parametrize("where", WHERE)
def test_plain_classes_serve_one_at_a_time_and_threading_ones_do_not(where: str) -> None:
    with server_class("TCPServer", where)(HERE, Upper) as server, running(server):
        first, second = connect(server), connect(server)
        second.sendall(b"two\n")
        first.sendall(b"one\n")
        assert first.recv(100) == b"ONE\n"
        second.setblocking(False)
        with pytest.raises(BlockingIOError):
            second.recv(100)
        second.settimeout(PATIENCE)
        first.close()
        assert second.recv(100) == b"TWO\n"
        second.close()
    with server_class("ThreadingTCPServer", where)(HERE, Upper) as server, running(server):
        with connect(server), connect(server) as second:
            second.sendall(b"two\n")
            assert second.recv(100) == b"TWO\n"


def test_handlers_in_greenlets_need_no_threads() -> None:
    with server_class("ThreadingTCPServer", "greenlets")(HERE, Upper) as server, running(server):
        threads = threading.active_count()
        clients = [connect(server) for _ in range(100)]
        for client in clients:
            client.sendall(b"hello\n")
            assert client.recv(100) == b"HELLO\n"
        assert threading.active_count() == threads
        for client in clients:
            client.close()


@pytest.mark.parametrize("where", WHERE)
def test_http_of_the_standard_library(where: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(1_000_000))

    class Files(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(tmp_path))

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    with server_class("ThreadingTCPServer", where)(HERE, Files) as server, running(server):
        answer = ask(server, b"GET /file HTTP/1.0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.0 200 OK")
    assert len(answer) > 1_000_000


# Asynchronous handlers and hooks.


class Trio(blocking.StreamRequestHandler):
    """Uses trio as if it were at home."""

    async def handle(self) -> None:
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def child() -> None:
                await trio.lowlevel.checkpoint()
                with trio.move_on_after(0.001):
                    await trio.sleep_forever()
                await self.wfile.write(b"hello from trio\n")


@pytest.mark.parametrize("name", NAMES)
def test_asynchronous_handlers_in_greenlets_use_trio(name: str) -> None:
    with server_class(name, "greenlets")(HERE, Trio) as server, running(server):
        assert ask(server) == b"hello from trio\n"


@pytest.mark.parametrize("name", NAMES)
def test_asynchronous_handlers_in_threads_do_not(name: str) -> None:
    errors: list[BaseException | None] = []

    class Handler(blocking.BaseRequestHandler):
        async def handle(self) -> None:
            try:
                await trio.lowlevel.checkpoint()
            except SuspendedError as error:
                errors.append(error)

    class Quiet(server_class(name, "threads")):  # type: ignore[misc]
        def handle_error(self, request: Any, client_address: Any) -> None:
            """Say nothing."""

    with Quiet(HERE, Handler) as server, running(server):
        assert read_to_end(connect(server)) == b""
    assert len(errors) == 1


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("name", NAMES)
def test_hooks_may_be_asynchronous(name: str, where: str) -> None:
    calls: list[str] = []

    class Server(server_class(name, where)):  # type: ignore[misc]
        async def get_request(self) -> Any:
            calls.append("get")
            return super().get_request()

        async def verify_request(self, request: Any, client_address: Any) -> bool:
            calls.append("verify")
            return True

        async def finish_request(self, request: Any, client_address: Any) -> Any:
            await self.runtime.sleep(0)
            calls.append("finish")
            return super().finish_request(request, client_address)

        async def service_actions(self) -> None:
            await trio.lowlevel.checkpoint()  # the loop is trio's wherever handlers run

    with Server(HERE, Upper) as server, running(server):
        assert ask(server) == b"HELLO\n"
    assert calls == ["get", "verify", "finish"]


# Overrides.


@pytest.mark.parametrize("where", WHERE)
def test_what_runs_in_the_thread_may_be_overridden(where: str) -> None:
    calls: list[str] = []

    class Server(server_class("ThreadingTCPServer", where)):  # type: ignore[misc]
        def process_request_thread(self, request: Any, client_address: Any) -> None:
            calls.append("before")
            super().process_request_thread(request, client_address)
            calls.append("after")

    with Server(HERE, Upper) as server, running(server):
        assert ask(server) == b"HELLO\n"
    assert calls == ["before", "after"]


@pytest.mark.parametrize("handler", [Upper, AsyncUpper])
@pytest.mark.parametrize("where", WHERE)
def test_a_program_may_have_threads_of_its_own(where: str, handler: Any) -> None:
    """There a handler has a socket that blocks, wherever the others run."""
    threads: list[Thread] = []

    class Server(server_class("ThreadingTCPServer", where)):  # type: ignore[misc]
        def process_request(self, request: Any, client_address: Any) -> None:
            thread = Thread(self.process_request_thread, request, client_address)
            threads.append(thread)
            thread.start()

    with Server(HERE, handler) as server, running(server):
        assert ask(server) == b"HELLO\n"
    threads[0].end()


# Errors.


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("name", NAMES)
def test_an_exception_is_reported_and_the_server_lives(
    name: str, where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    class Handler(blocking.BaseRequestHandler):
        def handle(self) -> None:
            raise ZeroDivisionError("in a handler")

    with server_class(name, where)(HERE, Handler) as server, running(server):
        for _ in range(2):
            assert read_to_end(connect(server)) == b""
    assert capsys.readouterr().err.count("ZeroDivisionError: in a handler") == 2


class Exits(blocking.BaseRequestHandler):
    def handle(self) -> None:
        raise SystemExit("in a handler")


@pytest.mark.parametrize("where", WHERE)
def test_what_escapes_from_a_plain_server_leaves_the_loop_bare(where: str) -> None:
    with server_class("TCPServer", where)(HERE, Exits) as server:
        client = connect(server)
        with pytest.raises(SystemExit):
            server.serve_forever()
        assert read_to_end(client) == b""
        assert server._lifecycle.loop is State.IDLE
        client = connect(server)
        with pytest.raises(SystemExit):
            server.handle_request()
        assert read_to_end(client) == b""
    assert len(server._ledger) == 0


class LeavesFilesOpen(blocking.StreamRequestHandler):
    def finish(self) -> None:
        raise Escape


@pytest.mark.parametrize("where", WHERE)
def test_what_escapes_holds_nothing_open(where: str) -> None:
    """Its frames have the request, and nothing but the exception may hold those."""
    gone: list[weakref.ref[Any]] = []

    class Handler(LeavesFilesOpen):
        def setup(self) -> None:
            super().setup()
            gone.append(weakref.ref(self))

    with connect_to(server_class("TCPServer", where)(HERE, Handler)) as (server, client):
        gc.collect()
        gc.disable()
        try:
            with contextlib.suppress(Escape):
                server.serve_forever()
            assert gone[0]() is None
            assert client.recv(1) == b""
        finally:
            gc.enable()


def test_the_constructor_of_the_base_makes_no_socket() -> None:
    """Programs call it by name, to go round the constructor of the class with a socket."""

    class Server(blocking.TCPServer):
        def __init__(self, handler: Any) -> None:
            blocking.BaseServer.__init__(self, ("nowhere", 0), handler)
            assert not hasattr(self, "socket")
            self.socket = socket.create_server(HERE)
            self.server_address = self.socket.getsockname()

    with Server(Upper) as server, running(server):
        assert ask(server) == b"HELLO\n"


class Escape(BaseException):
    """Not even an exit."""


class Escapes(blocking.BaseRequestHandler):
    def handle(self) -> None:
        raise Escape


@pytest.mark.parametrize("where", WHERE)
def test_what_escapes_from_a_thread_goes_where_threads_let_it(
    where: str, lost: list[type[BaseException]]
) -> None:
    with server_class("ThreadingTCPServer", where)(HERE, Escapes) as server, running(server):
        for _ in range(2):
            assert read_to_end(connect(server)) == b""
    assert lost == [Escape, Escape]
    assert len(server._ledger) == 0


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("name", NAMES)
def test_what_the_loop_raises_comes_out_bare(name: str, where: str) -> None:
    class Server(server_class(name, where)):  # type: ignore[misc]
        def service_actions(self) -> None:
            raise KeyboardInterrupt

    with Server(HERE, Stay) as server, connect(server) as client:
        if name == "TCPServer":
            client.shutdown(socket.SHUT_WR)  # or the loop would wait for its handler
        with pytest.raises(KeyboardInterrupt):
            server.serve_forever()
        if where == "threads":
            client.close()  # or the close would wait for the thread
        server.server_close()
    assert server.counters.accepted == 1
    assert len(server._ledger) == 0


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


@contextlib.contextmanager
def connect_to(server: Any) -> Iterator[tuple[Any, socket.socket]]:
    with server, connect(server) as client:
        yield server, client


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


# Names.


def test_forking_classes_say_that_they_cannot_be() -> None:
    for name in blocking.__all__:
        cls = getattr(blocking, name)
        if name.startswith("Forking") and name != "ForkingMixIn":
            with pytest.raises(NotImplementedError, match=f"{name} cannot fork inside a trio run"):
                cls(HERE, Upper)


def test_where_handlers_run_is_checked() -> None:
    with pytest.raises(ValueError, match="blocking_handlers must be one of"):
        server_class("TCPServer", "forks")(HERE, Upper)


def test_all_names_of_the_standard_library_are_there() -> None:
    assert set(socketserver.__all__) <= set(blocking.__all__)
