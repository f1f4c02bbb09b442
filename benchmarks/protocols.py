"""Peers that are called with what came, and have no stream: asyncio's protocols."""

from __future__ import annotations

import importlib
from typing import Any

from .peer import BACKLOG, Peer

__all__ = ["AsyncioDatagrams", "AsyncioProtocol", "UvloopDatagrams", "UvloopProtocol"]


class _Connection:
    """``asyncio.Protocol``: reads nothing while its client leaves replies unread."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._buffer = bytearray()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        peer, buffer = self._peer, self._buffer
        buffer += data
        while end := peer.piece_end(buffer):
            piece = bytes(buffer[:end])
            del buffer[:end]
            self._transport.write(peer.reply_to(piece))
            if peer.once:
                self._transport.close()
                break

    def eof_received(self) -> None: ...

    def connection_lost(self, error: Exception | None) -> None: ...

    def pause_writing(self) -> None:
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._transport.resume_reading()


class AsyncioProtocol(Peer):
    """``loop.create_server``."""

    library = "asyncio"

    async def _serve(self) -> None:
        loop = importlib.import_module("asyncio").get_running_loop()
        server = await loop.create_server(
            lambda: _Connection(self), sock=self.socket, backlog=BACKLOG
        )
        await server.serve_forever()

    def serve_forever(self) -> None:
        self.module.run(self._serve())


class UvloopProtocol(AsyncioProtocol):
    """The same on uvloop's event loop."""

    library = "uvloop"


class _Datagrams:
    """``asyncio.DatagramProtocol``."""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        self._transport.sendto(data.upper(), address)

    def error_received(self, error: Exception) -> None: ...

    def connection_lost(self, error: Exception | None) -> None: ...

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...


class AsyncioDatagrams(Peer):
    """``loop.create_datagram_endpoint``."""

    library = "asyncio"
    datagrams = True

    async def _serve(self) -> None:
        loop = importlib.import_module("asyncio").get_running_loop()
        await loop.create_datagram_endpoint(_Datagrams, sock=self.socket)
        await loop.create_future()

    def serve_forever(self) -> None:
        self.module.run(self._serve())


class UvloopDatagrams(AsyncioDatagrams):
    """The same on uvloop's event loop."""

    library = "uvloop"
