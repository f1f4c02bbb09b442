"""Peers that serve datagrams in a loop of a task's own."""

from __future__ import annotations

import importlib
from typing import Any

from .peer import Peer

__all__ = ["GeventDatagramServer", "TrioDatagrams"]

_SIZE = 8192


class TrioDatagrams(Peer):
    """A task on trio's socket: receive, answer, and again."""

    library = "trio"
    datagrams = True

    async def _serve(self) -> None:
        sock = self.module.socket.from_stdlib_socket(self.socket)
        while True:
            data, address = await sock.recvfrom(_SIZE)
            await sock.sendto(data.upper(), address)

    def serve_forever(self) -> None:
        self.socket.setblocking(False)
        self.module.run(self._serve)


class GeventDatagramServer(Peer):
    """``gevent.server.DatagramServer``, which makes a greenlet for each datagram."""

    library = "gevent.server"
    datagrams = True

    def _handle(self, data: bytes, address: Any) -> None:
        self._server.sendto(data.upper(), address)

    def serve_forever(self) -> None:
        gevent_socket = importlib.import_module("gevent.socket")
        sock = gevent_socket.socket(
            self.socket.family, self.socket.type, fileno=self.socket.detach()
        )
        self._server = self.module.DatagramServer(sock, self._handle)
        self._server.serve_forever()
