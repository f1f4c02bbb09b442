"""Starting worker threads in a crowd, where each has to queue for the GIL.

To start a thread, trio's loop waits until that has begun. Beside many that are busy the loop queues
for the GIL twice for each: when many clients come at once, whoever comes after them waits for
seconds. So their handlers are held until the loop has started the threads of all of them.
"""

from __future__ import annotations

import threading
from typing import Final

import trio

__all__ = ["CROWD", "Hold", "SameTurn"]

#: With more requests at once than this, handlers that are about to begin are held. Measured: with
#: 16 short connections at once it costs a tenth of each.
CROWD: Final = 16


class Hold:
    """Holds a handler in its thread until the loop's turn is over."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def release(self) -> None:
        """Let the handler begin; to be called once, in the loop's next turn."""
        self._lock.release()

    def wait(self) -> None:
        """Wait for that, in the handler's thread."""
        self._lock.acquire()


class SameTurn:
    """A limiter that lets a thread be started in the turn in which it is asked for.

    One of trio's own gives way to other tasks first, but whoever waits for a thread does so anyway.

    :param limiter: whose tokens are taken.
    """

    def __init__(self, limiter: trio.CapacityLimiter) -> None:
        self._limiter = limiter

    async def acquire_on_behalf_of(self, borrower: object) -> None:
        """Take a token for *borrower*, and wait only if there is none."""
        try:
            self._limiter.acquire_on_behalf_of_nowait(borrower)
        except trio.WouldBlock:
            await self._limiter.acquire_on_behalf_of(borrower)

    def release_on_behalf_of(self, borrower: object) -> None:
        """Give back the token of *borrower*."""
        self._limiter.release_on_behalf_of(borrower)
