"""What every serve loop decides between two requests, whatever it waits with.

A backend's loop asks :meth:`Serving.plan` how to sleep, sleeps, and tells what became of it:
:meth:`Serving._came_in` for a request, :meth:`Serving._accept_failed` for an error,
:meth:`Serving._attend` in each turn.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Final

import attrs

from .accept_errors import FATAL_ERRNOS, AcceptError, classify_accept_error
from .driver import take_in
from .hooks import LOGGER, ServerHooks
from .ledger import Place
from .lifecycle import Event, State
from .limits import AcceptBackoff, Admission, admission
from .request import Step
from .trace import LimitsInForce, OpenRequest, Standing, TraceKind

__all__ = ["SWEEP_INTERVAL", "Plan", "Serving", "Sleep"]

#: How often, in seconds, a full server looks for requests that an override closed by itself.
SWEEP_INTERVAL: Final = 1.0

_ACCEPT, _WAIT, _SHED = Admission.ACCEPT, Admission.WAIT, Admission.SHED
_SUSPENDED, _VERIFY, _TELL = State.SUSPENDED, Step.VERIFY, Step.SHED
_STOPPED: Final = frozenset({State.STOPPING, State.STOP_KEPT})


@attrs.frozen
class Plan:
    """How a loop is to sleep.

    :ivar listen: whether a client who comes is to end the sleep.
    :ivar until: when the sleep is to end by itself; ``math.inf`` for never.
    """

    listen: bool
    until: float


class Sleep:
    """A sleep of a loop. Where there is no room, it is one of those to be told of a free place.

    Entering it returns the :class:`Plan`.

    :param server: the server whose loop sleeps.
    :param sleeper: what tells the loop from others.
    :param until: when the loop has something else to do.
    """

    __slots__ = ("_server", "_sleeper", "_until")

    def __init__(self, server: Serving, sleeper: object, until: float) -> None:
        self._server = server
        self._sleeper = sleeper
        self._until = until

    def __enter__(self) -> Plan:
        server = self._server
        server._awaiting.add(self._sleeper)  # before looking for room: it may come just then
        try:
            plan = server._plan(self._until)
        except BaseException:
            server._awaiting.discard(self._sleeper)
            raise
        if plan.listen:
            server._awaiting.discard(self._sleeper)
        return plan

    def __exit__(self, *exc_info: object) -> None:
        self._server._awaiting.discard(self._sleeper)


class Serving(ServerHooks):
    """A server that takes requests in, within its limits."""

    #: Whether there is a bound beside ``max_connections``.
    _bounded: ClassVar[bool] = False
    #: Whether :meth:`_attend` has something to do even if no request can be overdue.
    _always_attends: ClassVar[bool] = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._backoff = AcceptBackoff()
        self._next_sweep = -math.inf
        self._sweeps = False

    def suspended(self) -> bool:
        """Say whether ``suspend()`` was called, and ``resume()`` not since."""
        return self._lifecycle.accepting is _SUSPENDED

    def suspend(self) -> None:
        """Leave new clients in the listener's queue until :meth:`resume`."""
        self._happened(Event.SUSPEND)

    def resume(self) -> None:
        """Accept clients again."""
        self._happened(Event.RESUME)

    # For the loop.

    def _is_running(self) -> bool:
        """Say whether a loop may go on.

        Call this before each sleep, and before each attempt to accept.
        """
        return self._lifecycle.running

    def _acts(self) -> bool:
        """Say whether ``service_actions()`` does anything.

        Call this before the first turn, and after each sleep.
        """
        return getattr(self.service_actions, "__func__", None) is not ServerHooks.service_actions

    def _needs_turns(self) -> bool:
        """Say whether ``service_actions()`` is to be called even if nothing happens.

        Call this before each sleep.
        """
        return self._acts()

    def _admission(self) -> Admission:
        """Say whether a request may come in now.

        Call this before each attempt to accept.
        """
        if self._lifecycle.accepting is _SUSPENDED:
            return _WAIT
        if self._backoff.delay and self._now() < self._backoff.until:
            return _WAIT
        if self.max_connections is None and not self._bounded:
            return _ACCEPT
        return admission(len(self._ledger), self._capacity(), self.when_full)

    def _request_wait(self) -> float:
        """Return how long ``handle_request()`` waits, in seconds; ``math.inf`` for ever.

        Call this for :func:`~sansio_server.loop.request_loop`. It is the shorter of the server's
        :attr:`timeout` and that of its socket, if it has one.
        """
        own = getattr(self, "socket", None)
        waits = (self.timeout, None if own is None else own.gettimeout())
        return min((wait for wait in waits if wait is not None), default=math.inf)

    def _sleeping(self, sleeper: object, until: float) -> Sleep:
        """Return what a loop enters to sleep: it says how, and lets free places end the sleep.

        Call this for each sleep.

        :param sleeper: what tells this loop from others.
        :param until: when the loop has something else to do.
        """
        return Sleep(self, sleeper, until)

    def _plan(self, until: float) -> Plan:
        """Say how to sleep.

        Call this before each sleep, with the places that become free from now on to end it.

        :param until: when the loop has something else to do.
        """
        listen = self._admission() is not _WAIT
        until = min(until, self._ledger.next_deadline())
        if not listen:
            # Once its time is over, it is something else that lets nobody in.
            if self._backoff.episode and self._now() < self._backoff.until:
                until = min(until, self._backoff.until)
            until = min(until, self._sweep())
            if self.trace is not None:
                self._emit(TraceKind.WAIT, 0, self._why_wait(), len(self._ledger))
        return Plan(listen, until)

    def _why_wait(self) -> str:
        if self._lifecycle.accepting is _SUSPENDED:
            return "suspended"
        backing_off = self._backoff.episode and self._now() < self._backoff.until
        return "back-off" if backing_off else "full"

    def _came_in(self) -> Step:
        """Say where a request enters its table.

        Call this when ``get_request()`` has returned one.
        """
        if self._backoff.delay:
            self._backoff = AcceptBackoff()
            LOGGER.warning("%s accepts again", self._name())
        if self.when_full == "wait":
            return _VERIFY  # the loop has seen that there is room
        if admission(len(self._ledger), self._capacity(), self.when_full) is _SHED:
            self._ledger.count("shed")
            self._emit(TraceKind.OVERLOAD, 0, "shed")
            return _TELL
        return _VERIFY

    def _take_in(self, pair: Any) -> tuple[Step, Any, Any, Place]:
        """Take a place for *pair*, which ``get_request()`` has returned.

        Call this in the loop, before the next request. Returns what :func:`~.driver.drive` is to be
        called with, there or in whatever else is to serve the request.
        """
        request, client_address = pair
        if self.trace is not None:
            request = self._observed(request)
        entry = _VERIFY
        if self.when_full != "wait" or self._backoff.delay:  # otherwise that is what comes out
            entry = self._came_in()
        return entry, request, client_address, take_in(self, request, client_address)

    def _accept_failed(self, error: OSError) -> None:
        """Note that ``get_request()`` raised *error*.

        :raises OSError: *error*, if it means that the listener is dead.
        """
        dead = error.errno in FATAL_ERRNOS and self._listener_is_dead()
        kind = classify_accept_error(error, listener_dead=dead)
        if kind is AcceptError.FATAL and self._lifecycle.listener is not State.CLOSED:
            self._emit(TraceKind.OVERLOAD, 0, "fatal", error)
            raise error
        if kind is AcceptError.CAPACITY:
            self._ledger.count("capacity_errors")
            if not self._backoff.episode:
                LOGGER.warning("%s cannot accept, and waits until it can: %s", self._name(), error)
            now = self._now()
            self._backoff = self._backoff.failed(now)
            self._emit(TraceKind.OVERLOAD, 0, "capacity", error, time=now)
        elif kind is AcceptError.CONNECTION:
            self._ledger.count("connection_errors")
            self._emit(TraceKind.OVERLOAD, 0, "connection-error", error)

    def _attend(self) -> None:
        """Cut the requests that are overdue.

        Call this in each turn of the loop in which there may be any.
        """
        for place in self._ledger.overdue(self._now()):
            self._cut(place, "request_timeout")

    # For handlers.

    def end_input_at_stop(self, request: Any) -> None:
        """Let a stop end what there is to read from *request*, as if the client sent no more.

        Call this in the hooks of a handler; those with
        :attr:`~sansio_server.handlers.StreamRequestHandler.stop_ends_input` do.

        :param request: as the handler has it.
        """
        place = self._ledger.find(self._request_key(request))
        if place is not None:
            place.stop_ends_input = True
            if place.stopped or self._lifecycle.loop in _STOPPED:
                self._tell_of_stop(place)

    def _show_stop(self) -> None:
        """Let handlers see that a stop was asked for.

        Call this when one was; and when a loop has seen it, for those it let in meanwhile.
        """
        for place in self._ledger:
            self._tell_of_stop(place)

    def _tell_of_stop(self, place: Place) -> None:
        place.stopped = True  # before looking: the handler asks in another order
        if place.stop_ends_input and place.request is not None:
            self._end_input(place.request)

    # For traces.

    def _limits_in_force(self) -> LimitsInForce | None:
        try:
            return LimitsInForce(self._checked_limits(), self._capacity())
        except (TypeError, ValueError):
            return None  # the program has set what makes no sense, and is told where it matters

    def _standing(self) -> Standing | None:
        lifecycle, ledger, limits = self._lifecycle, self._ledger, self._limits_in_force()
        if limits is None:
            return None
        return Standing(
            listener=lifecycle.listener,
            loop=lifecycle.loop,
            accepting=lifecycle.accepting,
            drain=lifecycle.drain,
            loops=lifecycle.loops,
            limits=limits,
            backoff=self._backoff,
            numbered=ledger.numbered,
            requests=tuple(
                OpenRequest(
                    place.number, place.client_address, place.since, place.deadline, place.cut
                )
                for place in ledger
            ),
        )

    def _stand(self, standing: Standing) -> None:
        """Stand as another server stood when its trace began.

        To be done before anything else, where what that one decided is to be decided again. Its
        limits are for the caller to set.
        """
        lifecycle = self._lifecycle
        lifecycle.listener, lifecycle.loop = standing.listener, standing.loop
        lifecycle.accepting, lifecycle.drain = standing.accepting, standing.drain
        lifecycle.loops = standing.loops
        self._backoff = standing.backoff
        for request in standing.requests:
            place = self._ledger.reserve(
                request.number, request.client_address, request.since, request.deadline
            )
            place.cut = request.cut
        self._ledger.number_from(standing.numbered + 1)

    # What a backend may have to say.

    def _capacity(self) -> int | None:
        """Return the most requests open at once; None for no limit."""
        return self.max_connections

    def _listener_is_dead(self) -> bool:
        """Say whether the listener is seen to be closed, or no longer listening."""
        return False

    def _is_gone(self, place: Place) -> bool:
        """Say whether the request of *place* is known to be closed."""
        return False

    def _cut(self, place: Place, why: str) -> None:
        """Make the end of a request near, from outside."""
        if not place.cut:
            place.cut = True
            self._ledger.count("cut")
            self._emit(TraceKind.CUT, place.number, "cut", why)
        self._end_early(place)

    def _end_early(self, place: Place) -> None:
        """Let who serves *place* come to an end, from outside."""
        if place.request is not None:
            self._interrupt(place.request)

    def _interrupt(self, request: Any) -> None:
        """Wake whoever waits for *request*."""

    def _end_input(self, request: Any) -> None:
        """Let reading from *request* come to its end, from outside."""

    def _observed(self, request: Any) -> Any:
        """Return *request*, made to tell the trace of its bytes where that is possible."""
        return request

    def _name(self) -> str:
        return f"{type(self).__name__} on {self.server_address!r}"

    def _sweep(self) -> float:
        """Give back, now and then, the places of requests that an override closed without a hook.

        Returns when to do this again; ``math.inf`` while there are none that it could be.
        """
        now = self._now()
        if now >= self._next_sweep:
            kept = self._ledger.kept()
            for place in filter(self._is_gone, kept):
                self._release(place)
            self._next_sweep = now + SWEEP_INTERVAL
            self._sweeps = bool(kept)
        return self._next_sweep if self._sweeps else math.inf
