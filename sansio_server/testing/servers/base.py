"""``BaseServer`` in memory: the loop, stopping it, and ending the requests under way."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from sansio_server.deferred import DONE, as_coroutine, is_awaitable
from sansio_server.draining import BlockingDraining
from sansio_server.driver import continue_request, place_of, run_blocking, start_request
from sansio_server.ledger import Place
from sansio_server.lifecycle import STOPS, Event, State
from sansio_server.loop import request_loop, serve_loop
from sansio_server.request import Step
from sansio_server.testing.world.scheduler import Actor, Signal
from sansio_server.testing.world.world import World, current_world
from sansio_server.trace import TraceKind
from sync_backend.runtime import BlockingRuntime

__all__ = ["BaseServer"]

_HERE = Step.HERE

_Self = TypeVar("_Self", bound="BaseServer")


class _Loop:
    """One running ``serve_forever()`` or ``handle_request()``; the turns that it takes."""

    tries_first = False  # a client is known to be there before it is let in

    def __init__(self, server: BaseServer, actor: Actor) -> None:
        self.server = server
        self.actor = actor
        self.is_running = True
        self.stopped = False

    def sleep(self, until: float) -> bool:
        """Sleep as the server's plan says; return whether a client came."""
        server = self.server
        world = server.world
        with server._sleeping(self, until) as plan:
            listener = server._listener() if plan.listen else None
            if listener is None:
                world.wait(server._wakeup, until=plan.until, why="something to do", idle=True)
                return False
            is_there: bool
            is_there, arrived = listener.readable()
            if not is_there:
                world.wait(arrived, server._wakeup, until=plan.until, why="a client", idle=True)
                is_there, _ = listener.readable()
            return is_there

    def let_in(self) -> bool:
        """Let in who is there."""
        return self.server._handle_request_noblock()

    def end(self, event: Event) -> bool:
        """End the loop by *event*, unless a stop came first."""
        return self.server._end_loop(self, event)


class BaseServer(BlockingDraining):
    """A server of a world, without a socket; see :class:`~sansio_server.hooks.ServerHooks`.

    Subclasses bring ``fileno()``, a descriptor of the world's, ``get_request()`` and the like.
    Handlers run as on ``sync_backend``: in the loop, or in actors of their own in place of threads
    and children.

    :raises RuntimeError: no world is running in this thread.

    :ivar world: the world.
    """

    #: What asynchronous handlers find in ``server.runtime``.
    runtime: ClassVar[BlockingRuntime] = BlockingRuntime()

    def __init__(self, server_address: Any, RequestHandlerClass: Callable[..., Any] | None) -> None:
        self.world: World = current_world()
        super().__init__(server_address, RequestHandlerClass)
        self._wakeup = Signal()
        self._progress = Signal()
        self._loop_left = Signal()
        self._loops: list[_Loop] = []

    if TYPE_CHECKING:

        def fileno(self) -> int:
            """Return the descriptor that becomes readable when a request is there."""

        def get_request(self) -> Any:
            """Return the next request and the client's address."""

    def server_activate(self) -> Any:
        """Begin to let clients in; called by the constructors of subclasses."""
        self._happened(Event.ACTIVATE)

    # Serving.

    def serve_forever(self, poll_interval: float | None = 0.5) -> None:
        """Serve until ``shutdown()``.

        :param poll_interval: seconds between two calls of an overridden ``service_actions()`` when
            no client comes.
        :raises ValueError: a limit is negative, or the listener is closed.
        :raises OSError: the listener is dead.
        """
        self._checked_limits()
        with self._running(Event.SERVE) as loop:
            if self._is_running():
                self._prepare_listener()
                run_blocking(serve_loop(self, loop, poll_interval))

    def handle_request(self) -> Any:
        """Serve one request, or call ``handle_timeout()`` when none comes in time.

        :raises ValueError: a limit is negative, or the listener is closed.
        :raises OSError: the listener is dead.
        """
        self._checked_limits()
        with self._running(Event.WAIT) as loop:
            if not self._is_running():
                return None
            self._prepare_listener()
            return run_blocking(request_loop(self, loop, self._request_wait()))

    @contextmanager
    def _running(self, event: Event) -> Iterator[_Loop]:
        loop = _Loop(self, self.world.me())
        self._loops.append(loop)
        self._happened(event)
        try:
            yield loop
        finally:
            self._end_loop(loop, Event.LEAVE)

    def _end_loop(self, loop: _Loop, event: Event) -> bool:
        if loop.is_running and (event is Event.LEAVE or self._is_running()):
            loop.is_running = False
            self._loops.remove(loop)
            self._happened(event)
            self.world.tell(self._loop_left)
        return not loop.is_running

    def _listener(self) -> Any:
        """Return the socket that clients come to.

        :raises ValueError: it is none of the world's, or closed.
        """
        descriptor = self.fileno()
        listener = self.world.network.find(descriptor)
        if listener is None:
            if not self._is_running():
                return None
            raise ValueError(f"{descriptor} is not the descriptor of an open socket of the world")
        return listener

    def _handle_request_noblock(self) -> bool:
        """Let one request in, if there is one; return whether there was."""
        pair = self._next_request()
        if pair is None:
            return False
        request, client_address = pair
        if self.trace is not None:
            request = self._observed(request)
        self._served_by(request)
        run_blocking(start_request(self, request, client_address, self._came_in()))
        return True

    def _next_request(self) -> Any:
        try:
            pair = self.get_request()
            if type(pair) is not tuple and is_awaitable(pair):
                pair = run_blocking(as_coroutine(pair))
        except BlockingIOError:
            return None
        except OSError as error:
            self._accept_failed(error)
            return None
        return pair

    def continue_request(self, entry: Step, request: Any, client_address: Any) -> Any:
        """Run the rest of a request that ``process_request`` has been given, here and now.

        What this returns may be awaited, as overrides do that were written for a nursery.

        :param entry: ``Step.HERE`` inside ``process_request``; ``Step.FINISH`` anywhere else.
        """
        place = self._place_of(request, client_address)
        me = self.world.me()
        with self._as(me, place), self._watching(place, entry):
            run_blocking(continue_request(self, entry, request, client_address, me))
        return DONE

    @contextmanager
    def _as(self, actor: Actor, place: Place) -> Iterator[None]:
        """Tell the moments of *actor* as those of a request."""
        before, actor.label = actor.label, f"request {place.number}"
        try:
            yield
        finally:
            actor.label = before

    @contextmanager
    def _watching(self, place: Place, entry: Step) -> Iterator[None]:
        """Cut, when it is overdue, a request served in place: its loop cannot."""
        if entry is not _HERE or place.deadline == math.inf:
            yield
            return
        timer = self.world.call_at(place.deadline, lambda: self._cut_if_open(place))
        try:
            yield
        finally:
            timer.cancel()

    def _cut_if_open(self, place: Place) -> None:
        if place.open and not place.cut:
            self._cut(place, "request_timeout")

    def _place_of(self, request: Any, client_address: Any) -> Place:
        return place_of(self, request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> Any:
        """Report the exception that is being handled; by default to standard error."""
        return super().handle_error(request, client_address)

    # Stopping.

    def shutdown(self) -> None:
        """Stop ``serve_forever()``, and wait for it unless that would wait for the caller."""
        self._happened(Event.SHUTDOWN)
        loops = tuple(self._loops)
        for loop in loops:
            loop.stopped = True
        me = self.world.me()
        if all(loop.actor is not me for loop in loops):
            while any(loop.is_running and loop.stopped for loop in loops):
                self.world.wait(self._loop_left, why="the loop to end")

    def server_close(self) -> None:
        """Close the server. A loop that still runs ends.

        With a :attr:`drain_timeout`, :meth:`drain` the requests under way. The socket of a datagram
        server is closed after that, since they reply by it; it takes in no more meanwhile.
        """
        self._happened(Event.CLOSE)
        with self._closing_listener():
            if self.drain_timeout is not None:
                self.drain(self.drain_timeout)

    def _is_mine(self, place: Place) -> bool:
        return place.worker is self.world.me()

    def _where(self, place: Place) -> str:
        worker = place.worker
        return worker.stack() if isinstance(worker, Actor) else ""

    def _wait_for_end(self, places: Iterable[Place], until: float) -> None:
        if any(map(self._goes_on, places)):
            self.world.wait(self._progress, until=until, why="requests to end")

    def _released(self) -> None:
        self.world.tell(self._progress)
        self.world.tell(self._wakeup)

    def _prepare_listener(self) -> None:
        """Get ready to serve."""

    def _served_by(self, request: Any) -> None:
        """Note that *request* has come in."""

    def _listener_is_dead(self) -> bool:
        return self.fileno() < 0

    # Bookkeeping.

    def _now(self) -> float:
        return self.world.now

    def _happened(self, event: Event) -> None:
        self._lifecycle.put(event)
        self._emit(TraceKind.STATE, 0, event.name, self._lifecycle.loop.name)
        self.world.tell(self._wakeup)
        if event in STOPS and self._lifecycle.loop is not State.IDLE:
            self._show_stop()

    def __enter__(self: _Self) -> _Self:  # noqa: PYI019 - typing.Self came with Python 3.11
        return self

    def __exit__(self, *args: object) -> None:
        self.server_close()
