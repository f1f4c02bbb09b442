"""Ending the requests under way: waiting for them, cutting them, telling who was left."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

from sansio_server.drain import Drain
from sansio_server.draining import BlockingDraining
from sansio_server.ledger import Place
from sansio_server.stacks import thread_stack

from .crew import Job
from .poller import LONGEST_SLEEP

__all__ = ["Draining"]


class Draining(BlockingDraining):
    """The part of a blocking server that ends its requests, which threads serve."""

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

    def _begin_drain(self, places: tuple[Place, ...], timeout: float | None) -> Drain:
        with self._progress:  # several threads may begin one at once
            return super()._begin_drain(places, timeout)

    def _thread_of(self, place: Place) -> int | None:
        """Return the ident of the thread that serves *place*, if it is a thread that does."""
        worker = place.worker
        return worker.ident if isinstance(worker, Job) else worker

    def _is_mine(self, place: Place) -> bool:
        """Say whether the calling thread is the one that serves *place*."""
        return self._thread_of(place) == threading.get_ident()

    def _is_dedicated(self, worker: Any) -> bool:
        return isinstance(worker, Job)

    def _where(self, place: Place) -> str:
        """Return the stack of the thread that serves *place*."""
        return thread_stack(self._thread_of(place))

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
