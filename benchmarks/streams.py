"""Peers whose handlers have a stream each, imported when they are chosen."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator
from typing import Any

from .peer import BACKLOG, Peer

__all__ = [
    "AnyioOnAsyncio",
    "AnyioOnTrio",
    "AsyncioStreams",
    "GeventStreamServer",
    "TrioServeTCP",
    "UvloopStreams",
]


class TrioServeTCP(Peer):
    """What ``trio.serve_tcp`` runs, on a socket that is there already."""

    library = "trio"

    async def _pieces(self, stream: Any) -> AsyncIterator[bytes]:
        buffer = bytearray()
        while chunk := await stream.receive_some():
            buffer += chunk
            while end := self.piece_end(buffer):
                piece = bytes(buffer[:end])
                del buffer[:end]
                yield piece

    async def _handle(self, stream: Any) -> None:
        try:
            async for piece in self._pieces(stream):
                await stream.send_all(self.reply_to(piece))
                if self.once:
                    break
        except self.module.BrokenResourceError:
            pass

    def serve_forever(self) -> None:
        trio = self.module
        self.socket.setblocking(False)
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(self.socket))
        trio.run(self._serve, listener)

    async def _serve(self, listener: Any) -> None:
        with self.module.CancelScope() as self._scope:
            self._token = self.module.lowlevel.current_trio_token()
            await self.module.serve_listeners(self._handle, [listener])

    def shutdown(self) -> None:
        self._token.run_sync_soon(self._scope.cancel)


class AsyncioStreams(Peer):
    """``asyncio.start_server``."""

    library = "asyncio"

    async def _handle(self, reader: Any, writer: Any) -> None:
        asyncio = importlib.import_module("asyncio")
        try:
            while piece := await self._piece(reader):
                writer.write(self.reply_to(piece))
                await writer.drain()
                if self.once:
                    break
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _piece(self, reader: Any) -> Any:
        if self.block:
            return await reader.readexactly(self.block)
        return await reader.readline()

    async def _serve(self) -> None:
        asyncio = importlib.import_module("asyncio")
        self._loop = asyncio.get_running_loop()
        server = await asyncio.start_server(self._handle, sock=self.socket, backlog=BACKLOG)
        self._task = asyncio.create_task(server.serve_forever())
        try:
            await self._task
        except asyncio.CancelledError:
            pass

    def serve_forever(self) -> None:
        self.module.run(self._serve())

    def shutdown(self) -> None:
        self._loop.call_soon_threadsafe(self._task.cancel)


class UvloopStreams(AsyncioStreams):
    """The same on uvloop's event loop."""

    library = "uvloop"


class AnyioOnAsyncio(Peer):
    """anyio's listener and buffered streams."""

    library = "anyio"
    backend = "asyncio"

    async def _handle(self, stream: Any) -> None:
        anyio = self.module
        buffered = importlib.import_module("anyio.streams.buffered")
        pieces = buffered.BufferedByteReceiveStream(stream)
        async with stream:
            try:
                while True:
                    await stream.send(self.reply_to(await self._piece(pieces)))
                    if self.once:
                        break
            except (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError):
                pass

    async def _piece(self, pieces: Any) -> Any:
        if self.block:
            return await pieces.receive_exactly(self.block)
        return await pieces.receive_until(b"\n", 65536) + b"\n"

    async def _serve(self) -> None:
        abc = importlib.import_module("anyio.abc")
        listener = await abc.SocketListener.from_socket(self.socket)
        await listener.serve(self._handle)

    def serve_forever(self) -> None:
        self.module.run(self._serve, backend=self.backend)


class AnyioOnTrio(AnyioOnAsyncio):
    """The same on trio."""

    backend = "trio"


class GeventStreamServer(Peer):
    """``gevent.server.StreamServer`` with files on its sockets, as a blocking handler has them."""

    library = "gevent.server"

    def _handle(self, connection: Any, address: Any) -> None:
        try:
            with connection.makefile("rb") as file:
                while piece := file.read(self.block) if self.block else file.readline():
                    connection.sendall(self.reply_to(piece))
                    if self.once:
                        break
        except OSError:
            pass

    def serve_forever(self) -> None:
        gevent_socket = importlib.import_module("gevent.socket")
        listener = gevent_socket.socket(fileno=self.socket.detach())
        self.module.StreamServer(listener, self._handle).serve_forever()
