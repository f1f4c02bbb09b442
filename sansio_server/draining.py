"""Ending the requests under way, for every backend: waiting, cutting, reporting those left.

Like the loops, it is ``async def`` and suspends only if the backend's waiting does.
:class:`~sansio_server.drain.Drain` decides what to do when.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, ClassVar

import attrs

from .drain import Drain, DrainReport
from .drain_trace import DrainTeller
from .driver import run_blocking
from .hooks import LOGGER
from .ledger import Place
from .lifecycle import Lifecycle
from .serving import Serving

__all__ = ["BlockingDraining", "Draining"]


class Draining(Serving):
    """A server that can end its requests."""

    #: How the last drain went; None before the first.
    drain_report: DrainReport | None = None

    #: Whether requests under way need the listener, to reply by it.
    _replies_by_listener: ClassVar[bool] = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._drains: list[Drain] = []
        self._drain_numbers = count(1)

    async def _end_requests(
        self, under_way: Iterable[Place], timeout: float | None, *, quietly: bool = False
    ) -> DrainReport:
        """Wait for requests to end; cut those left when the time is over; tell how it went.

        Call this when no more are let in, with the places of those to wait for, and await it or
        :func:`~.driver.run_blocking` it.

        :param timeout: seconds after which those left are cut, with ``cut_timeout`` more to end;
            None to wait for ever.
        :param quietly: whether it was to be expected that requests are cut: then the log is told of
            those alone that were left behind.
        :raises ValueError: *timeout* is negative.
        """
        places = tuple(under_way)
        drain = self._begin_drain(places, timeout)
        tell = self._teller(drain, places, timeout)
        try:
            await self._follow(drain, places, tell)
        finally:
            self._end_drain(drain)
        report = drain.report(self._now())
        if tell is not None:
            tell.end(report)
        if report.left if quietly else report.cut:
            LOGGER.warning("%s %s", self._name(), report)
        return report

    def _begin_drain(self, places: tuple[Place, ...], timeout: float | None) -> Drain:
        limits = attrs.evolve(self._checked_limits(), drain_timeout=timeout)
        # One that begins during another takes its own course; the state is the first one's.
        lifecycle = Lifecycle() if self._drains else self._lifecycle
        drain = Drain(lifecycle, limits, self._now(), places)
        self._drains.append(drain)
        return drain

    def _end_drain(self, drain: Drain) -> None:
        self._drains.remove(drain)

    def _teller(
        self, drain: Drain, places: tuple[Place, ...], timeout: float | None
    ) -> DrainTeller | None:
        if self.trace is None:
            return None
        return DrainTeller(self, next(self._drain_numbers), drain.begun, places, timeout)

    async def _follow(
        self, drain: Drain, places: tuple[Place, ...], tell: DrainTeller | None
    ) -> None:
        while True:
            now, left = self._now(), tuple(filter(self._goes_on, places))
            step = drain.step(now, left)
            if tell is not None:
                tell.step(now, left, step)
            if step is None:
                break
            for place in step.cut:
                drain.cut(place, self._where(place))
            for place in step.cut:
                self._cut(place, "drain")
            # There need not be a loop any more that attends to what is overdue.
            until = min(step.until, self._ledger.next_deadline())
            waiting = self._wait_for_end(places, until)
            if waiting is not None:
                await waiting
            self._attend()
        for place in filter(self._goes_on, places):
            self._abandon(place)

    # What a backend has to say.

    def _goes_on(self, place: Place) -> bool:
        """Say whether somebody is still serving *place*."""
        return place.worker is not None

    def _where(self, place: Place) -> str:
        """Say where the one who serves *place* is: the stack of a thread or a task, as a rule."""
        return ""

    def _wait_for_end(self, places: Iterable[Place], until: float) -> Awaitable[object] | None:
        """Wait until one of *places* that go on has ended, or for a while, but not past *until*."""
        raise NotImplementedError

    def _abandon(self, place: Place) -> None:
        """Give up a request that goes on even though it was cut."""


class BlockingDraining(Draining):
    """A server whose :meth:`drain` blocks the caller until the requests have ended."""

    # For programs.

    def drain(self, timeout: float | None = None) -> DrainReport:
        """Wait for the requests that are being served; call this after ``shutdown()``.

        A request whose handler calls this is not waited for.

        :param timeout: seconds after which those left are cut, with :attr:`cut_timeout` more to
            end; None to wait for ever.
        :raises ValueError: *timeout* is negative.
        """
        self.drain_report = report = self._drain(self._under_way(), timeout)
        return report

    # For servers.

    @contextmanager
    def _closing_listener(self) -> Iterator[None]:
        """Close the listener; call this in ``server_close()``, and drain inside.

        It is closed first, so that no client waits for what will not come; or last, where the
        requests that are drained reply by it.
        """
        if not self._replies_by_listener or self.drain_timeout is None:
            self._close_listener()
            yield
            return
        try:
            yield
        finally:
            self._close_listener()

    def _drain(self, under_way: Iterable[Place], timeout: float | None) -> DrainReport:
        places = [place for place in under_way if not self._is_mine(place)]
        return run_blocking(self._end_requests(places, timeout))

    def _begin_drain(self, places: tuple[Place, ...], timeout: float | None) -> Drain:
        drain = super()._begin_drain(places, timeout)
        self._awaiting.add(drain)
        return drain

    def _end_drain(self, drain: Drain) -> None:
        super()._end_drain(drain)
        self._awaiting.discard(drain)

    def _under_way(self) -> Iterable[Place]:
        """Return the places that somebody serves."""
        return [place for place in self._ledger if place.worker is not None]

    def _goes_on(self, place: Place) -> bool:
        worker = place.worker
        return worker is not None and (place.open or self._is_dedicated(worker))

    # What a backend has to say.

    def _close_listener(self) -> None:
        """Let nobody else in."""

    def _is_mine(self, place: Place) -> bool:
        """Say whether the caller is the one who serves *place*, and cannot wait for its end."""
        raise NotImplementedError

    def _is_dedicated(self, worker: Any) -> bool:
        """Say whether *worker* serves one request alone, and may go on after that is closed."""
        return False
