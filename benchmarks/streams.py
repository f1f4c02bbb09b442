"""Peers with an event loop, each imported when it is chosen."""

from __future__ import annotations

import importlib
import socket
from collections.abc import AsyncIterator
from typing import Any

__all__ = ["AsyncioStreams", "GeventStreamServer", "TrioServeTCP", "UvloopStreams"]

BACKLOG = 4096


class _Loop:
    """A listening socket, for a library that is imported before it is made."""

    library = ""

    def __init__(self, address: tuple[str, int], handler: str) -> None:
        self.module: Any = importlib.import_module(self.library)
        self.once = handler == "line"
        self.socket = socket.create_server(address, backlog=BACKLOG)
        self.server_address: tuple[Any, ...] = self.socket.getsockname()


class TrioServeTCP(_Loop):
    """What ``trio.serve_tcp`` runs, on a socket that is there already."""

    library = "trio"

    async def _lines(self, stream: Any) -> AsyncIterator[bytes]:
        buffer = bytearray()
        while chunk := await stream.receive_some():
            buffer += chunk
            while (end := buffer.find(b"\n") + 1) > 0:
                line = bytes(buffer[:end])
                del buffer[:end]
                yield line

    async def _handle(self, stream: Any) -> None:
        async for line in self._lines(stream):
            await stream.send_all(line.upper())
            if self.once:
                break

    def serve_forever(self) -> None:
        trio = self.module
        self.socket.setblocking(False)
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(self.socket))
        trio.run(trio.serve_listeners, self._handle, [listener])


class AsyncioStreams(_Loop):
    """``asyncio.start_server``."""

    library = "asyncio"

    async def _handle(self, reader: Any, writer: Any) -> None:
        while line := await reader.readline():
            writer.write(line.upper())
            await writer.drain()
            if self.once:
                break
        writer.close()

    async def _serve(self) -> None:
        asyncio = importlib.import_module("asyncio")
        server = await asyncio.start_server(self._handle, sock=self.socket, backlog=BACKLOG)
        await server.serve_forever()

    def serve_forever(self) -> None:
        self.module.run(self._serve())


class UvloopStreams(AsyncioStreams):
    """The same on uvloop's event loop."""

    library = "uvloop"


class GeventStreamServer(_Loop):
    """``gevent.server.StreamServer`` with files on its sockets, as a blocking handler has them."""

    library = "gevent.server"

    def _handle(self, connection: Any, address: Any) -> None:
        with connection.makefile("rb") as lines:
            while line := lines.readline():
                connection.sendall(line.upper())
                if self.once:
                    break

    def serve_forever(self) -> None:
        gevent_socket = importlib.import_module("gevent.socket")
        listener = gevent_socket.socket(fileno=self.socket.detach())
        self.module.StreamServer(listener, self._handle).serve_forever()
