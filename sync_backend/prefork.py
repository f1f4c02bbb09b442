"""``PreforkMixIn``: processes that accept by themselves."""

from __future__ import annotations

import math
import mmap
import os
import random
import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import attrs

from sansio_server.drain import DrainReport, Straggler
from sansio_server.driver import run_blocking
from sansio_server.hooks import LOGGER
from sansio_server.ledger import Counters, Ledger, Place, add_counters
from sansio_server.lifecycle import Event
from sansio_server.limits import check_count
from sansio_server.loop import serve_loop
from sansio_server.request import Step
from sansio_server.supervision import Fate, Worker, WorkerLimits

from .control import Loop
from .controlled import ControlledTurns
from .forks import ForkingMixIn
from .poller import SIGNAL_INTERVAL, Poller
from .sharing import SharedListenerMixIn
from .supervisor import READY, STOPPED, Channel, Supervisor, give_way
from .wakeup import Wakeup

__all__ = ["PreforkMixIn", "processors"]

#: How a worker writes its counters.
_ROW: Final = struct.Struct(f"={len(attrs.fields(Counters))}q")
#: How often it does while it has no time to sleep.
_ROW_INTERVAL: Final = 64
#: Seconds of one sleep of a drain, at most: another thread may have done meanwhile what it awaits.
_DRAIN_SLEEP: Final = 0.5


class PreforkMixIn(SharedListenerMixIn):
    """Serve requests in worker processes, each of which accepts, serves, and accepts again.

    Put this before the server class, or before ``PoolMixIn`` or ``ThreadingMixIn`` and the server
    class. ``serve_forever()`` itself serves no client: it supervises the workers. They share the
    listener, so a waiting client is accepted by another worker if one ends.
    """

    #: How many workers there are; None for as many as there are processors to run on.
    processes: int | None = None
    #: How many requests a worker serves before another takes its place; None for no limit.
    max_requests: int | None = None
    #: How many more it may be, by chance, so that not all end at the same time.
    max_requests_jitter: int = 0
    #: Whether ``server_close()`` waits for the workers.
    block_on_close: bool = True
    #: The pids of the workers; None before the first, and in a worker.
    active_children: set[int] | None = None

    _channel: Channel | None = None
    _supervisors: tuple[Supervisor, ...] = ()
    _past: Counters | None = None
    _left: float = math.inf
    _told: bool = False

    # In the process that supervises.

    def serve_forever(self, poll_interval: float | None = 0.5) -> None:
        """Serve until ``shutdown()``; requests under way are not waited for.

        :param poll_interval: seconds between two calls of an overridden ``service_actions()``.
        :raises ValueError: a limit is negative, or a number of processes or requests too small.
        :raises TypeError: the class is a :class:`.ForkingMixIn` too.
        """
        if self._channel is not None:
            super().serve_forever(poll_interval)
            return
        limits = self._worker_limits()
        with self._control.running(Event.SERVE) as (loop, wakeup):
            if self._is_running():
                with (
                    wakeup.told_of_signals() as told,
                    self._supervising(limits, poll_interval) as supervisor,
                ):
                    turns = _Turns(self, loop, wakeup, supervisor, told)
                    run_blocking(serve_loop(self, turns, poll_interval))

    def _worker_limits(self) -> WorkerLimits:
        self._checked_limits()
        if ForkingMixIn in type(self).__mro__:
            raise TypeError(f"{type(self).__name__} can't both fork for each request and prefork")
        if self.max_requests is not None:
            check_count("max_requests", self.max_requests)
        check_count("max_requests_jitter", self.max_requests_jitter, 0)
        processes = self.processes
        if processes is None:
            processes = processors()
        return WorkerLimits(
            workers=check_count("processes", processes),
            drain_timeout=self.drain_timeout,
            cut_timeout=self.cut_timeout,
        )

    @contextmanager
    def _supervising(
        self, limits: WorkerLimits, poll_interval: float | None
    ) -> Iterator[Supervisor]:
        supervisor = Supervisor(
            limits,
            lambda channel: self._be_worker(channel, poll_interval),
            self._on_signal,
            self._name(),
            begin=self._forget_parent,
            new_row=lambda: mmap.mmap(-1, _ROW.size),
            on_exit=self._worker_left,
        )
        self._supervisors += (supervisor,)
        try:
            yield supervisor
        finally:
            self._end_accepting(supervisor)

    def _end_accepting(self, supervisor: Supervisor) -> None:
        """Tell the workers to stop; wait until none of them accepts, or does not answer."""
        supervisor.stop(None)
        until = time.monotonic() + self.cut_timeout
        while supervisor.supervision.accepting and time.monotonic() < until:
            supervisor.wait(until)
            supervisor.turn()
        self._note_children()

    def replace_workers(self) -> None:
        """Have all workers replaced, one after the other, each when another serves in its place.

        May be called by any thread and any signal handler. No request is lost by it.
        """
        for supervisor in self._supervisors:
            supervisor.replace()
        self._control.wake()

    def collect_children(self, *, blocking: bool = False) -> None:
        """Reap workers that have exited: this server's own, and no others.

        :param blocking: whether to wait for all of them to exit, which they do after a stop.
        """
        for supervisor in self._supervisors:
            if blocking:
                self._finish(supervisor)
            else:
                supervisor.collect()
        self._note_children()

    def _finish(self, supervisor: Supervisor) -> None:
        while not supervisor.supervision.finished:
            supervisor.wait(min(supervisor.next_deadline(), time.monotonic() + _DRAIN_SLEEP))
            supervisor.turn()
        supervisor.close()
        self._supervisors = tuple(s for s in self._supervisors if s is not supervisor)

    def _note_children(self) -> None:
        pids = {pid for supervisor in self._supervisors for pid in supervisor.pids()}
        if pids or self.active_children is not None:
            self.active_children = pids

    def drain(self, timeout: float | None = None) -> DrainReport:
        """Wait for the workers, which end when the requests they serve are over.

        Call this after ``shutdown()``. In the report each worker stands for its requests, with its
        number and, where it was cut, its pid; one that was killed was *left*.

        :param timeout: seconds after which those left are told to cut their requests, with
            :attr:`cut_timeout` more until they are killed; None to wait for ever.
        :raises ValueError: *timeout* is negative.
        """
        begun = self._now()
        report = super().drain(timeout)
        if self._supervisors:
            finished, cut = self._drain_workers(timeout)
            self.drain_report = report = DrainReport(
                report.finished + finished, report.cut + cut, self._now() - begun
            )
            if cut:
                LOGGER.warning("%s %s", self._name(), report)
        return report

    def _drain_workers(
        self, timeout: float | None
    ) -> tuple[tuple[str, ...], tuple[Straggler, ...]]:
        finished: list[str] = []
        cut: list[Straggler] = []
        ends: list[tuple[int, int, Fate]] = []
        self._ends = ends
        for supervisor in self._supervisors:
            supervisor.stop(timeout)
        self.collect_children(blocking=True)
        for number, pid, fate in ends:
            whom = f"worker {pid}"
            if fate in (Fate.LEFT, Fate.DIED):
                finished.append(whom)
            else:
                where = f"worker process {pid}"
                cut.append(Straggler(number, whom, where, ended=fate is Fate.CUT))
        return tuple(finished), tuple(cut)

    _ends: list[tuple[int, int, Fate]]

    def server_close(self) -> None:
        """Close the server; wait for its workers as :attr:`block_on_close` says.

        With a ``drain_timeout`` they are drained.
        """
        super().server_close()
        if self.drain_timeout is None and self._supervisors:
            for supervisor in self._supervisors:
                supervisor.stop(None)
            self.collect_children(blocking=self.block_on_close)
            for supervisor in self._supervisors:  # those who are not waited for
                supervisor.close()

    def _worker_left(self, worker: Worker, fate: Fate) -> None:
        process = worker.process
        self._past = add_counters(self._past or Counters(), _counters_in(process.row))
        if "_ends" in self.__dict__:
            self._ends.append((worker.number, process.pid, fate))
        self._note_children()

    @property
    def counters(self) -> Counters:
        """What became of the requests so far, in all workers; it may be a little late."""
        rows = [p.row for s in self._supervisors for p in s.processes()]
        return add_counters(
            self._ledger.counters, self._past or Counters(), *map(_counters_in, rows)
        )

    # In a worker.

    def _be_worker(self, channel: Channel, poll_interval: float | None) -> int:
        """Serve until this worker is told to stop, or has had enough; return its exit status."""
        self._channel = channel
        self._shares_listener = True
        if self.max_requests is not None:
            extra = random.randint(0, self.max_requests_jitter)  # noqa: S311 - not for secrets
            self._left = self.max_requests + extra
        channel.say(READY)
        try:
            self.serve_forever(poll_interval)
        finally:
            channel.say(STOPPED)
            self.server_close()
            self._write_counters()
        return 0

    def _forget_parent(self) -> None:
        """Keep of the server what is a worker's. A stop that came in between would be lost."""
        self._control.after_fork()
        self._supervisors = ()
        self._past = self.active_children = None
        for name in ("_ends", "_crew", "_pool_members", "_pool_leaving"):  # threads of the parent
            self.__dict__.pop(name, None)
        self._ledger = Ledger(self._new_lock(), self._release)
        self._forget_drains()

    def _on_signal(self, channel: Channel) -> None:
        """Stop; and if that is asked for, cut what is left."""
        if not self._told:
            self._told = True
            self._happened(Event.SHUTDOWN)
            channel.say(STOPPED)
            if not len(self._ledger):
                give_way()  # to exit takes longer than all that anybody waits for
        if channel.cuts:
            for place in self._ledger:
                if place.request is not None:
                    self._cut(place, "drain")

    def _take_in(self, pair: Any) -> tuple[Step, Any, Any, Place]:
        taken = super()._take_in(pair)
        if self._channel is not None:
            number = taken[3].number
            if number >= self._left:
                self._happened(Event.SHUTDOWN)  # this is the last one
            if number % _ROW_INTERVAL == 0:
                self._write_counters()
        return taken

    def _sleep(self, poller: Poller, until: float) -> bool:
        if self._channel is not None:
            self._write_counters()
        return super()._sleep(poller, until)

    def _write_counters(self) -> None:
        if self._channel is not None:
            _ROW.pack_into(self._channel.row, 0, *self._ledger.totals())

    def _descriptors(self) -> Iterable[int]:
        if self._channel is None:
            return super()._descriptors()
        return (*super()._descriptors(), self._channel.fileno())

    def _look(self, poller: Poller, listen: bool, timeout: float) -> bool:
        came = super()._look(poller, listen, timeout)
        if self._channel is None:
            return came
        if poller.others_are_ready:
            if self._channel.look():
                self._look_again()  # or let another thread, who may be the one who listens
            else:
                self._happened(Event.SHUTDOWN)  # whoever supervised is gone
        return came


class _Turns(ControlledTurns):
    """The turns of the loop of the process that supervises, which lets nobody in."""

    def __init__(
        self,
        server: PreforkMixIn,
        loop: Loop,
        wakeup: Wakeup,
        supervisor: Supervisor,
        told_of_signals: bool,
    ) -> None:
        self._server: PreforkMixIn = server
        self.loop = loop
        self._wakeup = wakeup
        self._supervisor = supervisor
        self._longest = math.inf if told_of_signals else SIGNAL_INTERVAL

    def sleep(self, until: float) -> bool:
        server, supervisor = self._server, self._supervisor
        supervisor.turn()
        server._note_children()
        until = min(
            until,
            supervisor.next_deadline(),
            server._ledger.next_deadline(),
            server._now() + self._longest,
        )
        if server._is_running() and supervisor.wait(until, self._wakeup):
            self._wakeup.clear()
        return False

    def let_in(self) -> bool:
        return False


def processors() -> int:
    """Return how many processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _counters_in(row: Any) -> Counters:
    return Counters(*_ROW.unpack_from(row))
