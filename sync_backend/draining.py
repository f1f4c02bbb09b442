"""Ending the requests under way: waiting for them, cutting them, telling who was left."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Iterable
from typing import Any

import attrs

from sansio_server.drain import Drain, DrainReport
from sansio_server.hooks import LOGGER
from sansio_server.ledger import Place
from sansio_server.lifecycle import Lifecycle
from sansio_server.serving import Serving

from .poller import LONGEST_SLEEP
from .workers import Job

__all__ = ["Draining"]


class Draining(Serving):
    """The part of a blocking server that ends its requests."""

    #: How the last drain went; None before the first.
    drain_report: DrainReport | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._progress = threading.Condition()
        self._drains: list[Drain] = []

    def drain(self, timeout: float | None = None) -> DrainReport:
        """Wait for the requests that are being served; call this after ``shutdown()``.

        A request whose handler calls this is not waited for.

        :param timeout: seconds after which those left are cut, with :attr:`cut_timeout` more to
            end; None to wait for ever.
        :raises ValueError: *timeout* is negative.
        """
        self.drain_report = report = self._drain(self._under_way(), timeout)
        return report

    def _drain(self, under_way: Iterable[Place], timeout: float | None) -> DrainReport:
        places = [place for place in under_way if not self._is_mine(place)]
        limits = attrs.evolve(self.limits, drain_timeout=timeout)
        with self._progress:
            # One that begins during another takes its own course; the state is the first one's.
            lifecycle = Lifecycle() if self._drains else self.lifecycle
            drain = Drain(lifecycle, limits, self.now(), places)
            self._drains.append(drain)
            self._awaiting.add(drain)
        try:
            self._run_drain(drain, places)
        finally:
            self._drains.remove(drain)
            self._awaiting.discard(drain)
        report = drain.report(self.now())
        if report.cut:
            LOGGER.warning("%s %s", self._name(), report)
        return report

    def _run_drain(self, drain: Drain, places: list[Place]) -> None:
        while (step := drain.step(self.now(), filter(self._goes_on, places))) is not None:
            for place in step.cut:
                drain.cut(place, self._where(place))
                self._cut(place, "drain")
            self._wait_for_end(places, step.until)
        for place in filter(self._goes_on, places):
            self._abandon(place)

    def _under_way(self) -> Iterable[Place]:
        """Return the places that somebody serves."""
        return [place for place in self.ledger if place.worker is not None]

    def _is_mine(self, place: Place) -> bool:
        """Say whether the calling thread is the one that serves *place*."""
        return _thread_of(place) == threading.get_ident()

    def _goes_on(self, place: Place) -> bool:
        """Say whether somebody is still serving *place*."""
        worker = place.worker
        return worker is not None and (place.open or isinstance(worker, Job))

    def _where(self, place: Place) -> str:
        """Say where the one who serves *place* is."""
        frame = sys._current_frames().get(_thread_of(place) or 0)
        return "" if frame is None else "".join(traceback.format_stack(frame))

    def _wait_for_end(self, places: list[Place], until: float) -> None:
        """Wait until one of *places* that go on has ended, or for a while, but not past *until*."""
        going = [place for place in places if self._goes_on(place)]
        timeout = min(max(0.0, until - self.now()), LONGEST_SLEEP)
        if going:
            with self._progress:
                self._progress.wait_for(lambda: not all(map(self._goes_on, going)), timeout)

    def _released(self) -> None:
        with self._progress:
            self._progress.notify_all()

    def _abandon(self, place: Place) -> None:
        """Give up a request that goes on even though it was cut."""


def _thread_of(place: Place) -> int | None:
    """Return the ident of the thread that serves *place*, if it is a thread that does."""
    worker = place.worker
    return worker.ident if isinstance(worker, Job) else worker
