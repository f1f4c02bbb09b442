"""What the tests of the trio backend share: servers that run, memory to serve on, clients."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio
import trio.lowlevel
import trio.testing

from sansio_server.trace import TraceEvent, TraceKind
from trio_backend import BaseServer, ListenerServer

HERE = ("127.0.0.1", 0)


# Memory: with nothing but this, trio's clock may jump.


class MemoryStream(trio.abc.HalfCloseableStream):
    """The server's end of a connection in memory."""

    def __init__(self, stream: trio.StapledStream[Any, Any]) -> None:
        self.ends = stream
        self.closes = 0

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return bytes(await self.ends.receive_some(max_bytes))

    async def send_all(self, data: Any) -> None:
        await self.ends.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self.ends.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        await self.ends.send_eof()

    async def aclose(self) -> None:
        self.closes += 1
        await self.ends.aclose()


class MemoryListener(trio.abc.Listener[MemoryStream]):
    """Clients connect by calling a method."""

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[MemoryStream](1000)
        self.streams: list[MemoryStream] = []
        self.errors: list[BaseException] = []
        self.on_accept: Callable[[], object] = lambda: None

    def connect(self) -> trio.StapledStream[Any, Any]:
        """Return the client's end of a new connection."""
        ours, theirs = trio.testing.memory_stream_pair()
        stream = MemoryStream(theirs)
        self.streams.append(stream)
        self._send.send_nowait(stream)
        return ours

    async def accept(self) -> MemoryStream:
        await trio.lowlevel.checkpoint()
        if self.errors:
            raise self.errors.pop(0)
        stream = await self._receive.receive()
        self.on_accept()
        return stream

    async def aclose(self) -> None:
        """Close this; who has connected and was not accepted sees the end at once."""
        with contextlib.suppress(trio.WouldBlock, trio.ClosedResourceError):
            while True:
                stream = self._receive.receive_nowait()
                self.streams.remove(stream)
                await trio.aclose_forcefully(stream)
        self._receive.close()
        self._send.close()
        await trio.lowlevel.checkpoint()


class MemoryServer(ListenerServer):
    """A server in memory; it notes the errors that were reported to it."""

    listener: MemoryListener

    def __init__(self, handler: Callable[..., Any], **attributes: Any) -> None:
        for name, value in attributes.items():
            setattr(self, name, value)
        super().__init__(MemoryListener(), handler)
        self.reported: list[BaseException] = []

    def connect(self) -> trio.StapledStream[Any, Any]:
        """Return the client's end of a new connection."""
        return self.listener.connect()

    def handle_error(self, request: Any, client_address: Any) -> Any:
        import sys

        error = sys.exc_info()[1]
        assert error is not None
        if self.on_error == "report":
            self.reported.append(error)
            return None
        return super().handle_error(request, client_address)


# Servers.


@asynccontextmanager
async def serving(server: BaseServer, *, stop: bool = True) -> AsyncIterator[trio.Nursery]:
    """Serve in a task; stop and wait for its end when the block ends."""
    async with server, trio.open_nursery() as nursery:
        await nursery.start(server.serve_forever)
        yield nursery
        if stop:
            server.shutdown()


class Watcher(list[TraceEvent]):
    """A trace, with what is asked of it."""

    def hooks(self, number: int = 1) -> list[str]:
        """Return the hooks that a request went through."""
        return [e.what for e in self if e.kind is TraceKind.ENTER and e.request == number]

    def of(self, kind: TraceKind) -> list[Any]:
        """Return the details of the events of a kind."""
        return [event.detail for event in self if event.kind is kind]

    def __call__(self, event: TraceEvent) -> None:
        self.append(event)


def is_over(server: BaseServer) -> bool:
    """Say whether nothing is left of all requests."""
    counters = server.counters
    return (
        len(server._ledger) == len(server._workers) == 0
        and server._came is None
        and counters.accepted == counters.closed
    )


# Clients.


async def connect(server: Any) -> trio.SocketStream:
    """Return a connection to a server, or to an address."""
    address = getattr(server, "server_address", server)
    family = getattr(server, "address_family", socket.AF_INET)
    sock = trio.socket.socket(family, socket.SOCK_STREAM)
    try:
        await sock.connect(address)
    except BaseException:
        sock.close()
        raise
    return trio.SocketStream(sock)


async def read_to_end(stream: trio.abc.ReceiveStream) -> bytes:
    """Read all that comes, and close the client's end."""
    data = b""
    async with stream:
        async for chunk in stream:
            data += chunk
    return data


async def ask(stream: trio.abc.HalfCloseableStream, data: bytes = b"hello\n") -> bytes:
    """Send all of a request; return all of the answer."""
    async with stream:
        await stream.send_all(data)
        await stream.send_eof()
        return await read_to_end(stream)


async def until(condition: Callable[[], bool]) -> None:
    """Give other tasks their turns until something holds."""
    while not condition():
        await trio.lowlevel.checkpoint()


Awaits = Callable[[], Awaitable[Any]]


HOOKS = ["verify_request", "process_request", "finish_request", "shutdown_request", "close_request"]


async def with_clients(server: MemoryServer, count: int) -> list[Any]:
    clients = [server.connect() for _ in range(count)]
    await trio.testing.wait_all_tasks_blocked()
    assert server.counters.accepted == count
    return clients


async def answer(server: MemoryServer) -> bytes:
    """Serve one client; return what it was answered."""
    async with serving(server):
        reply = await ask(server.connect())
        await trio.testing.wait_all_tasks_blocked()
    assert is_over(server)
    assert [stream.closes for stream in server.listener.streams] == [1]
    return reply
