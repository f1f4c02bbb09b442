"""Sockets that tell the trace how many bytes they moved."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from sansio_server.hooks import ServerHooks

__all__ = ["ObservedSocket", "observe"]


class ObservedSocket(socket.socket):
    """The socket of a request, whose server has a trace."""

    #: Whose trace to tell; None for a copy that ``dup()`` made, which is no request.
    _server: ServerHooks | None = None

    @classmethod
    def instead_of(cls, sock: socket.socket, server: ServerHooks) -> ObservedSocket:
        """Take over *sock*, which is detached, and tell the trace of *server*."""
        timeout = sock.gettimeout()
        observed = cls(sock.family, sock.type, sock.proto, sock.detach())
        observed.settimeout(timeout)
        observed._server = server
        return observed

    def _tell(self, direction: str, data: Buffer, count: int) -> None:
        if self._server is None:
            return
        place = self._server._ledger.find_exactly(self.fileno())
        number = 0 if place is None else place.number
        self._server._emit_bytes(number, direction, data, count)

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Receive as any socket does."""
        data = super().recv(size, flags)
        self._tell("in", data, len(data))
        return data

    def recv_into(self, buffer: Buffer, size: int = 0, flags: int = 0) -> int:
        """Receive as any socket does."""
        count = super().recv_into(buffer, size, flags)
        self._tell("in", buffer, count)
        return count

    def send(self, data: Buffer, flags: int = 0, /) -> int:
        """Send as any socket does."""
        count = super().send(data, flags)
        self._tell("out", data, count)
        return count

    def sendall(self, data: Buffer, flags: int = 0, /) -> None:
        """Send as any socket does."""
        super().sendall(data, flags)
        with memoryview(data) as view:
            self._tell("out", view, view.nbytes)


class _ObservedDatagrams:
    """The socket of a datagram server, as one request has it."""

    def __init__(self, server: ServerHooks, sock: socket.socket) -> None:
        self._server = server
        self._sock = sock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def sendto(self, data: Buffer, *where: Any) -> int:
        """Send as any socket does."""
        count = self._sock.sendto(data, *where)
        self._server._emit_bytes(0, "out", data, count)
        return count


def observe(server: ServerHooks, request: Any) -> Any:
    """Return *request* so that *server*'s trace is told of its bytes.

    What an override made of a request (a TLS socket, say) is returned as it is.
    """
    if type(request) is socket.socket:
        return ObservedSocket.instead_of(request, server)
    if type(request) is tuple and len(request) == 2 and type(request[1]) is socket.socket:
        data, sock = request
        server._emit_bytes(0, "in", data, len(data))
        return data, _ObservedDatagrams(server, sock)
    return request
