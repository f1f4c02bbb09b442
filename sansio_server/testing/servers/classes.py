"""The classes of ``socketserver`` in memory."""

from __future__ import annotations

import socket
from contextlib import suppress
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from sansio_server.ledger import Place
from sansio_server.request import Step
from sansio_server.testing.scripts.faults import injected
from sansio_server.testing.sockets.base import AF_UNIX, MemorySocket
from sansio_server.testing.sockets.datagram import DatagramSocket
from sansio_server.testing.sockets.stream import StreamSocket
from sansio_server.testing.world.errors import Unwound
from sansio_server.testing.world.scheduler import Actor
from sansio_server.trace import TraceKind
from sync_backend.runtime import BlockingRequest
from sync_backend.socket_hooks import DatagramHooks, SocketHooks

from .base import BaseServer
from .forking import ForkingMixIn

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "BaseServer",
    "ForkingMixIn",
    "ForkingTCPServer",
    "ForkingUDPServer",
    "ForkingUnixDatagramServer",
    "ForkingUnixStreamServer",
    "TCPServer",
    "ThreadingMixIn",
    "ThreadingTCPServer",
    "ThreadingUDPServer",
    "ThreadingUnixDatagramServer",
    "ThreadingUnixStreamServer",
    "UDPServer",
    "UnixDatagramServer",
    "UnixStreamServer",
]


class TCPServer(SocketHooks, BaseServer):
    """A server on a stream socket; see :class:`~sync_backend.socket_hooks.SocketHooks`."""

    def _new_socket(self) -> Any:
        kind = DatagramSocket if self.socket_type == socket.SOCK_DGRAM else StreamSocket
        return kind(self.world, self.address_family)

    def _make_nonblocking(self) -> None:
        listener: Any = self.socket
        listener.os_blocking = False

    def _prepare_listener(self) -> None:
        self._make_nonblocking()

    def _interrupt(self, request: Any) -> None:
        self._shut(request, socket.SHUT_RDWR)

    def _end_input(self, request: Any) -> None:
        self._shut(request, socket.SHUT_RD)

    @staticmethod
    def _shut(request: Any, how: int) -> None:
        if isinstance(request, StreamSocket):
            with suppress(OSError):  # it has gone already
                StreamSocket.shutdown(request, how)

    def _is_gone(self, place: Place) -> bool:
        return type(place.key) is int and self.world.network.find(place.key) is None

    def _async_request(self, request: Any) -> Any:
        return BlockingRequest(request)

    def _observed(self, request: Any) -> Any:
        if isinstance(request, MemorySocket):
            key = request.fileno()

            def tell(direction: str, count: int) -> None:
                place = self._ledger.find_exactly(key)
                number = 0 if place is None else place.number
                self._emit(TraceKind.BYTES, number, direction, count)

            request.observer = tell
        return request


class UDPServer(DatagramHooks, TCPServer):
    """A server on a datagram socket; see :class:`~sync_backend.socket_hooks.DatagramHooks`."""

    def _make_nonblocking(self) -> None:
        DatagramHooks._make_nonblocking(self)

    def _interrupt(self, request: Any) -> None:
        """Nobody waits for a datagram that has come."""

    def _is_gone(self, place: Place) -> bool:
        return False

    def _async_request(self, request: Any) -> Any:
        data, sock = request
        return data, BlockingRequest(sock)

    def _observed(self, request: Any) -> Any:
        data, sock = request
        self._emit(TraceKind.BYTES, 0, "in", len(data))
        if isinstance(sock, MemorySocket):
            sock.observer = lambda direction, count: self._emit(
                TraceKind.BYTES, 0, direction, count
            )
        return request


if TYPE_CHECKING:
    _Server = BaseServer
else:
    _Server = object  # a mix-in has no base of its own, and so does nothing behind the server class


class ThreadingMixIn(_Server):
    """Serve each request in an actor of its own, as others do in a thread."""

    #: As on ``sync_backend``: whether ``server_close()`` waits for them, and if it does for these.
    daemon_threads: bool = False
    block_on_close: bool = True
    #: Without a meaning here.
    reuse_threads: bool = False

    @property
    def _jobs(self) -> dict[Actor, tuple[Place, bool]]:
        jobs: dict[Actor, tuple[Place, bool]] = self.__dict__.setdefault("_jobs_", {})
        return jobs

    def process_request_thread(self, request: Any, client_address: Any) -> Any:
        """Serve a request; this is what the actor does."""
        return self.continue_request(Step.FINISH, request, client_address)

    def process_request(self, request: Any, client_address: Any) -> Any:
        """Serve a request in an actor of its own.

        :raises RuntimeError: a fault keeps it from being started.
        """
        place = self._place_of(request, client_address)
        if self.world.fault("thread") is not None:
            raise injected(RuntimeError("can't start new thread"))

        def work() -> None:
            me = self.world.me()
            try:
                self.process_request_thread(request, client_address)
            except Unwound:
                raise
            except BaseException as error:  # noqa: BLE001 - told to whom threads tell such
                self.world.report(me, error)
            finally:
                self._jobs.pop(me, None)
                place.worker = place.request = None
                self._released()

        actor = self.world.spawn(f"request {place.number}", work, fresh=True)
        self._jobs[actor] = (place, self.daemon_threads)
        place.worker = actor

    def server_close(self) -> None:
        """Close the server; wait for its actors as :attr:`block_on_close` says."""
        super().server_close()
        if self.drain_timeout is None and self.block_on_close:
            self._drain([place for place, daemon in self._jobs.values() if not daemon], None)

    def _under_way(self) -> Iterable[Place]:
        places = {*super()._under_way(), *(place for place, _ in self._jobs.values())}
        return sorted(places, key=attrgetter("number"))

    def _is_own(self, worker: Any) -> bool:
        return worker in self._jobs


class ThreadingTCPServer(ThreadingMixIn, TCPServer):
    """A :class:`TCPServer` with an actor for each connection."""


class ThreadingUDPServer(ThreadingMixIn, UDPServer):
    """A :class:`UDPServer` with an actor for each datagram."""


class UnixStreamServer(TCPServer):
    """A server on a Unix stream socket."""

    address_family: int = AF_UNIX


class UnixDatagramServer(UDPServer):
    """A server on a Unix datagram socket."""

    address_family: int = AF_UNIX


class ThreadingUnixStreamServer(ThreadingMixIn, UnixStreamServer):
    """A :class:`UnixStreamServer` with an actor for each connection."""


class ThreadingUnixDatagramServer(ThreadingMixIn, UnixDatagramServer):
    """A :class:`UnixDatagramServer` with an actor for each datagram."""


class ForkingTCPServer(ForkingMixIn, TCPServer):
    """A :class:`TCPServer` with an actor, and a copy of the server, for each connection."""


class ForkingUDPServer(ForkingMixIn, UDPServer):
    """A :class:`UDPServer` with an actor, and a copy of the server, for each datagram."""


class ForkingUnixStreamServer(ForkingMixIn, UnixStreamServer):
    """A :class:`UnixStreamServer` with an actor, and a copy of the server, for each connection."""


class ForkingUnixDatagramServer(ForkingMixIn, UnixDatagramServer):
    """A :class:`UnixDatagramServer` with an actor, and a copy of the server, for each datagram."""
