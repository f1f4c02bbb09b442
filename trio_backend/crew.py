"""Tasks that serve the requests of a threading server, in place of its threads."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

import trio

from sansio_server.ledger import Place
from sync_backend.workers import Crew, Job

__all__ = ["GreenCrew", "GreenJob"]


class GreenJob(Job):
    """The serving of one request by a task, in a greenlet.

    :ivar greenlet: what the handler runs in, while it does.
    """

    greenlet: Any = None
    scope: trio.CancelScope | None = None

    def where(self) -> str:
        """Say where the handler stands."""
        frame = None if self.greenlet is None else self.greenlet.gr_frame
        return "" if frame is None else "".join(traceback.format_stack(frame))


class GreenCrew(Crew):
    """The tasks of one serve loop.

    :param progress: notified at the end of each job.
    :param nursery: where the tasks are started.
    """

    def __init__(self, progress: threading.Condition, nursery: trio.Nursery) -> None:
        super().__init__(progress)
        self._nursery = nursery
        self._changed = trio.Event()

    def start(
        self,
        target: Callable[..., Any],
        args: tuple[Any, ...],
        place: Place,
        *,
        daemon: bool,
        reuse: bool,
    ) -> None:
        """Run ``target(*args)`` in a greenlet of a new task; *reuse* means nothing for tasks."""
        job = GreenJob(self, target, args, place, daemon)
        job.ident = threading.get_ident()
        place.worker = job
        self._jobs.add(job)
        self._nursery.start_soon(self._run, job)

    @trio.lowlevel.enable_ki_protection  # Ctrl-C is for the loop, as where threads serve
    async def _run(self, job: GreenJob) -> None:
        from .greenlets import bridge  # noqa: PLC0415 - an extra

        try:
            with trio.CancelScope() as job.scope:
                await bridge(job, job.target, *job.args)
        except trio.Cancelled:
            raise
        except BaseException:  # noqa: BLE001 - as a thread's end would tell it
            threading.excepthook(
                threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread()))
            )
        finally:
            self.ended(job)
            self._changed.set()

    async def finish(self, timeout: float | None) -> None:  # noqa: ASYNC109 - the end cuts, not cancels
        """Wait for the jobs that are no daemons, *timeout* seconds or for ever; cancel the rest."""
        with trio.move_on_after(float("inf") if timeout is None else timeout):
            while not all(job.daemon for job in self.jobs()):
                self._changed = trio.Event()
                await self._changed.wait()
        for job in self.jobs():
            scope = getattr(job, "scope", None)
            if scope is not None:
                scope.cancel()
