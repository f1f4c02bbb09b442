"""What tests of the asyncio backend have in common: servers, clients, handlers of every kind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest

from sansio_server import BaseRequestHandler, DatagramRequestHandler, StreamRequestHandler
from tests.examples.modules import load

T = TypeVar("T")
PATIENCE = 20.0  # seconds for anything that is waited for


backend = load("asyncio_backend")
HERE = ("127.0.0.1", 0)


def run(test: Coroutine[Any, Any, T]) -> T:
    """Run a test in an event loop, for a while at most."""
    return asyncio.run(asyncio.wait_for(test, PATIENCE))


@asynccontextmanager
async def running(server: Any) -> AsyncIterator[Any]:
    """Serve in a task; stop at the end, and let what the loop raised out."""
    task = asyncio.create_task(server.serve_forever())
    try:
        yield server
    finally:
        server.shutdown()
        try:
            await task
        finally:
            server.server_close()


Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect(server: Any) -> Client:
    if isinstance(server.server_address, str):
        return await asyncio.open_unix_connection(server.server_address)
    return await asyncio.open_connection(*server.server_address)


async def say(client: Client, data: bytes = b"hello\n") -> bytes:
    """Send a line, read one."""
    client[1].write(data)
    return await client[0].readline()


async def leave(client: Client) -> bytes:
    """Read to the end, and close."""
    try:
        return await client[0].read()
    except ConnectionResetError:
        return b""
    finally:
        client[1].close()
        await client[1].wait_closed()


class AsyncLines(StreamRequestHandler):
    async def handle(self) -> None:
        async for line in self.rfile:
            await self.wfile.write(line.upper())


class Lines(StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line.upper())


class AsyncPackets(BaseRequestHandler):
    async def handle(self) -> None:
        data, sock = self.request
        await sock.sendto(data.upper(), self.client_address)


class Packets(DatagramRequestHandler):
    def handle(self) -> None:
        self.wfile.write(self.packet.upper())


async def callable_handler(request: Any, client_address: Any, server: Any) -> None:
    await request.sendall((await request.recv(1024)).upper())


def callable_that_returns_an_awaitable(request: Any, client_address: Any, server: Any) -> Any:
    data = request.recv(1024)

    async def answer() -> None:
        await asyncio.sleep(0)
        request.sendall(data.upper())

    return answer()


BOTH = pytest.mark.parametrize("handler", [AsyncLines, Lines])
