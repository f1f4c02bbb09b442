"""How a server stands, learned from its trace alone."""

from __future__ import annotations

import math
from contextlib import suppress

import attrs

from sansio_server.exceptions import IllegalTransition
from sansio_server.lifecycle import Event, Lifecycle
from sansio_server.limits import AcceptBackoff
from sansio_server.trace import LimitsInForce, OpenRequest, Standing, TraceEvent, TraceKind

from .format import CONTINUES

__all__ = ["Follower"]


class Follower:
    """Follows a trace, and says how its server stands.

    It believes what it is told, and decides nothing.

    :ivar time: when the last event was.
    """

    def __init__(self) -> None:
        self.time = 0.0
        self._lifecycle = Lifecycle()
        self._limits: LimitsInForce | None = None
        self._backoff = AcceptBackoff()
        self._numbered = 0
        self._requests: dict[int, OpenRequest] = {}
        self._includes_next = False

    def standing(self) -> Standing | None:
        """Return how the server stands; None as long as that is not known."""
        if self._limits is None:
            return None
        lifecycle = self._lifecycle
        return Standing(
            lifecycle.listener,
            lifecycle.loop,
            lifecycle.accepting,
            lifecycle.drain,
            lifecycle.loops,
            self._limits,
            self._backoff,
            self._numbered,
            tuple(self._requests.values()),
        )

    def follow(self, event: TraceEvent) -> None:
        """Take *event*, the next, in."""
        self.time = event.time
        included, self._includes_next = self._includes_next, False
        if event.kind is TraceKind.BEGIN:
            self._begin(event.detail)
            self._includes_next = event.what != CONTINUES
        elif event.kind is TraceKind.LIMITS:
            self._limits = event.detail
        elif event.kind is TraceKind.STATE and not included:
            with suppress(KeyError, IllegalTransition):
                self._lifecycle.put(Event[event.what])
        elif event.kind is TraceKind.OVERLOAD and event.what == "capacity" and not included:
            self._backoff = self._backoff.failed(event.time)
        elif event.kind is TraceKind.ACCEPT:
            self._accept(event)
        elif event.kind is TraceKind.CLOSE:
            self._requests.pop(event.request, None)
        elif event.kind is TraceKind.CUT and event.request in self._requests:
            cut = attrs.evolve(self._requests[event.request], cut=True)
            self._requests[event.request] = cut

    def _begin(self, standing: Standing) -> None:
        self._lifecycle = Lifecycle(
            standing.listener, standing.loop, standing.accepting, standing.drain, standing.loops
        )
        self._limits = standing.limits
        self._backoff = standing.backoff
        self._numbered = standing.numbered
        self._requests = {each.number: each for each in standing.requests}

    def _accept(self, event: TraceEvent) -> None:
        self._backoff = AcceptBackoff()
        self._numbered = max(self._numbered, event.request)
        timeout = None if self._limits is None else self._limits.limits.request_timeout
        deadline = math.inf if timeout is None else event.time + timeout
        self._requests[event.request] = OpenRequest(
            event.request, event.detail, event.time, deadline, cut=False
        )
