"""Who moves next, and what time it is: actors of which one moves at a time, and a virtual clock.

An actor is a piece of blocking code in a thread of its own. It moves until it waits; then the
thread in which that happens chooses who moves next, and hands over. So nothing ever happens twice
at once, and the same choices give the same run.
"""

from __future__ import annotations

import heapq
import math
import os
import random
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Final

from .baton import Crew, Gate
from .errors import Deadlock, Stuck, Unwound

__all__ = ["PATIENCE", "Actor", "Scheduler", "Signal", "Timer"]

#: Files whose frames tell nobody anything.
_KIT: Final = (os.path.dirname(os.path.dirname(__file__)) + os.sep, threading.__file__)

#: Folders of what runs tests: what stands above a test tells nobody anything, either.
_RUNNERS: Final = frozenset({"_pytest", "pluggy", "hypothesis", "unittest"})

#: Seconds of wall-clock time that an actor may move without waiting before it counts as stuck.
PATIENCE: Final = 10.0

#: How many turns in a row may be mere looking around before it is taken that nothing else comes.
_IDLE_TURNS: Final = 1000

#: A time that is never reached, and yet is one.
_FOR_EVER: Final = sys.float_info.max


class Signal:
    """Something that actors wait for; whoever brings it about tells them to look again."""

    __slots__ = ("waiting",)

    def __init__(self) -> None:
        #: The actors, in the order in which they began to wait.
        self.waiting: dict[Actor, None] = {}


class Actor:
    """Somebody who moves: a loop, a handler, a client, a test.

    :ivar name: what it is called: the same in every run.
    :ivar label: what it is called in the timeline, now.
    :ivar waits_for: what it waits for, in words.
    :ivar ended: told when it has ended.
    :ivar on_end: called then; must not wait.
    :ivar failure: what it raised, once it has ended.
    :ivar thread: the ident of its thread; None before it has begun, and when it has ended.
    :ivar pid: of the virtual child process that it is in; None in the one that there is.
    """

    def __init__(self, name: str, seed: int | None) -> None:
        self.name = name
        self.label = name
        self.gate = Gate()
        self.ended = Signal()
        self.is_over = False
        self.on_end: Callable[[], object] | None = None
        self.failure: BaseException | None = None
        self.thread: int | None = None
        self.pid: int | None = None
        self.waits_for = ""
        self.signals: tuple[Signal, ...] = ()
        self.waits = False
        self.idle = False
        self.until = math.inf
        self.turn = 0  # tells a wait from those before it
        self.woken = False
        self.to_raise: BaseException | None = None
        # Its own, so that what others do has no influence on it. Strings seed alike on every
        # Python.
        self._random = None if seed is None else random.Random(f"{seed} {name}")  # noqa: S311 - no secret

    def __repr__(self) -> str:
        return f"<Actor {self.name}>"

    def draw(self) -> float:
        """Return what says when its turn comes among those who can move; 0 for in order."""
        return 0.0 if self._random is None else self._random.random()

    def stack(self) -> str:
        """Return where it stands, as tracebacks show it, but for the kit and what runs tests."""
        frame = None if self.thread is None else sys._current_frames().get(self.thread)
        if frame is None:
            return ""
        stack = traceback.StackSummary.extract(traceback.walk_stack(frame))
        shown: list[traceback.FrameSummary] = []
        for each in reversed(stack):
            if os.path.basename(os.path.dirname(each.filename)) in _RUNNERS:
                shown.clear()
            elif not each.filename.startswith(_KIT):
                shown.append(each)
        return "".join(traceback.format_list(shown))


class Timer:
    """Something to be done at a time, unless it is cancelled before."""

    __slots__ = ("action",)

    def __init__(self, action: Callable[[], object]) -> None:
        self.action: Callable[[], object] | None = action

    def cancel(self) -> None:
        """Let it not be done."""
        self.action = None


class Scheduler:
    """The order of a world.

    :param seed: what is drawn from it decides who moves next; None for first come, first served.
    :param jumps: whether the clock goes on by itself when nobody can move; otherwise only as far as
        the actor that made this waits.
    :param crew: threads to use; they outlive this.
    :param patience: seconds of wall-clock time that an actor may move without waiting.

    The thread that makes it is its first actor, "test".
    """

    def __init__(
        self,
        seed: int | None = None,
        *,
        jumps: bool = False,
        crew: Crew | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self.seed = seed
        self.jumps = jumps
        self.patience = patience
        self.now = 0.0
        #: How often the baton has been handed on.
        self.moves = 0
        #: Called with seconds each time before the clock goes on; returns how many more to add.
        self.on_time: Callable[[], float] | None = None
        self.closing = False
        self._owns_crew = crew is None
        self._crew = Crew() if crew is None else crew
        self._ready: list[tuple[float, int, Actor]] = []
        self._timers: list[tuple[float, int, int, Actor | Timer]] = []
        self._quiet: Signal = Signal()
        self._counter = 0
        self._idle_turns = 0
        self.main = Actor("test", seed)
        self.main.thread = threading.get_ident()
        self.current = self.main
        #: Who has begun and not ended, without the first.
        self.actors: dict[Actor, None] = {}
        self._lost: dict[Actor, None] = {}

    # For actors.

    def me(self) -> Actor:
        """Return the actor whose thread this is.

        :raises RuntimeError: it is none's.
        """
        actor = self.current
        ident = threading.get_ident()
        if actor.thread != ident:
            if any(lost.thread == ident for lost in self._lost):
                raise Unwound
            raise RuntimeError(
                "this thread is not part of the world: only threads that were started by handlers, "
                "hooks or the test, while the world runs, may wait in it"
            )
        return actor

    def wait(
        self, *signals: Signal, until: float = math.inf, why: str = "", idle: bool = False
    ) -> bool:
        """Let others move until one of *signals* is told, or it is time.

        :param until: when to go on at the latest, in seconds on this clock.
        :param why: what this waits for, in words.
        :param idle: whether the time alone, when it comes, is no reason to believe that something
            happens: so do loops wait that look around every so often.
        :returns: whether it was a signal.
        :raises Deadlock: nobody will ever tell, as things are; in the first actor alone.
        """
        me = self.me()
        if me.to_raise is not None:
            self._raise(me)
        if self.closing and me is not self.main:
            raise Unwound
        me.signals, me.waits_for, me.idle, me.until = signals, why, idle, until
        me.waits = True
        me.woken = False
        for signal in signals:
            signal.waiting[me] = None
        if until < math.inf:
            self._counter += 1
            heapq.heappush(self._timers, (until, self._counter, me.turn, me))
        self._hand_on(me)
        if me.to_raise is not None:
            self._raise(me)
        return me.woken

    @staticmethod
    def _raise(actor: Actor) -> None:
        error, actor.to_raise = actor.to_raise, None
        if error is not None:
            raise error

    def tell(self, signal: Signal) -> None:
        """Let those go on who wait for *signal*; they look for themselves whether they can."""
        while signal.waiting:
            self._wake(next(iter(signal.waiting)), True)

    def pause(self, why: str = "its turn") -> None:
        """Let others move first, if it is drawn so; without a seed nobody does."""
        if self.seed is not None and not self.closing:
            me = self.me()
            if self._ready:
                me.waits, me.signals, me.waits_for = True, (), why
                self._wake(me, True)
                self._hand_on(me)
                if me.to_raise is not None:
                    self._raise(me)

    def sleep(self, seconds: float, why: str = "") -> None:
        """Let *seconds* pass; others move meanwhile."""
        self.wait(until=self.now + max(0.0, seconds), why=why or f"{seconds} s to pass")

    def throw(self, actor: Actor, error: BaseException) -> None:
        """Raise *error* in *actor*, where it waits or will wait next."""
        actor.to_raise = error
        if actor.waits:
            self._wake(actor, True)

    def spawn(self, name: str, work: Callable[[], object], *, fresh: bool = False) -> Actor:
        """Let *work* be done by an actor of its own, which begins when its turn comes.

        :param fresh: whether in a thread of its own, too, so that what it finds and leaves there
            (``threading.local``) is nobody else's.

        :raises RuntimeError: no thread can be started.
        """
        actor = Actor(name, self.seed)
        actor.pid = self.current.pid

        def run() -> Callable[[], object]:
            actor.gate.acquire()
            self._begin(actor)
            try:
                if not self.closing and actor.to_raise is None:
                    work()
            except Unwound:
                pass
            except BaseException as error:  # noqa: BLE001 - for who asks
                actor.failure = error
            finally:
                self._finish(actor)
            return lambda: self._end(actor)

        self._crew.start(run, fresh=fresh)
        self.actors[actor] = None
        self._make_ready(actor)
        return actor

    def call_at(self, time: float, action: Callable[[], object]) -> Timer:
        """Call *action* at *time*, in whatever thread; it must not wait."""
        timer = Timer(action)
        self._counter += 1
        heapq.heappush(self._timers, (time, self._counter, 0, timer))
        return timer

    def settle(self, why: str = "the others to come to rest") -> None:
        """Let the others move until none can, without the clock going on."""
        self.wait(self._quiet, why=why)

    def join(self, actor: Actor, why: str = "") -> None:
        """Wait until *actor* has ended."""
        while not actor.is_over:
            self.wait(actor.ended, why=why or f"{actor.name} to end")

    def _begin(self, actor: Actor) -> None:
        """Note in its thread that *actor* begins."""
        actor.thread = threading.get_ident()

    def _finish(self, actor: Actor) -> None:
        """Note in its thread that *actor* has ended."""

    # The choice.

    def _make_ready(self, actor: Actor) -> None:
        self._counter += 1
        heapq.heappush(self._ready, (actor.draw(), self._counter, actor))

    def _wake(self, actor: Actor, by_signal: bool) -> None:
        actor.woken = by_signal
        actor.waits = False
        actor.turn += 1
        for signal in actor.signals:
            signal.waiting.pop(actor, None)
        actor.signals = ()
        if by_signal or not actor.idle:
            self._idle_turns = 0
        self._make_ready(actor)

    def _hand_on(self, me: Actor) -> None:
        """Let who is next move, and come back when it is *me* again."""
        following = self._choose()
        if following is not me:
            self._pass_baton(following)
            if me is self.main:
                self._wait_patiently()
            else:
                me.gate.acquire()

    def _pass_baton(self, following: Actor) -> None:
        self.current = following
        self.moves += 1
        following.gate.release()

    def _end(self, actor: Actor) -> None:
        actor.is_over = True
        actor.thread = None
        if actor in self._lost:
            return  # it comes too late: another has gone on
        self.actors.pop(actor, None)
        self.tell(actor.ended)
        if actor.on_end is not None:
            actor.on_end()
        self._pass_baton(self._choose())

    def _choose(self) -> Actor:
        while True:
            if self._ready:
                return heapq.heappop(self._ready)[2]
            if self._quiet.waiting:
                self.tell(self._quiet)
            elif not self._let_time_pass():
                # Whoever cannot move now never will: the first actor is told, so that it ends.
                self.main.to_raise = self._deadlock()
                self._wake(self.main, True)

    def _let_time_pass(self) -> bool:
        """Put the clock on to when somebody can move; return whether there is such a time."""
        time = self._next_time()
        if time > self._horizon() or self._idle_turns > _IDLE_TURNS:
            return False
        self._idle_turns += 1
        if self.on_time is not None:
            self.now = max(self.now, time) + self.on_time()
        else:
            self.now = max(self.now, time)
        while self._timers and self._timers[0][0] <= self.now:
            _, _, turn, what = heapq.heappop(self._timers)
            if isinstance(what, Actor):
                if what.waits and what.turn == turn:
                    self._wake(what, False)
            elif what.action is not None:
                action, what.action = what.action, None
                self._idle_turns = 0
                action()
        return True

    def _next_time(self) -> float:
        while self._timers:
            time, _, turn, what = self._timers[0]
            if isinstance(what, Actor):
                if what.waits and what.turn == turn:
                    return time
            elif what.action is not None:
                return time
            heapq.heappop(self._timers)
        return math.inf

    def _horizon(self) -> float:
        """Return how far the clock may go on."""
        if self.jumps:
            return _FOR_EVER
        return self.main.until if self.main.waits and self.main.until < math.inf else self.now

    # What cannot go on.

    def _deadlock(self) -> Deadlock:
        lines = [f"{self.main.name} waits for {self.main.waits_for}, and nobody can move"]
        time = self._next_time()
        if time < math.inf and not self.jumps:
            lines[0] += (
                f"; the clock stands at {self.now:g} s, and somebody would move at {time:g} s: "
                "call advance(), or give a timeout"
            )
        for actor in (self.main, *self.actors):
            lines.append(f"\n{actor.name} waits for {actor.waits_for or 'its turn'}:")
            lines.append(actor.stack().rstrip("\n"))
        return Deadlock("\n".join(lines))

    def _wait_patiently(self) -> None:
        """Wait for the first actor's turn, but not for somebody who will not hand over."""
        gate = self.main.gate
        while True:
            moves = self.moves
            if gate.acquire(timeout=self.patience):
                return
            if self.moves == moves:
                break
        lost = self.current
        message = (
            f"{lost.name} has neither waited nor ended for {self.patience:g} s of real time: it "
            "computes for ever, or waits for something that the world does not see\n"
            f"{lost.stack()}"
        )
        if gate.acquire(blocking=False):
            return  # in this very moment
        self._lost[lost] = None
        self.actors.pop(lost, None)
        if self.main.waits:
            self._wake(self.main, True)
        self._ready = [entry for entry in self._ready if entry[2] is not self.main]
        heapq.heapify(self._ready)
        self.current = self.main
        raise Stuck(message)

    @property
    def lost(self) -> tuple[Actor, ...]:
        """Those who would not hand over."""
        return tuple(self._lost)

    def close(self) -> None:
        """End all who still wait, by an exception where they stand; then their threads.

        :raises Stuck: one of them does not end.
        """
        self.closing = True
        try:
            for actor in tuple(self.actors):
                self.throw(actor, Unwound())
            while self.actors:
                self.join(next(iter(self.actors)))
        finally:
            if self._owns_crew:
                self._crew.close()
