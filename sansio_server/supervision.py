"""Worker processes and their supervision: which to start, stop, cut or kill, and when.

:class:`Supervision` holds the decisions. The code that forks tells it what happened, asks for the
next step, does what that says, and waits until :meth:`Supervision.next_deadline`. It does no I/O,
touches no process, and is for one thread.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from enum import Enum, IntEnum
from types import MappingProxyType
from typing import Any, Final

import attrs

from .exceptions import IllegalTransition
from .limits import AcceptBackoff, validate_count, validate_seconds, validate_seconds_or_none

__all__ = [
    "STEADY_SECONDS",
    "WORKER_STATES",
    "Action",
    "Fate",
    "Supervision",
    "Worker",
    "WorkerEvent",
    "WorkerLimits",
    "WorkerState",
]

#: A worker that dies sooner than so many seconds after its start would do so again: the next is
#: started after a pause.
STEADY_SECONDS: Final = 1.0


class WorkerState(IntEnum):
    """What a worker can be in."""

    STARTING = 0
    """It is being started, and does not serve yet."""
    SERVING = 1
    """It accepts requests."""
    STOPPING = 2
    """It was told to stop, and may not have heard of it yet."""
    LEAVING = 3
    """It accepts no more; requests under way may end."""
    CUT = 4
    """It was told to cut the requests that are left."""
    KILLED = 5
    """It was ended by force, and is expected to exit."""
    GONE = 6
    """It has exited."""


class WorkerEvent(IntEnum):
    """What happens to a worker."""

    READY = 0
    """It says that it serves."""
    STOP = 1
    """It is told to stop."""
    STOPPED = 2
    """It says that it accepts no more, whether it was told to or has had enough."""
    DEADLINE = 3
    """The time of its state has passed."""
    KILL = 4
    """It is to be ended at once."""
    EXITED = 5
    """Its process has ended."""


_S, _E = WorkerState, WorkerEvent

#: The table. What a worker says may arrive late, so no state refuses it; a state that has no
#: deadline refuses that.
WORKER_STATES: Final[Mapping[WorkerState, Mapping[WorkerEvent, WorkerState]]] = MappingProxyType(
    {
        _S.STARTING: {
            _E.READY: _S.SERVING,
            _E.STOP: _S.STOPPING,
            _E.STOPPED: _S.LEAVING,
            _E.DEADLINE: _S.KILLED,
            _E.KILL: _S.KILLED,
            _E.EXITED: _S.GONE,
        },
        _S.SERVING: {
            _E.READY: _S.SERVING,
            _E.STOP: _S.STOPPING,
            _E.STOPPED: _S.LEAVING,
            _E.KILL: _S.KILLED,
            _E.EXITED: _S.GONE,
        },
        _S.STOPPING: {
            _E.READY: _S.STOPPING,
            _E.STOP: _S.STOPPING,
            _E.STOPPED: _S.LEAVING,
            _E.DEADLINE: _S.CUT,
            _E.KILL: _S.KILLED,
            _E.EXITED: _S.GONE,
        },
        _S.LEAVING: {
            _E.READY: _S.LEAVING,
            _E.STOP: _S.LEAVING,
            _E.STOPPED: _S.LEAVING,
            _E.DEADLINE: _S.CUT,
            _E.KILL: _S.KILLED,
            _E.EXITED: _S.GONE,
        },
        _S.CUT: {
            _E.READY: _S.CUT,
            _E.STOP: _S.CUT,
            _E.STOPPED: _S.CUT,
            _E.DEADLINE: _S.KILLED,
            _E.KILL: _S.KILLED,
            _E.EXITED: _S.GONE,
        },
        _S.KILLED: {
            _E.READY: _S.KILLED,
            _E.STOP: _S.KILLED,
            _E.STOPPED: _S.KILLED,
            _E.KILL: _S.KILLED,
            _E.EXITED: _S.GONE,
        },
        _S.GONE: {},
    }
)

#: The states in which a worker is one of those that are wanted.
_IN_SERVICE: Final = frozenset({_S.STARTING, _S.SERVING})
#: The states of a worker that has served, and is not about to end by force.
_BEGUN: Final = frozenset({_S.SERVING, _S.LEAVING})
#: The states in which a worker may still accept.
_MAY_ACCEPT: Final = frozenset({_S.STARTING, _S.SERVING, _S.STOPPING})


class Action(Enum):
    """What is to be done to a worker."""

    START = "start"
    """Start its process; tell of :meth:`Supervision.exited` if that cannot be done."""
    STOP = "stop"
    """Tell it to accept no more, to let its requests end, and to exit."""
    CUT = "cut"
    """Tell it to cut the requests that are left."""
    KILL = "kill"
    """End it by force."""
    GIVE_UP = "give up"
    """Nothing; it was to take the place of another and has failed, so that no more are replaced."""


class Fate(Enum):
    """How a worker came to its end."""

    LEFT = "left"
    """It was told to stop, or had announced its end."""
    DIED = "died"
    """By itself, though it was not told to stop."""
    CUT = "cut"
    """It was told to stop, and left only when its requests were cut."""
    KILLED = "killed"
    """By force."""


@attrs.frozen(kw_only=True)
class WorkerLimits:
    """How many workers there are, and how long they may take.

    :param workers: how many are to serve at the same time.
    :param start_timeout: seconds until a worker that was started has to serve; None for ever.
    :param drain_timeout: seconds that one which was told to stop has until its requests are cut;
        None for ever.
    :param cut_timeout: seconds from there until it is killed.
    :param must_begin: whether it is all over when a worker exits before any has served.
    :raises ValueError: a number is too small.
    :raises TypeError: something is no number.
    """

    workers: int = attrs.field(default=1, validator=validate_count)
    start_timeout: float | None = attrs.field(default=60.0, validator=validate_seconds_or_none)
    drain_timeout: float | None = attrs.field(default=None, validator=validate_seconds_or_none)
    cut_timeout: float = attrs.field(default=5.0, validator=validate_seconds)
    must_begin: bool = False


@attrs.define(eq=False)
class Worker:
    """One worker process.

    :ivar number: counts the workers from 1, in the order in which they were started.
    :ivar since: when it was started.
    :ivar state: what it is in.
    :ivar deadline: when the time of that state is over; ``math.inf`` for never.
    :ivar served: whether it has said that it serves.
    :ivar was_cut: whether it had to be told to cut requests.
    :ivar process: set and used only by the code that started it, such as its pid.
    """

    number: int
    since: float
    state: WorkerState = WorkerState.STARTING
    deadline: float = math.inf
    served: bool = False
    was_cut: bool = False
    process: Any = None

    def put(self, event: WorkerEvent) -> None:
        """Let *event* happen.

        :raises IllegalTransition: no row of the table allows it now; nothing has changed.
        """
        try:
            self.state = WORKER_STATES[self.state][event]
        except KeyError:
            raise IllegalTransition(
                f"{event.name} cannot happen to a worker that is {self.state.name}"
            ) from None


@attrs.define
class _Replacement:
    """One worker on the way to take the place of another."""

    old: Worker
    new: Worker


class Supervision:
    """The course of a group of workers, from the first start to the last exit.

    :param limits: how many, and how long they may take.
    :ivar workers: those that have not exited, in the order in which they were started.
    :ivar served: whether any has served.
    :ivar failed: whether all came to an end since the first would not begin.
    :ivar stopping: whether no more are to be started.
    :ivar killing: whether all are to be ended at once.
    """

    def __init__(self, limits: WorkerLimits) -> None:
        self.limits = limits
        self.workers: list[Worker] = []
        self.served = False
        self.failed = False
        self.stopping = False
        self.killing = False
        self._count = 0
        self._backoff = AcceptBackoff()
        self._last_failure = -math.inf
        self._to_replace: deque[Worker] = deque()
        self._replacement: _Replacement | None = None

    # What happens.

    def ready(self, worker: Worker) -> None:
        """Call this when *worker* says that it serves."""
        self.served = worker.served = True
        worker.put(_E.READY)
        if worker.state is _S.SERVING:
            worker.deadline = math.inf

    def stopped(self, worker: Worker, now: float) -> None:
        """Call this when *worker* says that it accepts no more."""
        if worker.state in _IN_SERVICE:  # it has had enough
            worker.deadline = self._drain_deadline(now, self.limits.drain_timeout)
        worker.put(_E.STOPPED)

    def exited(self, worker: Worker, now: float) -> Fate:
        """Call this when the process of *worker* has ended, or could not be started.

        :returns: how it came to its end.
        """
        fate = _fate(worker)
        if fate is Fate.DIED or not worker.served:
            self._note_death(worker, now)
        if self.limits.must_begin and not self.served and not self.stopping:
            self.failed = self.stopping = True
        worker.put(_E.EXITED)
        self.workers.remove(worker)
        return fate

    def replace(self) -> None:
        """Call this to have all workers replaced, one after the other.

        Each stays until another serves in its place. If one of these fails, those left stay.
        """
        leaving = None if self._replacement is None else self._replacement.old
        self._to_replace = deque(w for w in self._in_service() if w is not leaving)

    def stop(self, now: float, drain_timeout: float | None) -> None:
        """Call this to have all workers stopped.

        :param drain_timeout: seconds until the requests left are cut, whatever the limits say; None
            for ever.
        """
        self.stopping = True
        self.limits = attrs.evolve(self.limits, drain_timeout=drain_timeout)
        for worker in self.workers:
            if worker.state in (_S.STOPPING, _S.LEAVING):
                worker.deadline = self._drain_deadline(now, drain_timeout)

    def kill(self) -> None:
        """Call this to have all workers ended at once."""
        self.stopping = self.killing = True

    # What to do.

    def step(self, now: float) -> list[tuple[Action, Worker]]:
        """Say what to do at time *now*, in this order.

        Call this when something happened, and when the time of :meth:`next_deadline` has come.
        """
        todo: list[tuple[Action, Worker]] = []
        self._look_at_all(now, todo)
        if self.stopping:
            self._replacement = None
            for worker in () if self.killing else self._in_service():
                self._tell(worker, now, todo)
            self._look_at_all(now, todo)  # they may have no time at all
        else:
            self._go_on_replacing(now, todo)
            if now >= self._backoff.until:
                for _ in range(self._missing()):
                    self._start(now, todo)
        return todo

    def next_deadline(self) -> float:
        """Return when there will be something to do by itself; ``math.inf`` for never."""
        deadlines = [worker.deadline for worker in self.workers]
        waits = self._missing() or (self._to_replace and self._replacement is None)
        if waits and not self.stopping:
            deadlines.append(self._backoff.until)
        return min(deadlines, default=math.inf)

    @property
    def accepting(self) -> bool:
        """Whether any worker may still accept a request."""
        return any(worker.state in _MAY_ACCEPT for worker in self.workers)

    @property
    def replacing(self) -> bool:
        """Whether workers are being replaced."""
        return bool(self._replacement or self._to_replace)

    @property
    def finished(self) -> bool:
        """Whether it is all over: no worker is left, and none will be started."""
        return self.stopping and not self.workers

    # Within.

    def _in_service(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.state in _IN_SERVICE]

    def _missing(self) -> int:
        """Return how many workers are to be started; one on the way to replace another is extra."""
        count = len(self._in_service())
        pair = self._replacement
        if pair is not None and pair.old.state in _IN_SERVICE and pair.new.state in _IN_SERVICE:
            count -= 1
        return max(0, self.limits.workers - count)

    def _start(self, now: float, todo: list[tuple[Action, Worker]]) -> Worker:
        self._count += 1
        worker = Worker(self._count, now)
        if self.limits.start_timeout is not None:
            worker.deadline = now + self.limits.start_timeout
        self.workers.append(worker)
        todo.append((Action.START, worker))
        return worker

    def _tell(self, worker: Worker, now: float, todo: list[tuple[Action, Worker]]) -> None:
        worker.put(_E.STOP)
        worker.deadline = self._drain_deadline(now, self.limits.drain_timeout)
        todo.append((Action.STOP, worker))

    def _look_at_all(self, now: float, todo: list[tuple[Action, Worker]]) -> None:
        for worker in self.workers:
            self._look_at(worker, now, todo)

    def _look_at(self, worker: Worker, now: float, todo: list[tuple[Action, Worker]]) -> None:
        if self.killing and worker.state is not _S.KILLED:
            worker.put(_E.KILL)
        elif worker.deadline <= now:
            worker.put(_E.DEADLINE)
        else:
            return
        worker.deadline = math.inf
        if worker.state is _S.CUT:
            worker.was_cut = True
            worker.deadline = now + self.limits.cut_timeout
            todo.append((Action.CUT, worker))
        else:
            todo.append((Action.KILL, worker))

    def _go_on_replacing(self, now: float, todo: list[tuple[Action, Worker]]) -> None:
        pair = self._replacement
        if pair is not None:
            if pair.new.state is _S.STARTING:
                return
            if pair.new.state not in _BEGUN:
                self._to_replace.clear()
                todo.append((Action.GIVE_UP, pair.new))
            elif pair.old.state in _IN_SERVICE:
                self._tell(pair.old, now, todo)
                return
            elif pair.old.state is _S.STOPPING:
                return
            self._replacement = None
        while self._to_replace and now >= self._backoff.until:
            old = self._to_replace.popleft()
            if old.state in _IN_SERVICE:
                self._replacement = _Replacement(old, self._start(now, todo))
                return

    def _note_death(self, worker: Worker, now: float) -> None:
        """Begin a pause, if *worker* has lived too short a time."""
        if any(
            other.since > self._last_failure and now - other.since >= STEADY_SECONDS
            for other in (*self.workers, worker)
        ):
            self._backoff = AcceptBackoff()
        if now - worker.since < STEADY_SECONDS:
            if now >= self._backoff.until:  # not once for each of several that die together
                self._backoff = self._backoff.failed(now)
            self._last_failure = now

    @staticmethod
    def _drain_deadline(now: float, drain_timeout: float | None) -> float:
        return math.inf if drain_timeout is None else now + drain_timeout


def _fate(worker: Worker) -> Fate:
    if worker.state is _S.KILLED:
        return Fate.KILLED
    if worker.state in _IN_SERVICE:
        return Fate.DIED
    return Fate.CUT if worker.was_cut else Fate.LEFT
