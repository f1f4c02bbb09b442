"""``BaseServer`` on blocking sockets: the loop, and stopping it."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, closing
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from sansio_server.accept_errors import FATAL_ERRNOS, AcceptError, classify_accept_error
from sansio_server.deferred import is_awaitable
from sansio_server.driver import continue_request, place_of, run_blocking, start_request
from sansio_server.hooks import LOGGER, ServerHooks
from sansio_server.ledger import Place
from sansio_server.lifecycle import Event, State
from sansio_server.limits import AcceptBackoff, Admission, admission
from sansio_server.request import Step
from sansio_server.trace import TraceKind

from .control import Control, Loop
from .draining import Draining
from .poller import Poller
from .runtime import BlockingRuntime

__all__ = ["BaseServer"]

_Self = TypeVar("_Self", bound="BaseServer")

#: How often, in seconds, a full server looks for requests that an override closed by itself.
_SWEEP_INTERVAL = 1.0


class BaseServer(Draining):
    """A server without a socket: subclasses bring ``fileno()``, ``get_request()`` and the like.

    See :class:`~sansio_server.hooks.ServerHooks` for the arguments and the attributes.
    """

    #: What asynchronous handlers find in ``server.runtime``.
    runtime: ClassVar[BlockingRuntime] = BlockingRuntime()

    #: The bodies of ``service_actions`` that need no turn of the loop when nothing happens.
    _restful: ClassVar[tuple[Callable[..., Any], ...]] = (ServerHooks.service_actions,)

    def __init__(self, server_address: Any, RequestHandlerClass: Callable[..., Any]) -> None:
        super().__init__(server_address, RequestHandlerClass)
        self._control = Control(self.lifecycle, self._trace_state)
        self._backoff = AcceptBackoff()
        self._want_room: set[int] = set()  # idents of threads whose loops wait for it
        self._next_sweep = -math.inf
        self._sweeps = False

    # What subclasses bring. Not defined here, as it is not in the standard library, so that a
    # mix-in behind this class may bring it.

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
            no client comes. A stop needs no polling: it wakes the loop at once.
        :raises ValueError: a limit is negative, or the listener is closed.
        :raises OSError: the listener is dead.
        """
        _ = self.limits
        with self._control.running(Event.SERVE) as loop:
            if self._is_running():
                self._serve(loop, poll_interval)

    def _serve(self, loop: Loop, poll_interval: float | None) -> None:
        tries_first = self._prepare_listener()
        may_be_there = tries_first
        with closing(Poller(self, loop.wakeup, self._descriptors())) as poller:
            while self._is_running():
                if not may_be_there or self._admission() is Admission.WAIT:
                    may_be_there = self._sleep(poller, self._next_turn(poll_interval))
                    if not self._is_running():
                        break
                if may_be_there and self._admission() is not Admission.WAIT:
                    may_be_there = bool(self._handle_request_noblock()) and tries_first
                self._turn()

    def handle_request(self) -> Any:
        """Serve one request, or call ``handle_timeout()`` when none comes in time.

        The time is the shorter of :attr:`timeout` and the timeout of the server's socket. A stop
        ends the wait.

        :raises ValueError: a limit is negative, or the listener is closed.
        :raises OSError: the listener is dead.
        """
        _ = self.limits
        with self._control.running(Event.WAIT) as loop:
            if not self._is_running():
                return None
            deadline = self.now() + self._request_wait()
            self._prepare_listener()
            with closing(Poller(self, loop.wakeup, self._descriptors())) as poller:
                while self._is_running():
                    may_be_there = self._sleep(poller, deadline)
                    self._attend()
                    if may_be_there and self._admission() is not Admission.WAIT:
                        if self._control.end(loop, Event.REQUEST):
                            self._handle_request_noblock()
                            return None
                    elif self.now() >= deadline and self._control.end(loop, Event.TIMEOUT):
                        return self._run_hook(self.handle_timeout)
        return None

    def _request_wait(self) -> float:
        own = getattr(self, "socket", None)
        waits = (self.timeout, None if own is None else own.gettimeout())
        return min((wait for wait in waits if wait is not None), default=math.inf)

    def _handle_request_noblock(self) -> bool:
        """Take one request in, if there is one; return whether there was."""
        try:
            pair = self._run_hook(self.get_request)
        except OSError as error:
            self._accept_failed(error)
            return False
        if self._backoff.episode:
            self._backoff = AcceptBackoff()
            LOGGER.warning("%s accepts again", self._name())
        request, client_address = pair
        if self.trace is not None:
            request = self._observed(request)
        full = self._admission() is Admission.SHED
        if full:
            self.ledger.count("shed")
            self.emit(TraceKind.OVERLOAD, 0, "shed", client_address)
        run_blocking(
            start_request(self, request, client_address, Step.SHED if full else Step.VERIFY)
        )
        return True

    def continue_request(self, entry: Step, request: Any, client_address: Any) -> Any:
        """Run the rest of a request that ``process_request`` has been given, here and now.

        :param entry: ``Step.HERE`` inside ``process_request``; ``Step.FINISH`` anywhere else.
        """
        worker = threading.get_ident()
        run_blocking(continue_request(self, entry, request, client_address, worker))

    def _run_hook(self, hook: Callable[[], Any]) -> Any:
        result = hook()
        if type(result) is not tuple and is_awaitable(result):
            return run_blocking(_await(result))
        return result

    # What the loop asks between requests.

    def _prepare_listener(self) -> bool:
        """Get ready to serve; return whether ``get_request()`` may be called to see who waits."""
        return False

    def _descriptors(self) -> Iterable[int]:
        """Return descriptors that are to end the loop's sleep, beside the listener's."""
        return ()

    def _capacity(self) -> int | None:
        """Return the most requests open at once; None for no limit."""
        return self.max_connections

    def _admission(self) -> Admission:
        if self.suspended() or (self._backoff.episode and self.now() < self._backoff.until):
            return Admission.WAIT
        return admission(len(self.ledger), self._capacity(), self.when_full)

    def _sleep(self, poller: Poller, until: float) -> bool:
        """Sleep until a client is there, there is something else to do, or the time has come."""
        me = threading.get_ident()
        self._want_room.add(me)  # before looking for room, or its coming might be missed
        try:
            listen = self._admission() is not Admission.WAIT
            until = min(until, self.ledger.next_deadline())
            if listen:
                self._want_room.discard(me)
            else:
                until = min(until, self._sweep())
                if self._backoff.episode:
                    until = min(until, self._backoff.until)
            return poller.wait(listen, until - self.now())
        except ValueError:
            if self._is_running():
                raise
            return False  # somebody closed the server meanwhile
        finally:
            self._want_room.discard(me)

    def _is_running(self) -> bool:
        return self.lifecycle.running

    def _next_turn(self, poll_interval: float | None) -> float:
        body = getattr(self.service_actions, "__func__", None)
        if poll_interval is None or (body in self._restful and not self._polls()):
            return math.inf
        return self.now() + poll_interval

    def _polls(self) -> bool:
        """Say whether there is something to wait for that no descriptor tells of."""
        return False

    def _turn(self) -> None:
        self._attend()
        self._run_hook(self.service_actions)

    def _attend(self) -> None:
        if self.ledger.next_deadline() != math.inf:
            for place in self.ledger.overdue(self.now()):
                self._cut(place, "request_timeout")

    def _sweep(self) -> float:
        """Give back, now and then, the places of requests that an override closed without a hook.

        Returns when to do this again; ``math.inf`` while there are none that it could be.
        """
        now = self.now()
        if now >= self._next_sweep:
            kept = self.ledger.kept()
            for place in filter(self._is_gone, kept):
                self.release(place)
            self._next_sweep = now + _SWEEP_INTERVAL
            self._sweeps = bool(kept)
        return self._next_sweep if self._sweeps else math.inf

    def _is_gone(self, place: Place) -> bool:
        """Say whether the request of *place* is known to be closed."""
        return False

    def _close_listener(self) -> None:
        """Let nobody else in."""

    # When things go wrong.

    def _accept_failed(self, error: OSError) -> None:
        dead = error.errno in FATAL_ERRNOS and self._listener_is_dead()
        kind = classify_accept_error(error, listener_dead=dead)
        if kind is AcceptError.FATAL and self.lifecycle.listener is not State.CLOSED:
            raise error
        if kind is AcceptError.CAPACITY:
            self.ledger.count("capacity_errors")
            if not self._backoff.episode:
                LOGGER.warning("%s cannot accept, and waits until it can: %s", self._name(), error)
            self._backoff = self._backoff.failed(self.now())
            self.emit(TraceKind.OVERLOAD, 0, "capacity", error)
        elif kind is AcceptError.CONNECTION:
            self.ledger.count("connection_errors")
            self.emit(TraceKind.OVERLOAD, 0, "connection-error", error)

    def _listener_is_dead(self) -> bool:
        return self.fileno() < 0

    # Stopping.

    def shutdown(self) -> None:
        """Stop ``serve_forever()``, and wait for it unless that would wait for the caller.

        May be called by any thread, handler or signal handler, any number of times. When nothing
        serves the stop is kept: it ends the next ``serve_forever()`` or ``handle_request()`` at
        once.
        """
        self._control.stop()

    def suspend(self) -> None:
        """Leave new clients in the listener's queue until :meth:`resume`."""
        self._control.post(Event.SUSPEND)

    def resume(self) -> None:
        """Accept clients again."""
        self._control.post(Event.RESUME)

    def server_close(self) -> None:
        """Close the server. A loop that still runs ends.

        With a :attr:`drain_timeout`, :meth:`drain` the requests under way.
        """
        self._control.post(Event.CLOSE)
        self._close_listener()
        if not self._control.loops:
            self._control.close_spare()
        if self.drain_timeout is not None:
            self.drain(self.drain_timeout)

    # Bookkeeping.

    def _happened(self, event: Event) -> None:
        self._control.post(event)

    def _place_of(self, request: Any, client_address: Any) -> Place:
        return place_of(self, request, client_address)

    def release(self, place: Place) -> None:
        """Give back the place of a request that is over. Harmless if it was given back before."""
        super().release(place)
        if self._want_room:
            self._control.wake()

    def now(self) -> float:
        """Return the time in seconds on the monotonic clock."""
        return time.monotonic()

    def _new_lock(self) -> AbstractContextManager[Any]:
        return threading.Lock()

    def _observed(self, request: Any) -> Any:
        """Return *request*, made to tell the trace of its bytes where that is possible."""
        return request

    def _trace_state(self, event: Event) -> None:
        self.emit(TraceKind.STATE, 0, event.name, self.lifecycle.loop.name)

    def __enter__(self: _Self) -> _Self:  # noqa: PYI019 - typing.Self came with Python 3.11
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        exc_traceback: TracebackType | None,
    ) -> None:
        self.server_close()


async def _await(awaitable: Any) -> Any:
    return await awaitable
