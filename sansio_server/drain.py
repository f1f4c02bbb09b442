"""Waiting for the requests under way: grace, then a cut, then a report of those left.

:class:`Drain` holds the decisions. A backend asks it for the next :class:`DrainStep`, does what
that says, waits, and asks again; at the end there is a :class:`DrainReport`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import attrs

from .ledger import Place
from .lifecycle import Event, Lifecycle, State
from .limits import Limits

__all__ = ["Drain", "DrainReport", "DrainStep", "Straggler", "drain_summary"]


@attrs.frozen
class Straggler:
    """A request that did not end by itself before the drain's deadline.

    :ivar number: counts the server's requests from 1.
    :ivar client_address: the address of its client.
    :ivar where: where it was stuck when it was cut: the stack of its thread or task, or the pid of
        its child.
    :ivar ended: whether it ended once it was cut; False for one that was left behind.
    """

    number: int
    client_address: Any
    where: str
    ended: bool


@attrs.frozen
class DrainReport:
    """How a drain went.

    :ivar finished: the addresses of the clients whose requests ended by themselves.
    :ivar cut: the requests that did not.
    :ivar seconds: how long the drain took.
    """

    finished: tuple[Any, ...]
    cut: tuple[Straggler, ...]
    seconds: float

    @property
    def left(self) -> tuple[Straggler, ...]:
        """The requests that went on even when cut."""
        return tuple(straggler for straggler in self.cut if not straggler.ended)

    def __str__(self) -> str:
        lines = [drain_summary(self.seconds, len(self.finished), len(self.cut), len(self.left))]
        for straggler in self.cut:
            fate = "cut" if straggler.ended else "left behind"
            lines.append(f"{fate}: request {straggler.number} from {straggler.client_address!r}")
            lines.extend("    " + line for line in straggler.where.splitlines())
        return "\n".join(lines)


def drain_summary(seconds: float, finished: int, cut: int, left: int) -> str:
    """Say in a line how a drain went."""
    return f"drained in {seconds:.3f} s: {finished} finished, {cut} cut, {left} left behind"


@attrs.frozen
class DrainStep:
    """What a backend has to do next.

    :ivar cut: the requests to cut now; call :meth:`Drain.cut` for each before you cut it.
    :ivar until: wait until one of the requests ends, or for this time to come.
    """

    cut: tuple[Place, ...]
    until: float


class Drain:
    """The course of one drain.

    :param lifecycle: the server's; its drain region is moved by this.
    :param limits: ``drain_timeout`` and ``cut_timeout`` are used.
    :param now: when the drain begins, in seconds on the server's clock.
    :param under_way: the requests to wait for.
    :ivar begun: when it began.
    """

    def __init__(
        self, lifecycle: Lifecycle, limits: Limits, now: float, under_way: Iterable[Place]
    ) -> None:
        self._lifecycle = lifecycle
        self._limits = limits
        self.begun = now
        self._places = tuple(under_way)
        self._stuck: dict[Place, str] = {}
        self._left: frozenset[Place] = frozenset(self._places)
        lifecycle.put(Event.DRAIN)
        grace = limits.drain_timeout
        self._deadline = math.inf if grace is None else now + grace

    def step(self, now: float, left: Iterable[Place]) -> DrainStep | None:
        """Say what to do at time *now*, with *left* of the requests still under way.

        Call this until it returns None: then the drain is over.
        """
        self._left = frozenset(left)
        if not self._left:
            self._lifecycle.put(Event.EMPTY)
            return None
        if now < self._deadline:
            return DrainStep((), self._deadline)
        self._lifecycle.put(Event.DEADLINE)
        if self._lifecycle.drain is State.ABANDONED:
            return None
        self._deadline = now + self._limits.cut_timeout
        cut = tuple(place for place in self._places if place in self._left)
        return DrainStep(cut, self._deadline)

    def cut(self, place: Place, where: str) -> None:
        """Note where *place* is stuck. Call this for each request about to be cut."""
        self._stuck[place] = where

    def report(self, now: float) -> DrainReport:
        """Return how it went. Call this when the drain is over."""
        return DrainReport(
            finished=tuple(p.client_address for p in self._places if p not in self._stuck),
            cut=tuple(
                Straggler(place.number, place.client_address, where, place not in self._left)
                for place, where in self._stuck.items()
            ),
            seconds=now - self.begun,
        )
