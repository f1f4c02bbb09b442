"""The servers that own a socket: streams and TLS; listeners, whatever becomes of those."""

from __future__ import annotations

import errno
import itertools
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from sansio_server.handlers import (
    StreamRequestHandler,
)
from sansio_server.trace import TraceKind
from trio_backend import (
    TCPServer,
    UnixStreamServer,
)

from .support import HERE, Watcher, ask, connect, is_over, read_to_end, until

WHERE = ["threads", "greenlets"]


class Upper(StreamRequestHandler):
    async def handle(self) -> None:
        async for line in self.rfile:
            await self.wfile.write(line.upper())


class BlockingUpper(StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line.upper())


HANDLERS = [(Upper, "threads"), (BlockingUpper, "threads"), (BlockingUpper, "greenlets")]


# Streams.


@pytest.mark.parametrize(("handler", "where"), HANDLERS)
async def test_clients_are_served(handler: Any, where: Any) -> None:
    async with TCPServer(HERE, handler) as server, trio.open_nursery() as nursery:
        server.blocking_handlers = where
        await nursery.start(server.serve_forever)
        async with trio.open_nursery() as clients:
            for _ in range(10):

                @clients.start_soon
                async def client() -> None:
                    assert await ask(await connect(server)) == b"HELLO\n"

        server.shutdown()
    assert is_over(server)
    assert server.fileno() == -1


@pytest.mark.parametrize("name", ["a path", "abstract"])
@pytest.mark.parametrize(("handler", "where"), HANDLERS)
async def test_clients_of_unix_sockets_are_served(
    handler: Any, where: Any, name: str, tmp_path: Path
) -> None:
    address = str(tmp_path / "socket") if name == "a path" else f"\0{tmp_path}"
    async with UnixStreamServer(address, handler) as server:
        server.blocking_handlers = where
        async with trio.open_nursery() as nursery:
            await nursery.start(server.serve_forever)
            assert await ask(await connect(server)) == b"HELLO\n"
            server.shutdown()


async def test_many_are_let_in_at_once_but_others_have_their_turns() -> None:
    accepted = [0]

    async def handler(request: Any, client_address: Any, server: Any) -> None:
        """Be counted."""

    async def watch() -> None:
        while True:
            accepted.append(server.counters.accepted)
            await trio.lowlevel.checkpoint()

    async with TCPServer(HERE, handler) as server:
        clients = [socket.create_connection(server.server_address) for _ in range(200)]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            await nursery.start(server.serve_forever)
            await until(lambda: server.counters.closed == 200)
            nursery.cancel_scope.cancel()
        for client in clients:
            client.close()
    at_once = [after - before for before, after in itertools.pairwise(accepted)]
    assert 1 < max(at_once) <= 128  # in two turns of the loop, at most


@pytest.mark.parametrize(("handler", "where"), HANDLERS)
async def test_a_default_timeout_counts_for_each_operation(
    handler: Any, where: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with TCPServer(HERE, handler) as server:
        server.blocking_handlers = where
        errors: list[BaseException | None] = []
        monkeypatch.setattr(server, "handle_error", lambda *_: errors.append(sys.exc_info()[1]))
        with socket.create_connection(server.server_address) as client:
            socket.setdefaulttimeout(0.01)
            try:
                async with trio.open_nursery() as nursery:
                    await nursery.start(server.serve_forever)
                    await until(lambda: errors != [])
                    server.shutdown()
            finally:
                socket.setdefaulttimeout(None)
            assert client.recv(1) == b""
    assert [type(error) for error in errors] == [TimeoutError]


async def test_the_trace_tells_of_bytes() -> None:
    async with TCPServer(HERE, Upper) as server:
        server.trace = watcher = Watcher()
        async with trio.open_nursery() as nursery:
            await nursery.start(server.serve_forever)
            assert await ask(await connect(server), b"hello\n") == b"HELLO\n"
            server.shutdown()
    bytes_moved = [(e.what, e.detail) for e in watcher if e.kind is TraceKind.BYTES]
    assert bytes_moved == [("in", 6), ("out", 6), ("in", 0)]


async def test_a_request_that_is_no_socket_is_left_as_it_is() -> None:
    class Server(TCPServer):
        def get_request(self) -> Any:
            request, address = super().get_request()
            return Wrapped(request), address

    class Wrapped:
        def __init__(self, request: socket.socket) -> None:
            self.request = request

        def close(self) -> None:
            self.request.close()

        def shutdown(self, how: int) -> None:
            self.request.shutdown(how)

    kinds: list[type] = []

    def blocking(request: Any, client_address: Any, server: Any) -> None:
        kinds.append(type(request))

    async def asynchronous(request: Any, client_address: Any, server: Any) -> None:
        kinds.append(type(request))

    for handler in (blocking, asynchronous):
        async with Server(HERE, handler) as server, trio.open_nursery() as nursery:
            server.blocking_handlers = "greenlets"
            await nursery.start(server.serve_forever)
            assert await read_to_end(await connect(server)) == b""
            server.shutdown()
    assert kinds == [Wrapped, Wrapped]


# TLS of the standard library's.


class NotReallyTLS(socket.socket):
    """Looks like a TLS socket, as far as anybody asks."""

    def do_handshake(self) -> None:
        """Say hello."""


class TLSServer(TCPServer):
    def get_request(self) -> Any:
        request, address = super().get_request()
        return NotReallyTLS(fileno=request.detach()), address


async def test_tls_sockets_are_for_threads() -> None:
    async with TLSServer(HERE, BlockingUpper) as server, trio.open_nursery() as nursery:
        await nursery.start(server.serve_forever)
        assert await ask(await connect(server)) == b"HELLO\n"
        server.shutdown()


@pytest.mark.parametrize("handler", [BlockingUpper, Upper])
async def test_tls_sockets_are_refused_where_they_would_block(
    handler: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    async with TLSServer(HERE, handler) as server, trio.open_nursery() as nursery:
        server.blocking_handlers = "greenlets"
        await nursery.start(server.serve_forever)
        assert await read_to_end(await connect(server)) == b""
        server.shutdown()
    assert "give a trio.SSLListener to serve_listeners()" in capsys.readouterr().err


# Listeners.


async def close_in_a_task(server: TCPServer) -> None:
    server.server_close()


async def close_in_a_thread(server: TCPServer) -> None:
    thread = threading.Thread(target=server.server_close)
    thread.start()
    thread.join()


async def close_in_another_run(server: TCPServer) -> None:
    async def main() -> None:
        server.server_close()

    thread = threading.Thread(target=trio.run, args=(main,))
    thread.start()
    thread.join()


@pytest.mark.parametrize("close", [close_in_a_task, close_in_a_thread, close_in_another_run])
async def test_a_server_may_be_closed_while_it_serves(close: Callable[..., Any]) -> None:
    server = TCPServer(HERE, Upper)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve_forever)
        assert await ask(await connect(server)) == b"HELLO\n"
        await trio.testing.wait_all_tasks_blocked()
        await close(server)
    await until(lambda: server.fileno() == -1)
    with pytest.raises(ConnectionRefusedError):
        await connect(server)


@pytest.mark.parametrize(("handler", "where"), HANDLERS)
async def test_a_handler_may_close_the_server(handler: Any, where: Any) -> None:
    class Closing(handler):  # type: ignore[misc]
        def finish(self) -> Any:
            self.server.server_close()
            return super().finish()

    server = TCPServer(HERE, Closing)
    server.blocking_handlers = where
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve_forever)
        assert await ask(await connect(server)) == b"HELLO\n"
    assert server.fileno() == -1
    assert is_over(server)


async def test_a_closed_server_does_not_serve() -> None:
    server = TCPServer(HERE, Upper)
    server.server_close()
    server.server_close()
    with pytest.raises(OSError, match="the listener is closed"):
        await server.serve_forever()
    with pytest.raises(OSError, match="the listener is closed"):
        await server.handle_request()


async def test_a_listener_that_somebody_else_closed_ends_the_loop() -> None:
    async with TCPServer(HERE, Upper) as server, trio.open_nursery() as nursery:

        @nursery.start_soon
        async def close() -> None:
            await trio.testing.wait_all_tasks_blocked()
            trio.lowlevel.notify_closing(server.socket)
            server.socket.close()

        with pytest.raises(OSError, match="the listener is closed"):
            await server.serve_forever()


async def test_a_listener_that_no_longer_listens_ends_the_loop() -> None:
    async with TCPServer(HERE, Upper) as server, trio.open_nursery() as nursery:

        @nursery.start_soon
        async def end() -> None:
            await trio.testing.wait_all_tasks_blocked()
            server.socket.shutdown(socket.SHUT_RDWR)

        with pytest.raises(OSError, match="Invalid argument"):
            await server.serve_forever()


async def test_a_listener_may_be_swapped_before_it_serves() -> None:
    async with TCPServer(HERE, Upper, bind_and_activate=False) as server:
        server.socket.close()
        server.socket = socket.create_server(HERE)
        server.server_address = server.socket.getsockname()
        async with trio.open_nursery() as nursery:
            await nursery.start(server.serve_forever)
            assert await ask(await connect(server)) == b"HELLO\n"
            server.shutdown()


async def test_a_listener_may_be_swapped_while_it_serves() -> None:
    """The new one blocks, which nobody is to notice."""

    class Server(TCPServer):
        other: socket.socket | None = None

        def service_actions(self) -> None:
            if self.other is not None:
                self.socket.close()
                self.socket, self.other = self.other, None
                self.server_address = self.socket.getsockname()

    async with Server(HERE, Upper) as server, trio.open_nursery() as nursery:
        await nursery.start(server.serve_forever)
        server.other = socket.create_server(HERE)
        assert await ask(await connect(server)) == b"HELLO\n"
        await until(lambda: server.other is None)
        assert await ask(await connect(server)) == b"HELLO\n"
        assert await ask(await connect(server)) == b"HELLO\n"
        server.shutdown()


async def test_a_listener_with_a_timeout_keeps_it() -> None:
    async with TCPServer(HERE, Upper) as server, trio.open_nursery() as nursery:
        server.socket.settimeout(5)
        await nursery.start(server.serve_forever)
        assert await ask(await connect(server)) == b"HELLO\n"
        assert server.socket.gettimeout() == 5
        server.shutdown()


async def test_a_listener_shows_no_mode_of_the_servers_making() -> None:
    async with TCPServer(HERE, Upper) as server, trio.open_nursery() as nursery:
        await nursery.start(server.serve_forever)
        assert server.socket.gettimeout() is None
        server.shutdown()


async def test_an_address_that_is_taken_is_said_to_be() -> None:
    async with TCPServer(HERE, Upper) as server:
        with pytest.raises(OSError, match="cannot bind to") as caught:
            TCPServer(server.server_address, Upper)
        assert caught.value.errno == errno.EADDRINUSE


def test_without_trio_nobody_is_told_of_a_close() -> None:
    server = TCPServer(HERE, Upper)
    left, right = socket.socketpair()
    server.close_request(left)
    server.close_request(left)
    assert left.fileno() == -1
    right.close()
    server.server_close()
    assert server.fileno() == -1
