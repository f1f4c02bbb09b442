"""The servers that own a socket: TCP, UDP, and both kinds of Unix sockets."""

from __future__ import annotations

import socket
from typing import Any

from .base import BaseServer
from .runtime import BlockingRequest
from .socket_hooks import DatagramHooks, SocketHooks

__all__ = ["TCPServer", "UDPServer"]


class TCPServer(SocketHooks, BaseServer):
    """A server on a stream socket; see :class:`~sync_backend.socket_hooks.SocketHooks`."""

    def _prepare_listener(self) -> bool:
        if self.socket.gettimeout() is not None or self.fileno() < 0:
            return False
        self._make_nonblocking()
        return self._gets_requests_itself()

    def _async_request(self, request: Any) -> Any:
        """Return *request* as an asynchronous handler sees it."""
        return request if isinstance(request, BlockingRequest) else BlockingRequest(request)


class UDPServer(DatagramHooks, TCPServer):
    """A server on a datagram socket; see :class:`~sync_backend.socket_hooks.DatagramHooks`."""


if hasattr(socket, "AF_UNIX"):

    class UnixStreamServer(TCPServer):
        """A server on a Unix stream socket; its address is a path, or a name begun with NUL."""

        address_family: int = socket.AF_UNIX

    class UnixDatagramServer(UDPServer):
        """A server on a Unix datagram socket; its address as for :class:`UnixStreamServer`."""

        address_family: int = socket.AF_UNIX

    __all__ += ["UnixDatagramServer", "UnixStreamServer"]
