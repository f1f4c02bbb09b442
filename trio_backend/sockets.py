"""The servers that own a socket, for trio: TCP, UDP, and both kinds of Unix sockets."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import trio

from sync_backend.socket_hooks import DatagramHooks, SocketHooks

from .base import BaseServer
from .bridged_request import BridgedRequest
from .greenlet_request import GreenRequest
from .socket_request import TrioRequest, awaited

__all__ = ["TCPServer", "UDPServer"]


class TCPServer(SocketHooks, BaseServer):
    """A server on a stream socket; see :class:`~sync_backend.socket_hooks.SocketHooks`."""

    #: The listener that was made ready; the program may swap in another at any time.
    _prepared: socket.socket | None = None

    def _prepare_listener(self) -> None:
        if self.socket is not self._prepared and self.fileno() >= 0:
            if self.socket.gettimeout() is None:
                self._make_nonblocking()
            self._prepared = self.socket

    def _gets_requests_itself(self) -> bool:
        # With a timeout of the program's, looking for one client more would block all tasks.
        return not self.socket.gettimeout() and super()._gets_requests_itself()

    async def _wait_for_client(self) -> None:
        self._prepare_listener()
        await super()._wait_for_client()

    def _close_listener(self) -> None:
        if self.fileno() >= 0:
            _tell_waiting(self.socket)
            self.socket.close()

    def shutdown_request(self, request: Any) -> Any:
        """Tell the client that no more will come, and close *request*."""
        if self._gathering is not None and self._gathering.noted:
            self._gathering.send_of(request)
        return super().shutdown_request(request)

    def close_request(self, request: Any) -> Any:
        """Close *request*; its place becomes free."""
        if isinstance(request, socket.socket) and request.fileno() >= 0:
            _tell_waiting(request)
        return super().close_request(request)

    async def _discard(self, request: Any) -> None:
        if isinstance(request, socket.socket) and request.fileno() >= 0:
            _tell_waiting(request)
            request.close()

    def _async_request(self, request: Any) -> Any:
        """Return *request* as an asynchronous handler sees it.

        :raises TypeError: it is a TLS socket of the standard library's, which would block.
        """
        return awaited(request, self._gathering) if isinstance(request, socket.socket) else request

    def _thread_request(self, request: Any, wait_for: Callable[[Any], Any]) -> Any:
        """Return *request* as a blocking handler in a thread sees it: as it is, for it blocks."""
        return request

    def _bridged_request(self, request: Any, wait_for: Any) -> Any:
        """Return *request* as a blocking handler in a greenlet sees it.

        :param wait_for: does its waiting, and says whether it may try by itself.
        :raises TypeError: it is a TLS socket of the standard library's, which would block.
        """
        if not isinstance(request, socket.socket):
            return request
        return GreenRequest(awaited(request), request, wait_for)


class UDPServer(DatagramHooks, TCPServer):
    """A server on a datagram socket; see :class:`~sync_backend.socket_hooks.DatagramHooks`."""

    _keeps_tasks = True

    async def _discard(self, request: Any) -> None:
        """The socket is the server's."""

    def _async_request(self, request: Any) -> Any:
        """Return *request* as an asynchronous handler sees it."""
        data, sock = request
        return data, sock if isinstance(sock, TrioRequest) else TrioRequest(sock)

    def _bridged_request(self, request: Any, wait_for: Callable[[Any], Any]) -> Any:
        """Return *request* as a blocking handler sees it whose waiting is done by *wait_for*."""
        data, sock = request
        return data, BridgedRequest(TrioRequest(sock), sock, wait_for)


def _tell_waiting(sock: socket.socket) -> None:
    """Tell the tasks that wait for *sock* that it is about to be closed, if there can be any."""
    if trio.lowlevel.in_trio_run():
        trio.lowlevel.notify_closing(sock)


if hasattr(socket, "AF_UNIX"):

    class UnixStreamServer(TCPServer):
        """A server on a Unix stream socket; its address is a path, or a name begun with NUL."""

        address_family: int = socket.AF_UNIX

    class UnixDatagramServer(UDPServer):
        """A server on a Unix datagram socket; its address as for :class:`UnixStreamServer`."""

        address_family: int = socket.AF_UNIX

    __all__ += ["UnixDatagramServer", "UnixStreamServer"]
