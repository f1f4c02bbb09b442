"""The servers that own a socket: TCP, UDP, and both kinds of Unix sockets."""

from __future__ import annotations

import socket
import threading
from typing import Any

from sansio_server.ledger import Place
from sansio_server.request import Step

from .base import BaseServer
from .observed import observe
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

    def async_request(self, request: Any) -> Any:
        """Return *request* as an asynchronous handler sees it."""
        return BlockingRequest(request)

    def continue_request(self, entry: Step, request: Any, client_address: Any) -> Any:
        """Run the rest of a request that ``process_request`` has been given, here and now.

        :param entry: ``Step.HERE`` inside ``process_request``; ``Step.FINISH`` anywhere else.
        """
        if entry is Step.HERE and self.request_timeout is not None:
            return self._continue_watched(entry, request, client_address)
        return super().continue_request(entry, request, client_address)

    def _continue_watched(self, entry: Step, request: Any, client_address: Any) -> None:
        """Serve in the loop's own thread, which therefore cannot see that time is up."""
        place = self._place_of(request, client_address)
        wait = min(max(0.0, place.deadline - self.now()), threading.TIMEOUT_MAX)
        watch = threading.Timer(wait, self._cut_if_open, (place, "request_timeout"))
        watch.daemon = True
        watch.start()
        try:
            super().continue_request(entry, request, client_address)
        finally:
            watch.cancel()
            watch.join()

    def _cut_if_open(self, place: Place, why: str) -> None:
        if place.open and not place.cut:
            self._cut(place, why)

    def _observed(self, request: Any) -> Any:
        return observe(self, request)


class UDPServer(DatagramHooks, TCPServer):
    """A server on a datagram socket; see :class:`~sync_backend.socket_hooks.DatagramHooks`."""

    def async_request(self, request: Any) -> Any:
        """Return *request* as an asynchronous handler sees it."""
        data, sock = request
        return data, BlockingRequest(sock)


if hasattr(socket, "AF_UNIX"):

    class UnixStreamServer(TCPServer):
        """A server on a Unix stream socket; its address is a path, or a name begun with NUL."""

        address_family: int = socket.AF_UNIX

    class UnixDatagramServer(UDPServer):
        """A server on a Unix datagram socket; its address as for :class:`UnixStreamServer`."""

        address_family: int = socket.AF_UNIX

    __all__ += ["UnixDatagramServer", "UnixStreamServer"]
