"""Waking a loop that waits in ``poll``: from another thread, or from a signal handler."""

from __future__ import annotations

import os
from contextlib import suppress

__all__ = ["Wakeup"]


class Wakeup:
    """A descriptor that becomes readable when somebody asks for it.

    It counts for the process that made it; one inherited by a fork is silent, or a child would wake
    its parent and its siblings.

    :raises OSError: no descriptor is to be had.
    """

    def __init__(self) -> None:
        self._pid = os.getpid()
        if hasattr(os, "eventfd"):
            self._reader = self._writer = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        else:
            self._reader, self._writer = os.pipe()
            os.set_blocking(self._reader, False)
            os.set_blocking(self._writer, False)

    def fileno(self) -> int:
        """Return the descriptor to wait for; -1 when closed."""
        return self._reader

    @property
    def usable(self) -> bool:
        """Whether this is open and belongs to this process."""
        return self._reader >= 0 and self._pid == os.getpid()

    def wake(self) -> None:
        """Make the descriptor readable. Harmless when it is so already, and when it is closed."""
        if self.usable:
            with suppress(OSError):  # full: the loop will wake as it is; closed: nobody sleeps
                os.write(self._writer, b"\1\0\0\0\0\0\0\0")

    def clear(self) -> None:
        """Make the descriptor unreadable until it is woken again."""
        with suppress(BlockingIOError):
            os.read(self._reader, 512)

    def close(self) -> None:
        """Give the descriptor back."""
        reader, writer = self._reader, self._writer
        self._reader = self._writer = -1
        if reader >= 0:
            os.close(reader)
        if writer not in (reader, -1):
            os.close(writer)

    __del__ = close
