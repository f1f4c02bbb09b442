"""Differences of `trio_backend.blocking` alone: what the page says of both is so."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import socketserver
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trio
import trio._core._thread_cache

from trio_backend import blocking

HERE = ("127.0.0.1", 0)
PATIENCE = 30.0  # seconds for anything that is waited for

both = pytest.mark.parametrize("module", [socketserver, blocking], ids=["stdlib", "here"])


def is_ours(module: Any) -> bool:
    return module is blocking


@pytest.fixture(autouse=True)
def idle_threads_end_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let trio's idle threads end before the end of the test is looked at."""
    monkeypatch.setattr(trio._core._thread_cache, "IDLE_TIMEOUT", 0.005)


@pytest.fixture
def greenlets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let handlers run in greenlets, where there are any."""
    monkeypatch.setattr(blocking.BaseServer, "blocking_handlers", "greenlets")


in_greenlets = pytest.mark.usefixtures("greenlets")


def nothing(*_: object) -> None:
    pass


@contextlib.contextmanager
def client_of(server: Any) -> Iterator[socket.socket]:
    with socket.create_connection(server.server_address, timeout=PATIENCE) as client:
        yield client


def serve_one(module: Any, name: str, handler: Callable[..., Any], data: bytes = b"") -> None:
    """Let one client come, send *data*, and be served."""
    with getattr(module, name)(HERE, handler) as server, client_of(server) as client:
        client.sendall(data)
        server.handle_request()


class Thread(threading.Thread):
    """A thread that is waited for with patience."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        super().__init__(target=function, args=args, daemon=True)
        self.start()

    def end(self) -> None:
        self.join(PATIENCE)
        assert not self.is_alive()


# T1.


@both
@pytest.mark.parametrize("name", ["ForkingTCPServer", "ForkingUDPServer"])
def test_forking_servers(module: Any, name: str) -> None:
    if is_ours(module):
        with pytest.raises(NotImplementedError, match=f"{name} cannot fork inside a trio run"):
            getattr(module, name)(HERE, nothing)
    else:
        getattr(module, name)(HERE, nothing).server_close()


# T2.


def outcome(function: Callable[[], object]) -> str:
    try:
        function()
    except RuntimeError as error:
        return str(error)
    return "done"


@both
def test_serving_inside_a_run(module: Any) -> None:
    expected = "Attempted to call run() from inside a run()" if is_ours(module) else "done"

    def serve() -> None:
        serve_one(module, "TCPServer", nothing)

    async def main() -> str:
        return outcome(serve)

    assert trio.run(main) == expected
    assert asyncio.run(main()) == "done"


@both
@pytest.mark.parametrize("name", ["TCPServer", "ThreadingTCPServer"])
def test_runs_inside_handlers(module: Any, name: str) -> None:
    refused = is_ours(module) and name == "TCPServer"
    expected = "Attempted to call run() from inside a run()" if refused else "done"
    outcomes: list[str] = []

    async def main() -> None:
        await trio.lowlevel.checkpoint()

    def handler(*_: object) -> None:
        outcomes.append(outcome(lambda: trio.run(main)))
        outcomes.append(outcome(lambda: serve_one(module, "TCPServer", nothing)))

    serve_one(module, name, handler)
    assert outcomes == [expected, expected]


# T3.


@both
def test_a_file_as_listener(module: Any) -> None:
    class Server(module.BaseServer):  # type: ignore[misc]
        def fileno(self) -> int:
            return file.fileno()

        def get_request(self) -> tuple[bytes, None]:
            return b"", None

        def service_actions(self) -> None:
            raise EOFError  # out of the loop

    with open(__file__, "rb") as file, Server(None, nothing) as server:
        with pytest.raises(PermissionError if is_ours(module) else EOFError):
            server.serve_forever()


# T4.


@both
@pytest.mark.parametrize("own", [False, True], ids=["default", "own"])
def test_the_handler_of_ctrl_c(module: Any, own: bool) -> None:
    seen: list[Any] = []
    before = signal.getsignal(signal.SIGINT)
    installed: Any = nothing if own else signal.default_int_handler
    signal.signal(signal.SIGINT, installed)
    try:
        serve_one(module, "TCPServer", lambda *_: seen.append(signal.getsignal(signal.SIGINT)))
        assert signal.getsignal(signal.SIGINT) is installed
    finally:
        signal.signal(signal.SIGINT, before)
    assert (seen[0] is installed) == (not is_ours(module))


@both
def test_the_wakeup_of_somebody_else(module: Any) -> None:
    reader, writer = socket.socketpair()
    with reader, writer:
        writer.setblocking(False)
        signal.set_wakeup_fd(writer.fileno())
        try:
            if is_ours(module):
                with pytest.warns(RuntimeWarning, match="signal handling code"):
                    serve_one(module, "TCPServer", nothing)
            else:
                serve_one(module, "TCPServer", nothing)
        finally:
            signal.set_wakeup_fd(-1)


# T5.


@both
@in_greenlets
@pytest.mark.parametrize("name", ["TCPServer", "ThreadingTCPServer"])
def test_the_request(module: Any, name: str) -> None:
    seen: list[Any] = []

    def handler(request: Any, *_: object) -> None:
        seen.append(isinstance(request, socket.socket))
        request.sendall(request.recv(100))

    with getattr(module, name)(HERE, handler) as server, client_of(server) as client:
        client.sendall(b"hello")
        server.handle_request()
        assert client.recv(100) == b"hello"
    assert seen == [not is_ours(module)]


@both
@in_greenlets
def test_a_request_in_another_thread(module: Any) -> None:
    outcomes: list[str] = []

    def handler(request: Any, *_: object) -> None:
        Thread(lambda: outcomes.append(outcome(lambda: request.recv(1)))).end()

    serve_one(module, "ThreadingTCPServer", handler, b"x")
    if is_ours(module):
        assert outcomes[0].startswith("this request belongs to a handler in a greenlet")
    else:
        assert outcomes == ["done"]


@both
@in_greenlets
def test_tls_sockets(module: Any) -> None:
    errors: list[BaseException | None] = []

    class Server(module.ThreadingTCPServer):  # type: ignore[misc]
        def get_request(self) -> Any:
            request, address = super().get_request()
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            wrapped = context.wrap_socket(request, server_side=True, do_handshake_on_connect=False)
            return wrapped, address

        def finish_request(self, request: Any, client_address: Any) -> None:
            errors.append(None)
            super().finish_request(request, client_address)

        def handle_error(self, request: Any, client_address: Any) -> None:
            errors.append(sys.exc_info()[1])

    with Server(HERE, nothing) as server, client_of(server):
        server.handle_request()
    assert any(isinstance(error, TypeError) for error in errors) == is_ours(module)


# T6.


@both
@in_greenlets
def test_who_serves(module: Any) -> None:
    seen: list[threading.Thread] = []
    serve_one(module, "ThreadingTCPServer", lambda *_: seen.append(threading.current_thread()))
    assert (seen == [threading.main_thread()]) == is_ours(module)


# T7.


class Loop:
    """A threading server in a thread, whose handler waits for *client*."""

    def __init__(self, module: Any, method: str, **settings: Any) -> None:
        self.ended: list[object] = []
        self.begun, self.over = threading.Event(), threading.Event()

        def handler(request: Any, *_: object) -> None:
            self.begun.set()
            try:
                self.ended.append(request.recv(1))
            except BaseException as error:
                self.ended.append(type(error))
                raise
            finally:
                self.over.set()

        class Server(module.ThreadingTCPServer):  # type: ignore[misc]
            def handle_error(self, *_: object) -> None:
                pass

        for name, value in settings.items():
            setattr(Server, name, value)
        self.server = Server(HERE, handler)
        self.client = socket.create_connection(self.server.server_address, timeout=PATIENCE)
        # How often the stdlib looks whether it should stop.
        soon = (0.001,) if method == "serve_forever" else ()
        self.loop = Thread(getattr(self.server, method), *soon)

    def close(self) -> None:
        self.client.close()
        self.loop.end()
        self.server.server_close()


@both
@in_greenlets
@pytest.mark.parametrize("block_on_close", [True, False])
@pytest.mark.parametrize("method", ["serve_forever", "handle_request"])
def test_the_loop_and_its_handlers(module: Any, method: str, block_on_close: bool) -> None:
    served = Loop(module, method, block_on_close=block_on_close)
    assert served.begun.wait(PATIENCE)
    if method == "serve_forever":
        served.server.shutdown()  # returns though the handler has not ended
    if is_ours(module):
        assert served.loop.is_alive()
        assert served.ended == []
        served.client.sendall(b"x")
        served.loop.end()
        assert served.ended == [b"x"]
    else:
        served.loop.end()
        assert served.ended == []
        served.client.sendall(b"x")
        assert served.over.wait(PATIENCE)
    served.close()


@both
@in_greenlets
def test_the_loop_and_daemons(module: Any) -> None:
    served = Loop(module, "serve_forever", daemon_threads=True)
    assert served.begun.wait(PATIENCE)
    served.server.shutdown()
    served.loop.end()
    if is_ours(module):
        assert served.ended == [trio.Cancelled]
    else:
        assert served.ended == []
        served.client.sendall(b"x")
        assert served.over.wait(PATIENCE)
        assert served.ended == [b"x"]
    served.close()


@both
@in_greenlets
def test_a_loop_that_fails(module: Any) -> None:
    def serve(server: Any) -> None:
        with contextlib.suppress(ZeroDivisionError):
            server.serve_forever(0.001)

    def service_actions(server: Any) -> None:
        if server.fails:
            raise ZeroDivisionError

    served = Loop(module, "serve", serve=serve, service_actions=service_actions, fails=False)
    assert served.begun.wait(PATIENCE)
    served.server.fails = True
    served.loop.end()
    if is_ours(module):
        assert served.ended == [trio.Cancelled]
    else:
        assert served.ended == []
        served.client.sendall(b"x")
        assert served.over.wait(PATIENCE)
        assert served.ended == [b"x"]
    served.close()
