"""All of ``socketserver`` with its blocking signatures; the waiting is trio's.

``import trio_backend.blocking as socketserver`` is all that a program needs. ``serve_forever()``
and ``handle_request()`` enter trio in the calling thread. Handlers run where the standard library
runs them, in the serving thread or in one of their own; or, where
:attr:`BaseServer.blocking_handlers` says "greenlets", as trio tasks, thousands of them without a
thread.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import trio

import sync_backend
from sansio_server.handlers import (
    BaseRequestHandler,
    DatagramRequestHandler,
    StreamRequestHandler,
)

from .blocking_base import BaseServer
from .bridged_request import BridgedRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .crew import GreenCrew

__all__ = [
    "BaseRequestHandler",
    "BaseServer",
    "DatagramRequestHandler",
    "ForkingMixIn",
    "ForkingTCPServer",
    "ForkingUDPServer",
    "StreamRequestHandler",
    "TCPServer",
    "ThreadingMixIn",
    "ThreadingTCPServer",
    "ThreadingUDPServer",
    "UDPServer",
]


class TCPServer(BaseServer, sync_backend.TCPServer):
    """See :class:`sync_backend.TCPServer`."""

    def __init__(
        self,
        server_address: Any,
        RequestHandlerClass: Callable[..., Any] | None,
        bind_and_activate: bool = True,
    ) -> None:
        self._prepare()
        sync_backend.TCPServer.__init__(
            self, server_address, RequestHandlerClass, bind_and_activate
        )

    @trio.lowlevel.enable_ki_protection  # or it might be done by half
    def shutdown_request(self, request: Any) -> Any:
        """Tell the client that no more will come, and close *request*."""
        return super().shutdown_request(request)

    @trio.lowlevel.enable_ki_protection  # likewise
    def close_request(self, request: Any) -> Any:
        """Close *request*; its place becomes free."""
        return super().close_request(request)

    def _takes_at_once(self) -> bool:
        return not self.socket.gettimeout() and self._gets_requests_itself()

    def _async_request(self, request: Any) -> Any:
        """Return *request* as an asynchronous handler sees it."""
        if isinstance(request, BridgedRequest):
            return request.awaitable
        return super()._async_request(request)


class UDPServer(TCPServer, sync_backend.UDPServer):
    """See :class:`sync_backend.UDPServer`."""

    def _async_request(self, request: Any) -> Any:
        """Return *request* as an asynchronous handler sees it."""
        data, sock = request
        if isinstance(sock, BridgedRequest):
            return data, sock.awaitable
        return sync_backend.UDPServer._async_request(self, request)


class ThreadingMixIn(sync_backend.ThreadingMixIn):
    """Serve each request in a thread or task; see :class:`sync_backend.ThreadingMixIn`."""

    if TYPE_CHECKING:
        _in_greenlets: Callable[[], bool]

    @contextmanager
    def _serving_with(self, crew: GreenCrew) -> Iterator[None]:
        if not self._in_greenlets():
            yield
            return
        me = threading.get_ident()
        crews: dict[int, GreenCrew] = self.__dict__.setdefault("_green_crews", {})
        crews[me] = crew
        try:
            yield
        finally:
            del crews[me]

    def process_request(self, request: Any, client_address: Any) -> Any:
        """Serve a request in a thread or task.

        :raises RuntimeError: no thread can be started.
        """
        crew = self.__dict__.get("_green_crews", {}).get(threading.get_ident())
        if crew is None:
            return super().process_request(request, client_address)
        return crew.start(
            self._threads,
            self.process_request_thread,
            (request, client_address),
            self._place_of(request, client_address),
            daemon=self.daemon_threads,
        )


class ForkingMixIn(sync_backend.ForkingMixIn):
    """What programs may derive from, but not make instances of: see :class:`BaseServer`."""


class ThreadingTCPServer(ThreadingMixIn, TCPServer):
    """A :class:`TCPServer` with a thread or a task for each connection."""


class ThreadingUDPServer(ThreadingMixIn, UDPServer):
    """A :class:`UDPServer` with a thread or a task for each datagram."""


class ForkingTCPServer(ForkingMixIn, TCPServer):
    """A class that cannot be: see :class:`BaseServer`."""


class ForkingUDPServer(ForkingMixIn, UDPServer):
    """A class that cannot be: see :class:`BaseServer`."""


if hasattr(socket, "AF_UNIX"):

    class UnixStreamServer(TCPServer, sync_backend.UnixStreamServer):
        """See :class:`sync_backend.UnixStreamServer`."""

    class UnixDatagramServer(UDPServer, sync_backend.UnixDatagramServer):
        """See :class:`sync_backend.UnixDatagramServer`."""

    class ThreadingUnixStreamServer(ThreadingMixIn, UnixStreamServer):
        """A :class:`UnixStreamServer` with a thread or a task for each connection."""

    class ThreadingUnixDatagramServer(ThreadingMixIn, UnixDatagramServer):
        """A :class:`UnixDatagramServer` with a thread or a task for each datagram."""

    class ForkingUnixStreamServer(ForkingMixIn, UnixStreamServer):
        """A class that cannot be: see :class:`BaseServer`."""

    class ForkingUnixDatagramServer(ForkingMixIn, UnixDatagramServer):
        """A class that cannot be: see :class:`BaseServer`."""

    __all__ += [
        "ForkingUnixDatagramServer",
        "ForkingUnixStreamServer",
        "ThreadingUnixDatagramServer",
        "ThreadingUnixStreamServer",
        "UnixDatagramServer",
        "UnixStreamServer",
    ]
