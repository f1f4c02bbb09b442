"""Locks that let others of a world move while they are waited for.

The classes of :mod:`threading` that are made of locks (conditions, events, semaphores, barriers,
and with them queues) need no others.
"""

from __future__ import annotations

import math
from threading import get_ident
from typing import TYPE_CHECKING

from .membership import find_world
from .scheduler import Signal

if TYPE_CHECKING:
    from .world import World

__all__ = ["Lock", "RLock"]


class Lock:
    """What ``threading.Lock()`` is in a world.

    :param world: where it is.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._holder = ""
        self._held = False
        self._released = Signal()

    def __repr__(self) -> str:
        state = f"held by {self._holder}" if self._held else "free"
        return f"<{type(self).__name__} in a world, {state}>"

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it; return whether that was possible.

        :param blocking: whether to wait for it.
        :param timeout: seconds to wait at most; -1 for any time.
        :raises ValueError: there is a *timeout* though it is not to be waited for, or one that is
            negative.
        """
        if timeout != -1 and not blocking:
            raise ValueError("can't specify a timeout for a non-blocking call")
        if timeout < 0 and timeout != -1:
            raise ValueError("timeout value must be a non-negative number")
        world = self._world
        if find_world() is world:
            world.pause(f"{self!r}")
        until = math.inf if timeout == -1 else world.now + timeout
        while self._held:
            if not blocking or world.now >= until:
                return False
            world.wait(self._released, until=until, why=f"{self!r}")
        self._held = True
        self._holder = world.current.label
        return True

    __enter__ = acquire

    def release(self) -> None:
        """Give it back, whoever has it.

        :raises RuntimeError: nobody has.
        """
        if not self._held:
            raise RuntimeError("release unlocked lock")
        self._held = False
        self._world.tell(self._released)

    def __exit__(self, *_: object) -> None:
        self.release()

    def locked(self) -> bool:
        """Say whether somebody has it."""
        return self._held


class RLock(Lock):
    """What ``threading.RLock()`` is in a world."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._owner: int | None = None
        self._count = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it, once more if the caller has it; the arguments are those of :class:`Lock`."""
        me = get_ident()
        if self._owner != me:
            if not super().acquire(blocking, timeout):
                return False
            self._owner = me
        self._count += 1
        return True

    __enter__ = acquire

    def release(self) -> None:
        """Give it back, once.

        :raises RuntimeError: the caller does not have it.
        """
        if self._owner != get_ident():
            raise RuntimeError("cannot release un-acquired lock")
        self._count -= 1
        if self._count == 0:
            self._owner = None
            super().release()

    # What conditions ask of a lock.

    def _is_owned(self) -> bool:
        return self._owner == get_ident()

    def _release_save(self) -> int:
        count, self._count = self._count, 1
        self.release()
        return count

    def _acquire_restore(self, count: int) -> None:
        self.acquire()
        self._count = count
