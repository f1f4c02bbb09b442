"""Cancellation at every step of a server's tasks, and stops and cuts at every step likewise.

A scenario is run again and again; each time something happens one step later, until the scenario is
over before it happens. Whatever the step, nothing may be left: no task, no thread, no open request.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme

from sansio_server.handlers import (
    BaseRequestHandler,
    DatagramRequestHandler,
    StreamRequestHandler,
)
from trio_backend import (
    ListenerServer,
    TCPServer,
    UDPServer,
    carriers,
    serve_listeners,
    serve_tcp,
    serve_unix,
)

from .steps import AtStep, at_every_step
from .support import HERE, MemoryListener, MemoryServer, is_over, read_to_end


class Talk(StreamRequestHandler):
    """Has a nursery, a scope and a channel, and waits in each of its methods."""

    async def setup(self) -> None:
        await trio.lowlevel.checkpoint()
        super().setup()

    async def handle(self) -> None:
        send, receive = trio.open_memory_channel[bytes](0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.answer, receive)
            async with send:
                async for line in self.rfile:
                    with trio.move_on_after(10):
                        await send.send(line.upper())

    async def answer(self, lines: trio.MemoryReceiveChannel[bytes]) -> None:
        async with lines:
            async for line in lines:
                await self.wfile.write(line)

    async def finish(self) -> None:
        await trio.lowlevel.checkpoint()
        await super().finish()


class BlockingTalk(StreamRequestHandler):
    wbufsize = -1

    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line.upper())
            self.wfile.flush()


class Datagrams(BaseRequestHandler):
    """Answers, and waits before and after."""

    async def handle(self) -> None:
        data, sock = self.request
        await trio.lowlevel.checkpoint()
        await sock.sendto(data.upper(), self.client_address)
        await trio.lowlevel.checkpoint()


class BlockingDatagrams(DatagramRequestHandler):
    def handle(self) -> None:
        self.wfile.write(self.rfile.read().upper())


class Failing(BaseRequestHandler):
    async def handle(self) -> None:
        await trio.lowlevel.checkpoint()
        raise ZeroDivisionError


class Watched:
    """What is counted at any server: how often the hook that closes was called for each request."""

    came: list[Any]
    closed: list[Any]

    def get_request(self) -> Any:
        pair: Any = super().get_request()  # type: ignore[misc]
        if type(pair) is tuple:
            self.came.append(pair[0])
            return pair
        return self.noted(pair)

    async def noted(self, pair: Any) -> Any:
        pair = await pair
        self.came.append(pair[0])
        return pair

    def close_request(self, request: Any) -> Any:
        self.closed.append(request)
        return super().close_request(request)  # type: ignore[misc]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing."""


class WatchedMemoryServer(Watched, MemoryServer):
    pass


@cache
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return what TLS needs on the server's side, and on the client's."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("server.example.org").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


class WatchedTLSServer(Watched, ListenerServer):
    """Serves encrypted connections in memory."""

    close_timeout = 30

    def __init__(self, handler: Any) -> None:
        self.memory = MemoryListener()
        super().__init__(trio.SSLListener(self.memory, contexts()[0]), handler)

    def connect(self) -> trio.SSLStream[Any]:
        """Return the client's end of a new connection."""
        name = "server.example.org"
        return trio.SSLStream(self.memory.connect(), contexts()[1], server_hostname=name)


class WatchedTCPServer(Watched, TCPServer):
    pass


class WatchedUDPServer(Watched, UDPServer):
    pass


class Waiting(WatchedMemoryServer):
    """Waits in every hook."""

    async def noted(self, pair: Any) -> Any:
        pair = await super().noted(pair)
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled:
            await trio.aclose_forcefully(pair[0])
            raise
        return pair

    async def verify_request(self, request: Any, client_address: Any) -> bool:
        await trio.lowlevel.checkpoint()
        return True

    async def process_request(self, request: Any, client_address: Any) -> None:
        await trio.lowlevel.checkpoint()
        await super().process_request(request, client_address)

    async def finish_request(self, request: Any, client_address: Any) -> None:
        await trio.lowlevel.checkpoint()
        super().finish_request(request, client_address)

    async def shutdown_request(self, request: Any) -> None:
        await super().shutdown_request(request)
        await trio.lowlevel.checkpoint()

    async def handle_error(self, request: Any, client_address: Any) -> None:  # type: ignore[override]
        await trio.lowlevel.checkpoint()

    async def service_actions(self) -> None:
        await trio.lowlevel.checkpoint()


def new_server(server_class: Any, handler: Any, blocking_handlers: Any) -> Any:
    server = (
        server_class(HERE, handler)
        if issubclass(server_class, TCPServer)
        else server_class(handler)
    )
    server.blocking_handlers = blocking_handlers
    server.drain_timeout, server.cut_timeout = 0, 30
    server.came, server.closed = [], []
    return server


class DatagramClient:
    """The client's end of a socket for datagrams, by the names of a stream that the tests use."""

    def __init__(self, sock: trio.socket.SocketType) -> None:
        self._sock = sock

    async def __aenter__(self) -> Any:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._sock.close()

    async def send_all(self, data: bytes) -> None:
        await self._sock.send(data)

    async def receive_some(self) -> bytes:
        # A request that was cut is not answered: as all clients of datagrams, this waits no longer.
        with trio.move_on_after(0.02):
            return await self._sock.recv(100)
        return b""

    async def send_eof(self) -> None:
        await trio.lowlevel.checkpoint()

    def __aiter__(self) -> Any:
        return self

    async def __anext__(self) -> bytes:
        raise StopAsyncIteration


async def connect(server: Any) -> Any:
    if isinstance(server, (MemoryServer, WatchedTLSServer)):
        return server.connect()
    if isinstance(server, UDPServer):
        sock = trio.socket.socket(type=socket.SOCK_DGRAM)
        await sock.connect(server.server_address)
        return DatagramClient(sock)
    return await trio.open_tcp_stream(*server.server_address)


async def talk(server: Any) -> None:
    """Be a client that says something, whatever becomes of the server, and stop it in the end."""
    with suppress(OSError, trio.BrokenResourceError):
        async with await connect(server) as stream:
            await stream.send_all(b"hello\n")
            await stream.receive_some()
            await stream.send_all(b"bye\n")
            if isinstance(stream, trio.SSLStream):  # it has no end of one direction
                await stream.receive_some()
            else:
                await stream.send_eof()
                await read_to_end(stream)
    server.shutdown()


async def stay(server: Any) -> None:
    """Be a client that says nothing, and stays as long as the server does."""
    with suppress(OSError, trio.BrokenResourceError):
        await read_to_end(await connect(server))


async def scenario(
    server_class: Any,
    handler: Any,
    blocking_handlers: Any,
    action: Callable[[Any, trio.CancelScope], object],
    step: int,
) -> tuple[Any, bool]:
    """Serve some clients, then stop; let *action* happen at a step.

    Returns the server, and whether it happened.
    """
    server = new_server(server_class, handler, blocking_handlers)
    scope = trio.CancelScope()
    at_step = AtStep(step, lambda: action(server, scope))
    async with trio.open_nursery() as clients:
        async with server:
            with scope:
                async with trio.open_nursery() as servers:
                    await servers.start(server.serve_forever)
                    trio.lowlevel.add_instrument(at_step)
                    clients.start_soon(stay, server)
                    clients.start_soon(talk, server)

            trio.lowlevel.remove_instrument(at_step)
    return server, at_step.done


def check(server: Any) -> None:
    """Make sure that nothing is left of a server and of its requests."""
    assert is_over(server)
    assert server._limiter().borrowed_tokens == 0
    for request in server.came:
        if isinstance(request, tuple):
            assert request[1] is server.socket
        elif isinstance(request, socket.socket):
            assert request.fileno() == -1
        else:
            assert request.closed
            assert getattr(request.stream, "transport_stream", request.stream).closes
    assert len({id(request) for request in server.closed}) == len(server.closed)


# What happens.


def cancel(server: Any, scope: trio.CancelScope) -> None:
    scope.cancel()


def stop(server: Any, scope: trio.CancelScope) -> None:
    server.shutdown()


def cut(server: Any, scope: trio.CancelScope) -> None:
    for place in list(server._workers):
        server._cut(place, "test")


def stop_and_cancel(server: Any, scope: trio.CancelScope) -> None:
    server.shutdown()
    scope.cancel()


SERVERS = [
    (WatchedMemoryServer, Talk, "threads"),
    (WatchedMemoryServer, Failing, "threads"),
    (Waiting, Talk, "threads"),
    (Waiting, Failing, "threads"),
    (WatchedMemoryServer, BlockingTalk, "greenlets"),
    (WatchedTCPServer, Talk, "threads"),
    (WatchedTCPServer, BlockingTalk, "greenlets"),
    (WatchedMemoryServer, BlockingTalk, "threads"),
    (WatchedTCPServer, BlockingTalk, "threads"),
    (WatchedUDPServer, Datagrams, "threads"),
    (WatchedUDPServer, BlockingDatagrams, "threads"),
    (WatchedUDPServer, BlockingDatagrams, "greenlets"),
]

# Encrypting takes its time: what others show already is left to them.
TLS_SERVERS = [
    (WatchedTLSServer, Talk, "threads"),
    (WatchedTLSServer, BlockingTalk, "greenlets"),
    (WatchedTLSServer, BlockingTalk, "threads"),
]


CASES = [(*server, action) for server in SERVERS for action in (cancel, stop, cut)]
CASES += [(*server, stop_and_cancel) for server in SERVERS[:3]]
CASES += [(*server, cancel) for server in TLS_SERVERS]
CASES += [(*TLS_SERVERS[0], action) for action in (stop, cut)]


@pytest.mark.parametrize(("server_class", "handler", "blocking_handlers", "action"), CASES)
def test_nothing_is_left_whenever_it_happens(
    server_class: Any, handler: Any, blocking_handlers: Any, action: Any
) -> None:
    run = partial(scenario, server_class, handler, blocking_handlers, action)
    for server in at_every_step(run, least=15 if issubclass(server_class, UDPServer) else 30):
        check(server)


@pytest.mark.parametrize("action", [cancel, stop, cut])
def test_nothing_is_left_of_a_crowd(action: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where handlers are held until all have their threads."""
    monkeypatch.setattr(carriers, "CROWD", 0)
    run = partial(scenario, WatchedTCPServer, BlockingTalk, "threads", action)
    for server in at_every_step(run, least=30):
        check(server)


async def one_request(
    server_class: Any, handler: Any, blocking_handlers: Any, step: int
) -> tuple[Any, bool]:
    """Serve one request; cancel that at a step."""
    server = new_server(server_class, handler, blocking_handlers)
    scope = trio.CancelScope()
    at_step = AtStep(step, scope.cancel)
    async with trio.open_nursery() as clients:
        async with server:
            clients.start_soon(talk, server)
            trio.lowlevel.add_instrument(at_step)
            with scope:
                await server.handle_request()
            trio.lowlevel.remove_instrument(at_step)
    return server, at_step.done


@pytest.mark.parametrize(
    ("server_class", "handler", "blocking_handlers"), [*SERVERS, TLS_SERVERS[0]]
)
def test_nothing_is_left_of_a_single_request(
    server_class: Any, handler: Any, blocking_handlers: Any
) -> None:
    run = partial(one_request, server_class, handler, blocking_handlers)
    for server in at_every_step(run, least=10):
        check(server)


async def short_form(start: Callable[..., Any], step: int) -> tuple[int, bool]:
    """Serve a client by a function for applications; cancel all that at a step, the start too."""
    at_step = AtStep(step, lambda: scope.cancel())
    with trio.CancelScope() as scope:
        trio.lowlevel.add_instrument(at_step)
        async with trio.open_nursery() as nursery:
            service = await nursery.start(start)
            async with await connect_to(service.addresses[0]) as stream:
                await stream.send_all(b"hello\n")
                assert await stream.receive_some() == b"HELLO\n"
            service.shutdown()
    trio.lowlevel.remove_instrument(at_step)
    return step, at_step.done


async def connect_to(address: Any) -> trio.SocketStream:
    if isinstance(address, str):
        return await trio.open_unix_socket(address)
    return await trio.open_tcp_stream(*address[:2])


async def on_listeners(*, task_status: Any) -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    await serve_listeners(Talk, listeners, task_status=task_status)


@pytest.mark.parametrize("form", ["tcp", "names", "unix", "listeners"])
def test_nothing_is_left_of_the_short_forms(form: str, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    forms: dict[str, Callable[..., Any]] = {
        "tcp": partial(serve_tcp, Talk, 0, host=["127.0.0.1", "127.0.0.2"]),
        "names": partial(serve_tcp, Talk, 0, host="localhost"),
        "unix": partial(serve_unix, Talk, path),
        "listeners": on_listeners,
    }
    # Sockets that are left are found when the test has ended.
    for _ in at_every_step(partial(short_form, forms[form]), least=20):
        assert not path.exists()
