"""All of ``socketserver`` with its blocking signatures, while trio does the waiting."""

from __future__ import annotations

import contextlib
import gc
import http.server
import socket
import socketserver
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest
import trio

from sansio_server.exceptions import SuspendedError
from sansio_server.lifecycle import State
from tests.sync_backend.support import (
    HERE,
    PATIENCE,
    Thread,
    ask,
    connect,
    read_to_end,
    running,
    visit,
)
from tests.trio_backend.blocking_servers import NAMES, WHERE, Stay, Upper, connect_to, server_class
from trio_backend import blocking


class AsyncUpper(blocking.StreamRequestHandler):
    async def handle(self) -> None:
        async for line in self.rfile:
            await self.wfile.write(line.upper())


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
        assert visit(server) == b"hello from trio\n"


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
