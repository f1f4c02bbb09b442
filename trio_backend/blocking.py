"""All of ``socketserver`` with its blocking signatures; the waiting is trio's.

``import trio_backend.blocking as socketserver`` is all that a program needs. ``serve_forever()``
and ``handle_request()`` enter trio in the calling thread. Handlers run where the standard library
runs them, in the serving thread or in one of their own; or, where
:attr:`BaseServer.blocking_handlers` says "greenlets", as trio tasks, thousands of them without a
thread.
"""

from __future__ import annotations

import math
import socket
import threading
from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import trio

import sync_backend
from sansio_server.deferred import is_awaitable
from sansio_server.handlers import (
    BaseRequestHandler,
    DatagramRequestHandler,
    StreamRequestHandler,
)
from sansio_server.ledger import Place
from sansio_server.lifecycle import Event
from sansio_server.loop import request_loop, serve_loop
from sync_backend.control import Loop

from .alarm import Alarm
from .bridged import BridgedRequest
from .carriers import CARRIERS, BlockingHandlers
from .crew import GreenCrew, GreenJob
from .stream import TrioRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

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

_T = TypeVar("_T")


class BaseServer(sync_backend.BaseServer):
    """A server without a socket, whose loop is a trio run; see :class:`sync_backend.BaseServer`.

    :raises NotImplementedError: the class is a forking one: a child cannot leave trio's run.
    """

    #: Where blocking handlers run: in "threads", as in the standard library, or in "greenlets".
    blocking_handlers: BlockingHandlers = "threads"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if isinstance(self, ForkingMixIn):
            raise NotImplementedError(
                f"{type(self).__name__} cannot fork inside a trio run: use a threading class, or "
                "sync_backend, whose forking classes are the standard library's"
            )
        if self.blocking_handlers not in CARRIERS:
            raise ValueError(
                f"blocking_handlers must be one of {sorted(CARRIERS)}, "
                f"not {self.blocking_handlers!r}"
            )
        #: Held by a loop while it waits for the listener, which must not be closed meanwhile.
        self._listening = threading.Lock()
        self._listener_thread: int | None = None
        super().__init__(*args, **kwargs)

    def serve_forever(self, poll_interval: float | None = 0.5) -> None:
        """Serve until ``shutdown()``; see :meth:`sync_backend.BaseServer.serve_forever`."""
        _ = self.limits
        self._enter_trio(Event.SERVE, lambda turns: serve_loop(self, turns, poll_interval))

    def handle_request(self) -> Any:
        """Serve one request; see :meth:`sync_backend.BaseServer.handle_request`."""
        _ = self.limits
        return self._enter_trio(
            Event.WAIT, lambda turns: request_loop(self, turns, self._request_wait())
        )

    def _enter_trio(self, event: Event, run_loop: Callable[[_Turns], Awaitable[_T]]) -> _T | None:
        return trio.run(self._in_trio, event, run_loop)

    async def _in_trio(
        self, event: Event, run_loop: Callable[[_Turns], Awaitable[_T]]
    ) -> _T | None:
        alarm = Alarm()
        failure: BaseException | None = None
        result: _T | None = None
        with self._control.running_with(event, alarm) as loop:
            if not self.is_running():
                return None
            self._prepare_listener()
            async with trio.open_nursery() as nursery:
                crew = self._crew_in(nursery)
                try:
                    result = await run_loop(_Turns(self, loop, alarm))
                    # Whoever waits in shutdown() waits for this, and not for the handlers.
                    self._control.end(loop, Event.LEAVE)
                    if crew is not None:
                        await crew.finish(self.drain_timeout)
                except BaseException as error:  # noqa: BLE001 - raised below, not in a group
                    failure = error
                    nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure
        return result

    def _crew_in(self, nursery: trio.Nursery) -> GreenCrew | None:
        """Return who runs the handlers of a threading server in *nursery*, if tasks are to."""
        return None

    # Greenlets.

    def _in_greenlets(self) -> bool:
        return self.blocking_handlers == "greenlets"

    @property
    def carrier(self) -> Any:
        """What gives handlers in greenlets a request that lets their task wait; None in threads."""
        return _carry if self._in_greenlets() else None

    @carrier.setter
    def carrier(self, value: object) -> None:
        raise AttributeError("set blocking_handlers to choose where blocking handlers run")

    def _where(self, place: Place) -> str:
        if isinstance(place.worker, GreenJob):
            return place.worker.where()
        return super()._where(place)

    # The listener, which trio's run has to be told of.

    @contextmanager
    def _waiting_for_listener(self) -> Iterator[None]:
        with self._listening:
            self._listener_thread = threading.get_ident()
            try:
                yield
            finally:
                self._listener_thread = None

    def _close_listener(self) -> None:
        if self._listener_thread == threading.get_ident():
            if self.fileno() >= 0:
                trio.lowlevel.notify_closing(self.fileno())
            super()._close_listener()
        else:
            with self._listening:  # the loop has been woken: it is about to let go
                super()._close_listener()


class _Turns:
    """The turns of a loop in a trio run."""

    tries_first = False

    def __init__(self, server: BaseServer, loop: Loop, alarm: Alarm) -> None:
        self._server = server
        self._loop = loop
        self._alarm = alarm

    async def sleep(self, until: float) -> bool:
        server = self._server
        me = threading.get_ident()
        server._awaiting.add(me)
        try:
            plan = server.plan(until)
            if not plan.listen:
                return await self._alarm.sleep(
                    _on_trios_clock(server, plan.until), trio.sleep_forever
                )
            server._awaiting.discard(me)
            return await self._alarm.sleep(_on_trios_clock(server, plan.until), self._wait)
        finally:
            server._awaiting.discard(me)

    async def _wait(self) -> None:
        descriptor = self._server.fileno()
        if descriptor < 0 and not self._server.is_running():
            return
        with self._server._waiting_for_listener():
            await trio.lowlevel.wait_readable(descriptor)

    async def let_in(self) -> bool:
        server = self._server
        if not server._in_greenlets():
            return server._handle_request_noblock()
        from .greenlets import bridge  # noqa: PLC0415 - an extra

        return await bridge(self, server._handle_request_noblock)

    #: The greenlet of a plain server's handler, as :func:`~.greenlets.bridge` sets it.
    greenlet: Any = None

    def end(self, event: Event) -> bool:
        return self._server._control.end(self._loop, event)


def _on_trios_clock(server: BaseServer, until: float) -> float:
    return math.inf if until == math.inf else trio.current_time() + until - server.now()


async def _carry(hook: Callable[..., Any], request: Any, client_address: Any) -> Any:
    """Call *hook* in the greenlet that this runs in, with a request that lets the task wait."""
    from .greenlets import wait_for  # noqa: PLC0415 - an extra

    if isinstance(request, tuple):
        data, sock = request
        lent: Any = (data, BridgedRequest(TrioRequest(sock), sock, wait_for))
    else:
        lent = BridgedRequest(TrioRequest(request), request, wait_for)
    result = hook(lent, client_address)
    return await result if is_awaitable(result) else result


class TCPServer(BaseServer, sync_backend.TCPServer):
    """See :class:`sync_backend.TCPServer`."""


class UDPServer(TCPServer, sync_backend.UDPServer):
    """See :class:`sync_backend.UDPServer`."""


class ThreadingMixIn(sync_backend.ThreadingMixIn):
    """Serve each request in a thread or task; see :class:`sync_backend.ThreadingMixIn`."""

    if TYPE_CHECKING:
        _in_greenlets: Callable[[], bool]

    _green: GreenCrew | None = None

    @property
    def _threads(self) -> Any:
        return super()._threads if self._green is None else self._green

    def _crew_in(self, nursery: trio.Nursery) -> GreenCrew | None:
        self._green = GreenCrew(self._progress, nursery) if self._in_greenlets() else None
        return self._green


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
