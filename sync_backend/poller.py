"""What a loop sleeps on: the listener, a wake-up, and whatever else the server waits for."""

from __future__ import annotations

import math
import selectors
from collections.abc import Iterable
from typing import Final, Protocol

from .wakeup import Wakeup

__all__ = ["LONGEST_SLEEP", "SIGNAL_INTERVAL", "HasFileno", "Poller"]

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
        self._longest = longest
        self._selector = _SELECTOR()
        self._selector.register(wakeup, selectors.EVENT_READ)
        for descriptor in others:
            self._selector.register(descriptor, selectors.EVENT_READ)
        self._registered: int | None = None

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
        came = False
        for key, _ in self._selector.select(limit):
            if key.fd == self._registered:
                came = True
            elif key.fileobj is self._wakeup:
                self._wakeup.clear()
        return came

    def _register(self, descriptor: int | None) -> None:
        # Programs swap the listener, and close it: the descriptor is asked for each time.
        if descriptor != self._registered:
            if self._registered is not None:
                self._selector.unregister(self._registered)
                self._registered = None
            if descriptor is not None:
                self._selector.register(descriptor, selectors.EVENT_READ)
                self._registered = descriptor

    def close(self) -> None:
        """Let go of all."""
        self._selector.close()
