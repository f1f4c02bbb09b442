"""Ending the requests under way: waiting for them, cutting them, telling who was left."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Iterable

from sansio_server import draining
from sansio_server.drain import Drain, DrainReport
from sansio_server.driver import run_blocking
from sansio_server.ledger import Place

from .crew import Job
from .poller import LONGEST_SLEEP

__all__ = ["Draining"]


class Draining(draining.Draining):
    """The part of a blocking server that ends its requests."""

    @property
    def _progress(self) -> threading.Condition:
        """What is notified when a request has ended; made when somebody asks for it."""
        progress: threading.Condition | None = self.__dict__.get("_condition")
        if progress is None:
            progress = self.__dict__.setdefault("_condition", threading.Condition())
        return progress

    def _forget_drains(self) -> None:
        """Begin anew in a forked child, where whoever drains or holds the condition is not."""
        self.__dict__.pop("_condition", None)
        if self._drains:
            self._drains = []
        if self._awaiting:
            self._awaiting = set()

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
        return run_blocking(self._end_requests(places, timeout))

    def _begin_drain(self, places: tuple[Place, ...], timeout: float | None) -> Drain:
        with self._progress:  # several threads may begin one at once
            drain = super()._begin_drain(places, timeout)
            self._awaiting.add(drain)
        return drain

    def _end_drain(self, drain: Drain) -> None:
        super()._end_drain(drain)
        self._awaiting.discard(drain)

    def _under_way(self) -> Iterable[Place]:
        """Return the places that somebody serves."""
        return [place for place in self._ledger if place.worker is not None]

    def _thread_of(self, place: Place) -> int | None:
        """Return the ident of the thread that serves *place*, if it is a thread that does."""
        worker = place.worker
        return worker.ident if isinstance(worker, Job) else worker

    def _is_mine(self, place: Place) -> bool:
        """Say whether the calling thread is the one that serves *place*."""
        return self._thread_of(place) == threading.get_ident()

    def _goes_on(self, place: Place) -> bool:
        """Say whether somebody is still serving *place*."""
        worker = place.worker
        return worker is not None and (place.open or isinstance(worker, Job))

    def _where(self, place: Place) -> str:
        """Say where the one who serves *place* is."""
        frame = sys._current_frames().get(self._thread_of(place) or 0)
        return "" if frame is None else "".join(traceback.format_stack(frame))

    def _wait_for_end(self, places: Iterable[Place], until: float) -> None:
        """Wait until one of *places* that go on has ended, or for a while, but not past *until*."""
        going = [place for place in places if self._goes_on(place)]
        timeout = min(max(0.0, until - self._now()), LONGEST_SLEEP)
        if going:
            with self._progress:
                self._progress.wait_for(lambda: not all(map(self._goes_on, going)), timeout)

    def _released(self) -> None:
        with self._progress:
            self._progress.notify_all()
