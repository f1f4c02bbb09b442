"""Threads that serve requests: one made for each, or kept for the next.

A :class:`Crew` knows who is at work for one server. It is told of a job's end by the thread itself,
so that nothing piles up between requests (CPython gh-81374).
"""

from __future__ import annotations

import atexit
import itertools
import threading
import weakref
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any, Final

from sansio_server.ledger import Place, current

__all__ = ["CROWD", "IDLE_SECONDS", "Crew", "Job"]

#: Seconds that a thread waits for its next request before it ends.
IDLE_SECONDS: Final = 10.0

#: With more requests at once than this, whoever accepts does not wait for a new thread to begin.
CROWD: Final = 4

_numbers: Final = itertools.count(1)


class Job:
    """The serving of one request by a thread.

    :ivar place: the request's place.
    :ivar daemon: whether nobody need wait for it.
    :ivar ident: the thread that is at it; None before it begins.
    """

    def __init__(
        self,
        crew: Crew,
        target: Callable[..., Any],
        args: tuple[Any, ...],
        place: Place,
        daemon: bool,
    ) -> None:
        self.crew = crew
        self.target = target
        self.args = args
        self.place = place
        self.daemon = daemon
        self.ident: int | None = None
        self._unclaimed = [True]

    def claim(self) -> bool:
        """Take the job, to do it or to withdraw it; return False if somebody has taken it.

        Ctrl-C may interrupt whoever starts a thread, when that has begun as well as before.
        """
        try:
            return self._unclaimed.pop()
        except IndexError:
            return False


class _Begun(threading.Event):
    """Says that a thread has begun to whoever asks, but lets nobody wait for that."""

    def __init__(self) -> None:
        self._flag = False  # all that is left of the base class

    def is_set(self) -> bool:
        return self._flag

    def set(self) -> None:
        self._flag = True

    def wait(self, timeout: float | None = None) -> bool:
        return True

    def _at_fork_reinit(self) -> None:
        """There is no lock that a thread might hold."""


class _RequestThread(threading.Thread):
    """A thread for one job; its name is what ``Thread`` makes of the job's target."""

    def __init__(self, job: Job) -> None:
        super().__init__(target=job.target, args=job.args, daemon=job.daemon)
        self.job = job

    def run(self) -> None:
        job = self.job
        del self.job
        job.ident = self.ident
        current.set(job.place)
        try:
            if job.claim():
                super().run()
        finally:
            job.crew.ended(job, self)


class _ReusedThread(threading.Thread):
    """A thread for one job after the other, which waits a while for each."""

    def __init__(self, crew: Crew, job: Job) -> None:
        super().__init__(name=f"sansio-worker-{next(_numbers)}", daemon=True)
        self.crew = crew
        self.job: Job | None = job
        self.signal = threading.Lock()
        self.signal.acquire()

    def run(self) -> None:
        while (job := self.job) is not None:
            self.job = None
            job.ident = self.ident
            stays = False
            try:
                context = Context()
                context.run(current.set, job.place)
                if job.claim():
                    context.run(job.target, *job.args)
                stays = self.crew.keep(self)
            finally:
                # What a hook raised ends this thread, and goes where Thread takes it.
                self.crew.ended(job, None if stays else self)
            del job
            if not stays:
                return
            if not self.signal.acquire(timeout=IDLE_SECONDS) and not self.crew.retire(self):
                self.signal.acquire()  # a job was given meanwhile: its signal is on the way

    def give(self, job: Job | None) -> None:
        """Hand the next job to an idle worker, or None to end it."""
        self.job = job
        self.signal.release()


class Crew:
    """The threads of one server.

    :param progress: notified at the end of each job.
    """

    def __init__(self, progress: threading.Condition) -> None:
        self._progress = progress
        self._lock = threading.Lock()
        self._jobs: set[Job] = set()
        self._leaving: deque[threading.Thread] = deque()
        self._idle: list[_ReusedThread] = []
        self._dismissed = False

    def __len__(self) -> int:
        return len(self._jobs)

    def jobs(self) -> list[Job]:
        """Return the jobs that somebody is at."""
        return list(self._jobs)

    def start(
        self,
        target: Callable[..., Any],
        args: tuple[Any, ...],
        place: Place,
        *,
        daemon: bool,
        reuse: bool,
    ) -> None:
        """Run ``target(*args)`` in a thread.

        :param place: the place of the request that is served.
        :param daemon: whether nobody need wait for it.
        :param reuse: whether a thread that has served before may do it.
        :raises RuntimeError: no thread can be started.
        """
        while self._leaving and not self._leaving[0].is_alive():
            self._leaving.popleft()
        job = Job(self, target, args, place, daemon)
        try:
            self.begin(job)
            if reuse:
                self._give(job)
            else:
                self._start(_RequestThread(job))
        except BaseException:
            if job.claim():
                place.worker, place.lent = None, False
                self._jobs.discard(job)
            raise

    def begin(self, job: Job) -> None:
        """Note that somebody is about to do *job*, and will tell of its end by :meth:`ended`."""
        job.place.worker, job.place.lent = job, True
        self._jobs.add(job)

    def _give(self, job: Job) -> None:
        with self._lock:
            self._dismissed = False
            if self._idle:
                self._idle.pop().give(job)
                return
        _crews.add(self)
        self._start(_ReusedThread(self, job))

    def _start(self, thread: threading.Thread) -> None:
        """Start *thread*; in a crowd, do not wait until it has begun, as ``start()`` does.

        That wait keeps down how many threads compete for the GIL, but whoever accepts has to
        queue for it twice more for each client.
        """
        if len(self._jobs) > CROWD:
            thread._started = _Begun()  # type: ignore[attr-defined]  # there is no public way
            _crews.add(self)  # the interpreter waits for no thread that has not begun
        thread.start()

    # Called by the threads.

    def ended(self, job: Job, leaving: threading.Thread | None = None) -> None:
        """Note that *job* is done, and that the thread *leaving* is about to end."""
        if leaving is not None:
            self._leaving.append(leaving)
        place = job.place
        place.lent = False
        if place.worker is job:
            place.worker = place.request = None  # if it is still open, an override keeps it
        with self._progress:
            self._jobs.discard(job)
            self._progress.notify_all()

    def keep(self, worker: _ReusedThread) -> bool:
        """Note that *worker* can take a job; return False if it is to end.

        Called before the end of the job it is at, or whoever waits for that would not find it here.
        """
        with self._lock:
            if not self._dismissed:
                self._idle.append(worker)
            return not self._dismissed

    def retire(self, worker: _ReusedThread) -> bool:
        """Take *worker* from the idle ones; return False if it was just given a job."""
        with self._lock:
            if worker not in self._idle:
                return False
            self._idle.remove(worker)
            self._leaving.append(worker)
            return True

    # Called by the server.

    def dismiss(self) -> None:
        """End all idle threads, and those at work as soon as they are done; wait for the former."""
        with self._lock:
            self._dismissed = True
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.give(None)
            self._leaving.append(worker)
        while self._leaving:
            thread = self._leaving.popleft()
            if thread is not threading.current_thread():
                thread.join()

    def wait_for_all(self) -> None:
        """Wait for the jobs that are no daemons, as the interpreter does for threads."""
        with self._progress:
            self._progress.wait_for(lambda: all(job.daemon for job in self.jobs()))


_crews: Final[weakref.WeakSet[Crew]] = weakref.WeakSet()


@atexit.register
def _wait_at_exit() -> None:
    for crew in list(_crews):
        crew.wait_for_all()
