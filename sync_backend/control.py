"""Order among the events of a server that come from threads, signal handlers and forks.

The machine in :mod:`sansio_server.lifecycle` is for one thread. :class:`Control` lets any thread,
and any signal handler that interrupts one, put events to it: an event is appended to an inbox,
which cannot be interrupted, and whoever has the lock puts what is in the inbox to the machine. A
signal handler that interrupts that very work leaves its event to the interrupted, who looks again.
An event stays in the inbox until it is dealt with: when a signal handler raises amid that, as
Ctrl-C does, it is gone on with before the exception goes its way. So no event is lost and nobody
waits for a thread that waits for him.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, Protocol

from sansio_server.lifecycle import LOOP_ENTRIES, Event, Lifecycle, State

from .wakeup import Wakeup

__all__ = ["Control", "Latch", "Loop", "Waker"]


class Latch:
    """An event that may be set, and waited for, in signal handlers too.

    ``threading.Event`` holds a lock for a moment; a handler that interrupts whoever holds it, and
    waits for the same event, waits for ever.
    """

    def __init__(self) -> None:
        self._is_set = False
        self._waiters: deque[threading.Lock] = deque()

    def is_set(self) -> bool:
        """Say whether :meth:`set` was called."""
        return self._is_set

    def set(self) -> None:
        """Let all go on who wait, now and later."""
        self._is_set = True
        with suppress(IndexError):
            while True:
                waiter = self._waiters[0]
                with suppress(RuntimeError):  # whoever does the same meanwhile may be faster
                    waiter.release()
                with suppress(ValueError):
                    self._waiters.remove(waiter)  # last: what comes in between may raise

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for :meth:`set`, *timeout* seconds or for ever; return whether it came."""
        waiter = threading.Lock()
        waiter.acquire()
        self._waiters.append(waiter)
        # Asked again, or nobody might come to release it.
        if not self._is_set and not waiter.acquire(timeout=-1 if timeout is None else timeout):
            with suppress(ValueError):  # it comes just now
                self._waiters.remove(waiter)
        return self._is_set


class Waker(Protocol):
    """What ends the sleep of a loop."""

    def wake(self) -> None:
        """End it. For any thread and any signal handler."""

    def close(self) -> None:
        """Give back what this holds."""


class Loop:
    """One running ``serve_forever()`` or ``handle_request()``.

    :ivar thread: the ident of the thread that runs it.
    :ivar stopped: whether a stop was asked for since it began.
    :ivar left: set when it has ended.
    """

    def __init__(self, wakeup: Waker) -> None:
        self.thread = threading.get_ident()
        self.wakeup = wakeup
        self.stopped = False
        self.left = Latch()


#: What ends a loop only while nobody has asked for a stop.
_LOOKED_FOR: Final = frozenset({Event.REQUEST, Event.TIMEOUT})
#: How often it is tried to put an event, if each time something else is raised in between.
_TRIES: Final = 2


class _Posted:
    """An event in the inbox.

    :ivar applied: whether the machine has seen it.
    :ivar tries: how often it was tried to put it.
    """

    __slots__ = ("applied", "event", "loop", "tries")

    def __init__(self, event: Event, loop: Loop | None) -> None:
        self.event = event
        self.loop = loop
        self.applied = False
        self.tries = 0


class Control:
    """A server's lifecycle, for several threads.

    :param lifecycle: the machine.
    :param on_event: called, in some thread, after each event that the machine has seen.
    """

    def __init__(self, lifecycle: Lifecycle, on_event: Callable[[Event], object]) -> None:
        self._lifecycle = lifecycle
        self._on_event = on_event
        self._inbox: deque[_Posted] = deque()
        self._spare: list[Wakeup] = []
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._busy = False
        self._loops: tuple[Loop, ...] = ()

    @property
    def loops(self) -> tuple[Loop, ...]:
        """The loops that run now."""
        self._look_for_fork()
        return self._loops

    def post(self, event: Event, loop: Loop | None = None) -> None:
        """Let *event* happen. Safe in any thread and in any signal handler."""
        self._look_for_fork()
        try:
            self._inbox.append(_Posted(event, loop))
            self._empty()
        except BaseException:
            # Ctrl-C, say, which may come between any two calls, and amid another thread's event.
            self._empty()
            raise

    def _empty(self) -> None:
        """Put what is in the inbox to the machine."""
        while self._inbox:
            with self._lock:
                if self._busy:
                    return
                try:
                    self._busy = True
                    while self._inbox:
                        self._put_first()
                finally:
                    self._busy = False

    def _put_first(self) -> None:
        """Put the first event of the inbox, or go on with that where it was interrupted."""
        posted = self._inbox[0]
        posted.tries += 1
        try:
            self._put(posted)
        except BaseException as error:
            if isinstance(error, Exception) or posted.tries >= _TRIES:
                self._inbox.popleft()
            raise
        self._inbox.popleft()

    def _put(self, posted: _Posted) -> None:
        event, loop = posted.event, posted.loop
        if not posted.applied:
            if event in _LOOKED_FOR and not self._lifecycle.running:
                return  # a stop came first; the loop will see that
            if loop is not None and event not in LOOP_ENTRIES and loop not in self._loops:
                return  # it was interrupted before it had begun, or has left already
            self._lifecycle.put(event)
            posted.applied = True
        if loop is None:
            if event is Event.SHUTDOWN:
                for stopped in self._loops:
                    stopped.stopped = True
            self.wake()
        elif event in LOOP_ENTRIES:
            if loop not in self._loops:
                self._loops += (loop,)
        else:
            self._loops = tuple(other for other in self._loops if other is not loop)
            loop.left.set()
        self._on_event(event)

    def stop(self) -> None:
        """Ask the loops to stop, and wait for them unless that would wait for the caller.

        That is so in a loop's own thread, and in a signal handler that interrupted this very object
        at work: no loop can leave before that goes on.
        """
        self._look_for_fork()
        interrupted = self._lock._is_owned()  # type: ignore[attr-defined]  # as Condition asks it
        self.post(Event.SHUTDOWN)
        loops = self.loops
        caller = threading.get_ident()
        if not interrupted and all(loop.thread != caller for loop in loops):
            for loop in loops:
                if loop.stopped:  # another one began after this stop was over
                    loop.left.wait()

    def wake(self) -> None:
        """Let every running loop look around."""
        with self._lock:  # so that none of the descriptors is closed meanwhile
            for loop in self._loops:
                loop.wakeup.wake()

    @contextmanager
    def running(self, event: Event) -> Iterator[tuple[Loop, Wakeup]]:
        """Run a loop, which begins with *event*, in the calling thread; lend it a wake-up.

        :raises OSError: there is no descriptor to wake the loop by.
        """
        self._look_for_fork()
        wakeup = self._take_wakeup()
        try:
            with self.running_with(event, wakeup) as loop:
                yield loop, wakeup
        finally:
            self._spare.append(wakeup)
            if self._lifecycle.listener is State.CLOSED:
                self.close_spare()

    @contextmanager
    def running_with(self, event: Event, wakeup: Waker) -> Iterator[Loop]:
        """Run a loop, which begins with *event* and is woken by *wakeup*, in the calling thread."""
        self._look_for_fork()
        loop = Loop(wakeup)
        try:
            self.post(event, loop)
            yield loop
        finally:
            try:
                self.end(loop, Event.LEAVE)
            finally:  # even if Ctrl-C is pressed again as the loop leaves
                self.end(loop, Event.LEAVE)

    def end(self, loop: Loop, event: Event) -> bool:
        """End *loop* by *event*; return whether it has ended. Harmless when it has ended before.

        It has not if *event* is what it looked for (a request, its timeout), and a stop came first.
        """
        if not loop.left.is_set():
            self.post(event, loop)
        return loop.left.is_set()

    def _take_wakeup(self) -> Wakeup:
        while self._spare:
            wakeup = self._spare.pop()
            if wakeup.usable:
                wakeup.clear()
                return wakeup
            wakeup.close()
        return Wakeup()

    def close_spare(self) -> None:
        """Give back the descriptors that no loop uses."""
        with suppress(IndexError):  # two threads may do this at once
            while True:
                self._spare.pop().close()

    def _look_for_fork(self) -> None:
        """Forget the loops of the parent if this is a forked child: its threads are not here."""
        if self._pid != os.getpid():
            for loop in self._loops:
                loop.wakeup.close()
            self._begin()
            self._inbox.clear()
            self._lifecycle.forget_loops()

    after_fork = _look_for_fork
