"""Threads for blocking code, of which one moves at a time."""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable
from contextvars import Context
from typing import Any, TypeVar

from .membership import UNSEEN

__all__ = ["Crew", "Gate"]

_Self = TypeVar("_Self", bound="Crew")

#: Seconds that a thread may take to end once it has nothing more to do.
_GOODBYE = 5.0


class Gate:
    """Where one thread waits until another lets it go on."""

    __slots__ = ("_lock", "acquire", "release")

    def __init__(self) -> None:
        self._lock = _thread.allocate_lock()  # the system's, whatever a world has put in its place
        self._lock.acquire()
        #: Wait to be let on; takes what the method of a lock takes.
        self.acquire = self._lock.acquire
        #: Let on who waits, or who will.
        self.release = self._lock.release


class Crew:
    """Threads that do one piece of work after another. They are daemons, and end with the crew."""

    def __init__(self) -> None:
        self._idle = _Idle()
        self._hands: list[_Hand] = []

    def start(self, work: Callable[[], Callable[[], object]], *, fresh: bool = False) -> None:
        """Let a thread do *work*, soon; then it calls what that returned.

        By that time the thread can be given other work.

        :param fresh: whether it is to be a thread that does nothing else, before or after.
        :raises RuntimeError: no thread can be started.
        """
        if self._idle and not fresh:
            hand = self._idle.pop()
        else:
            hand = _Hand.made(self._idle, fresh)
            self._hands.append(hand)
        hand.work = work
        hand.gate.release()

    def close(self) -> None:
        """End the threads. One that does not end in some seconds is left behind, to end later."""
        self._idle.closed = True
        for hand in self._idle:
            hand.work = None
            hand.gate.release()
        self._idle.clear()
        for hand in self._hands:
            hand.thread.join(_GOODBYE)
        self._hands = [hand for hand in self._hands if hand.thread.is_alive()]

    @property
    def threads(self) -> list[threading.Thread]:
        """The threads that there are."""
        return [hand.thread for hand in self._hands if hand.thread.is_alive()]

    def __enter__(self: _Self) -> _Self:  # noqa: PYI019 - typing.Self came with Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Idle(list["_Hand"]):
    """The threads that have nothing to do."""

    closed = False


class _Hand:
    """One thread of a crew."""

    def __init__(self, idle: _Idle, once: bool) -> None:
        self._once = once
        self.gate = Gate()
        self.work: Callable[[], Callable[[], object]] | None = None
        self._idle = idle
        self.thread = threading.Thread(target=self._run, name="testing", daemon=True)

    @classmethod
    def made(cls, idle: _Idle, once: bool) -> _Hand:
        """Return one whose thread has started, with all of it the system's."""
        me = threading.get_ident()
        UNSEEN.add(me)
        try:
            hand = cls(idle, once)
            hand.thread.start()
        finally:
            UNSEEN.discard(me)
        return hand

    def _run(self) -> None:
        while True:
            self.gate.acquire()
            work = self.work
            if work is None:
                return
            # An empty context: what a thread of the standard library begins with.
            after: Any = Context().run(work)
            self.work = work = None
            if self._once or self._idle.closed:
                after()
                return
            self._idle.append(self)  # before the baton goes on, and so for one at a time
            after()
