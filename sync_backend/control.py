"""Order among the events of a server that come from threads, signal handlers and forks.

The machine in :mod:`sansio_server.lifecycle` is for one thread. :class:`Control` lets any thread,
and any signal handler that interrupts one, put events to it: an event is appended to an inbox,
which cannot be interrupted, and whoever has the lock puts what is in the inbox to the machine. A
signal handler that interrupts that very work leaves its event to the interrupted, who looks again.
So no event is lost and nobody waits for a thread that waits for him.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sansio_server.lifecycle import Event, Lifecycle, State

from .wakeup import Wakeup

__all__ = ["Control", "Loop"]


class Loop:
    """One running ``serve_forever()`` or ``handle_request()``.

    :ivar thread: the ident of the thread that runs it.
    :ivar left: set when it has ended.
    """

    def __init__(self, wakeup: Wakeup) -> None:
        self.thread = threading.get_ident()
        self.wakeup = wakeup
        self.left = threading.Event()


class Control:
    """A server's lifecycle, for several threads.

    :param lifecycle: the machine.
    :param on_event: called, in some thread, after each event that the machine has seen.
    """

    def __init__(self, lifecycle: Lifecycle, on_event: Callable[[Event], object]) -> None:
        self._lifecycle = lifecycle
        self._on_event = on_event
        self._inbox: deque[tuple[Event, Loop | None]] = deque()
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
        self._inbox.append((event, loop))
        while self._inbox:
            with self._lock:
                if self._busy:
                    return
                self._busy = True
                try:
                    while self._inbox:
                        self._put(*self._inbox.popleft())
                finally:
                    self._busy = False

    def _put(self, event: Event, loop: Loop | None) -> None:
        self._lifecycle.put(event)
        if loop is None:
            self.wake()
        elif event in (Event.SERVE, Event.WAIT):
            self._loops += (loop,)
        else:
            self._loops = tuple(other for other in self._loops if other is not loop)
            loop.left.set()
        self._on_event(event)

    def wake(self) -> None:
        """Let every running loop look around."""
        with self._lock:  # so that none of the descriptors is closed meanwhile
            for loop in self._loops:
                loop.wakeup.wake()

    @contextmanager
    def running(self, event: Event) -> Iterator[Loop]:
        """Run a loop, which begins with *event*, in the calling thread.

        :raises OSError: there is no descriptor to wake the loop by.
        """
        self._look_for_fork()
        loop = Loop(self._take_wakeup())
        self.post(event, loop)
        try:
            yield loop
        finally:
            self.end(loop, Event.LEAVE)
            self._spare.append(loop.wakeup)
            if self._lifecycle.listener is State.CLOSED:
                self.close_spare()

    def end(self, loop: Loop, event: Event) -> None:
        """End *loop* by *event*. Harmless when it has ended before."""
        if not loop.left.is_set():
            self.post(event, loop)

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
        while self._spare:
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
