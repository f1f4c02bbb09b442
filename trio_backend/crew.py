"""Tasks that serve the requests of a blocking server, in place of its threads."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import trio

from sansio_server.ledger import Place
from sync_backend.crew import Crew, Job

__all__ = ["Green", "GreenCrew", "GreenJob"]


class Green:
    """What runs in a greenlet, in the calling task.

    :ivar greenlet: the greenlet, while it runs.
    :ivar scope: what ends it.
    """

    def __init__(self) -> None:
        self.greenlet: Any = None
        self.scope = trio.CancelScope()
        self._token = trio.lowlevel.current_trio_token()

    def where(self) -> str:
        """Say where it stands."""
        frame = None if self.greenlet is None else self.greenlet.gr_frame
        return "" if frame is None else "".join(traceback.format_stack(frame))

    def cancel(self) -> None:
        """End it; from any thread."""
        with suppress(trio.RunFinishedError):  # it has ended
            self._token.run_sync_soon(self.scope.cancel)


class GreenJob(Green, Job):
    """The serving of one request by a task, in a greenlet."""

    def __init__(
        self,
        crew: Crew,
        target: Callable[..., Any],
        args: tuple[Any, ...],
        place: Place,
        daemon: bool,
    ) -> None:
        Green.__init__(self)
        Job.__init__(self, crew, target, args, place, daemon)
        self.ident = threading.get_ident()


class GreenCrew:
    """The tasks of one run of a loop.

    :param nursery: where the tasks are started.
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._jobs: set[GreenJob] = set()
        self._changed = trio.Event()

    def jobs(self) -> list[GreenJob]:
        """Return the jobs that a task is at."""
        return list(self._jobs)

    @trio.lowlevel.enable_ki_protection  # or a job might be waited for that was never begun
    def start(
        self,
        crew: Crew,
        target: Callable[..., Any],
        args: tuple[Any, ...],
        place: Place,
        *,
        daemon: bool,
    ) -> None:
        """Run ``target(*args)`` in a greenlet of a new task.

        :param crew: told of this, as if a thread were at it.
        :param place: the place of the request that is served.
        :param daemon: whether nobody need wait for it.
        """
        job = GreenJob(crew, target, args, place, daemon)
        self._jobs.add(job)
        crew.begin(job)
        self._nursery.start_soon(self._run, job)

    @trio.lowlevel.enable_ki_protection  # Ctrl-C is for the loop, as where threads serve
    async def _run(self, job: GreenJob) -> None:
        from .greenlets import bridge  # noqa: PLC0415 - an extra

        try:
            with job.scope:
                await bridge(job, job.target, *job.args)
        except trio.Cancelled:
            raise
        except BaseException:  # noqa: BLE001 - as a thread's end would tell it
            threading.excepthook(
                threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread()))
            )
        finally:
            self._jobs.discard(job)
            job.crew.ended(job)
            self._changed.set()

    async def end(self) -> None:
        """Cancel the jobs that are left, and wait for them."""
        for job in self._jobs:
            job.scope.cancel()
        while self._jobs:
            self._changed = trio.Event()
            await self._changed.wait()
