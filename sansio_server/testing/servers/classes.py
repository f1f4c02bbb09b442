"""The classes of ``socketserver`` in memory."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import attrs

from sansio_server.ledger import Place
from sansio_server.testing.scripts.faults import injected
from sansio_server.testing.sockets.base import AF_UNIX, MemorySocket
from sansio_server.testing.sockets.datagram import DatagramSocket
from sansio_server.testing.sockets.stream import StreamSocket
from sansio_server.testing.world.errors import Unwound
from sansio_server.testing.world.scheduler import Actor
from sansio_server.trace import TraceKind
from sync_backend import threads
from sync_backend.runtime import BlockingRequest
from sync_backend.socket_hooks import DatagramHooks, SocketHooks

from .base import BaseServer
from .forking import ForkingMixIn

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

    def _observed(self, request: Any) -> Any:
        data, sock = request
        self._emit(TraceKind.BYTES, 0, "in", len(data))
        if isinstance(sock, MemorySocket):
            sock.observer = lambda direction, count: self._emit(
                TraceKind.BYTES, 0, direction, count
            )
        return request


@attrs.frozen
class _Job:
    """The serving of one request by an actor.

    :ivar place: the request's place.
    :ivar daemon: whether nobody need wait for it.
    """

    place: Place
    daemon: bool


class _Crew:
    """The actors of one server: what :class:`sync_backend.crew.Crew` is for threads."""

    def __init__(self, server: BaseServer) -> None:
        self._server = server
        self._jobs: dict[Actor, _Job] = {}

    def __contains__(self, actor: object) -> bool:
        return actor in self._jobs

    def jobs(self) -> list[_Job]:
        """Return the jobs that an actor is at."""
        return list(self._jobs.values())

    def start(
        self,
        target: Callable[..., Any],
        args: tuple[Any, ...],
        place: Place,
        *,
        daemon: bool,
        reuse: bool,
    ) -> None:
        """Run ``target(*args)`` in a new actor, whatever *reuse* says.

        :raises RuntimeError: a fault keeps it from being started.
        """
        server, world = self._server, self._server.world
        if world.fault("thread") is not None:
            raise injected(RuntimeError("can't start new thread"))

        def work() -> None:
            me = world.me()
            try:
                target(*args)
            except Unwound:
                raise
            except BaseException as error:  # noqa: BLE001 - told to whom threads tell such
                world.report(me, error)
            finally:
                self._jobs.pop(me, None)
                place.worker = place.request = None
                server._released()

        actor = world.spawn(f"request {place.number}", work, fresh=True)
        self._jobs[actor] = _Job(place, daemon)
        place.worker = actor

    def dismiss(self) -> None:
        """End those that have nothing to do: there are none."""


if TYPE_CHECKING:

    class _Threading(BaseServer):
        """What :class:`sync_backend.ThreadingMixIn` brings, on a server in memory."""

        daemon_threads: bool
        block_on_close: bool
        reuse_threads: bool

        def process_request_thread(self, request: Any, client_address: Any) -> Any: ...
else:
    _Threading = threads.ThreadingMixIn


class ThreadingMixIn(_Threading):
    """Serve each request in an actor of its own, as others do in a thread.

    See :class:`sync_backend.ThreadingMixIn`. No actor is used again: ``reuse_threads`` does
    nothing.
    """

    @property
    def _threads(self) -> Any:
        crew: _Crew | None = self.__dict__.get("_crew")
        if crew is None:
            crew = self.__dict__.setdefault("_crew", _Crew(self))
        return crew

    def _is_dedicated(self, worker: Any) -> bool:
        return worker in self._threads


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
