"""Who serves what, and ending it: waiting, cancelling, telling who was left."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import trio

from sansio_server.drain import DrainReport
from sansio_server.ledger import Place
from sansio_server.tasks import TaskServer

from .worker import Worker

__all__ = ["Draining"]


class Draining(TaskServer):
    """The part of a server that knows its tasks, and ends them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._progress = trio.Event()
        self._drained = trio.Event()
        #: Set when a stop was asked for: handlers may want to come to an end.
        self.stopping = trio.Event()

    # Who is at work.

    def _at_work(self, place: Place, request: Any) -> Worker:
        """Note that somebody else is about to go on with the request of *place*."""
        worker = Worker(place, request, self._workers.get(place))
        place.worker = self._workers[place] = worker
        return worker

    def _done(self, worker: Worker) -> None:
        """Note that *worker* serves no more."""
        place = worker.place
        worker.ended = True
        top: Worker | None = self._workers[place]
        while top is not None and top.ended:
            top = top.outer
        if top is not None:
            place.worker = self._workers[place] = top
            return
        self._served(place)
        if place.open:
            # An override keeps it, and may close it by itself: it is looked for when room is.
            self._sweeps = True
            if self._awaiting:
                self._released()
        if self._drains:
            self._progress.set()
            self._progress = trio.Event()

    # Stopping.

    async def wait_drained(self) -> DrainReport:
        """Wait until the drain that follows a stop is over; return how it went.

        It is over, too, when its time has passed: requests that would not end are in the report,
        and ``serve_forever()`` still waits for those.
        """
        await self._drained.wait()
        if self.drain_report is None:
            raise AssertionError("a drain ends with a report")
        return self.drain_report

    async def drain(self, timeout: float | None = None) -> DrainReport:  # noqa: ASYNC109 - the end cuts, not cancels
        """Wait for the requests that are being served; call this when no more are let in.

        The request whose handler calls this is not waited for.

        :param timeout: seconds after which those left are cancelled, with :attr:`cut_timeout` more
            to end; None to wait for ever.
        :raises ValueError: *timeout* is negative.
        """
        await trio.lowlevel.checkpoint()
        return await super().drain(timeout)

    async def _drain_after_stop(self) -> None:
        """Wait for the requests under way, as a stop asks for it."""
        await self.drain(self.drain_timeout)
        self._drained.set()

    async def _drain_at_once(self) -> None:
        """Cut what is under way, since ``serve_forever()`` was cancelled or has failed."""
        with trio.CancelScope(shield=True):
            await super()._drain_at_once()
        self._drained.set()

    async def _wait_for_end(self, places: Iterable[Place], until: float) -> None:
        progress = self._progress
        with trio.move_on_at(until):
            await progress.wait()

    def _show_stop(self) -> None:
        """Let handlers see that a stop was asked for."""
        self.stopping.set()
        super()._show_stop()
