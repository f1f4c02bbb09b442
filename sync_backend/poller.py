"""What a loop sleeps on: the listener, a wake-up, and whatever else the server waits for."""

from __future__ import annotations

import math
import select
import selectors
from collections.abc import Iterable
from contextlib import suppress
from typing import Final, Protocol

from .wakeup import Wakeup

__all__ = ["LONGEST_SLEEP", "SIGNAL_INTERVAL", "HasFileno", "Poller", "SharedPoller"]

# poll() needs no descriptor of its own, which matters when there is none left.
_SELECTOR: Final[type[selectors.BaseSelector]] = getattr(
    selectors, "PollSelector", selectors.SelectSelector
)

#: poll(2) takes milliseconds in a C int; one sleep is at most this many seconds.
LONGEST_SLEEP: Final = 86400.0

#: Seconds between two looks around where a signal cannot end the sleep by itself.
SIGNAL_INTERVAL: Final = 0.5


class HasFileno(Protocol):
    """Something to wait for."""

    def fileno(self) -> int:
        """Return its descriptor."""


class Poller:
    """Sleeps until there is something to do.

    :param listener: what becomes readable when a client comes.
    :param wakeup: what becomes readable when the loop is to look around.
    :param others: descriptors that end the sleep too.
    :param longest: the most seconds of one sleep.
    """

    def __init__(
        self,
        listener: HasFileno,
        wakeup: Wakeup,
        others: Iterable[int] = (),
        longest: float = LONGEST_SLEEP,
    ) -> None:
        self._listener = listener
        self._wakeup = wakeup
        self._woken_by = wakeup.fileno()
        self._longest = longest
        self._selector = _SELECTOR()
        self._selector.register(wakeup, selectors.EVENT_READ)
        for descriptor in others:
            self._selector.register(descriptor, selectors.EVENT_READ)
        self._registered: int | None = None
        #: Whether the last sleep was ended by one of the other descriptors.
        self.others_are_ready = False

    def wait(self, listen: bool, timeout: float) -> bool:
        """Sleep up to *timeout* seconds; return whether a client is there.

        :param listen: whether clients are to be waited for.
        :raises ValueError: they are, and the listener is closed.
        """
        self._register(self._listener.fileno() if listen else None)
        if timeout == math.inf and self._longest == LONGEST_SLEEP:
            limit = None
        else:
            limit = min(max(timeout, 0.0), self._longest)
        came = self.others_are_ready = False
        for descriptor in self._sleep(limit):
            if descriptor == self._registered:
                came = True
            elif descriptor == self._woken_by:
                self._wakeup.clear()
            else:
                self.others_are_ready = True
        return came

    def _sleep(self, limit: float | None) -> list[int]:
        return [key.fd for key, _ in self._selector.select(limit)]

    def _register(self, descriptor: int | None) -> None:
        # Programs swap the listener, and close it: the descriptor is asked for each time.
        if descriptor != self._registered:
            if self._registered is not None:
                self._ignore(self._registered)
                self._registered = None
            if descriptor is not None:
                self._watch(descriptor)
                self._registered = descriptor

    def _watch(self, listener: int) -> None:
        self._selector.register(listener, selectors.EVENT_READ)

    def _ignore(self, listener: int) -> None:
        self._selector.unregister(listener)

    def close(self) -> None:
        """Let go of all."""
        self._selector.close()


#: Lets a listener wake one of those who wait for it, not all; Linux has this since 4.5.
_EXCLUSIVE: Final[int] = getattr(select, "EPOLLEXCLUSIVE", 0)


class SharedPoller(Poller):
    """Sleeps on a listener that other processes wait for too: a client wakes one of them.

    Not sooner than that one has slept, at least: who is woken, and then accepts nobody, has to see
    to it that others look. Where the system has nothing of the kind a client wakes all.
    """

    def __init__(
        self,
        listener: HasFileno,
        wakeup: Wakeup,
        others: Iterable[int] = (),
        longest: float = LONGEST_SLEEP,
    ) -> None:
        super().__init__(listener, wakeup, others, longest)
        self._epoll: select.epoll | None = None
        if _EXCLUSIVE:
            self._epoll = select.epoll()
            for key in self._selector.get_map().values():
                self._epoll.register(key.fd, select.EPOLLIN)

    def _sleep(self, limit: float | None) -> list[int]:
        if self._epoll is None:
            return super()._sleep(limit)
        return [descriptor for descriptor, _ in self._epoll.poll(limit)]

    def _watch(self, listener: int) -> None:
        if self._epoll is None:
            super()._watch(listener)
        else:
            self._epoll.register(listener, select.EPOLLIN | _EXCLUSIVE)

    def _ignore(self, listener: int) -> None:
        if self._epoll is None:
            super()._ignore(listener)
        else:
            # A program that closed it has taken it out of the set by that.
            with suppress(OSError):
                self._epoll.unregister(listener)

    def close(self) -> None:
        """Let go of all."""
        super().close()
        if self._epoll is not None:
            self._epoll.close()
