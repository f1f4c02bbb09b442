"""Waking a loop that waits in ``poll``: from another thread, or from a signal handler."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

__all__ = ["Wakeup"]


class Wakeup:
    """A descriptor that becomes readable when somebody asks for it, or a signal comes.

    It counts for the process that made it; one inherited by a fork is silent, or a child would wake
    its parent and its siblings.

    :raises OSError: no descriptor is to be had.
    """

    # Closed, should Ctrl-C keep it from being opened.
    _reader = _writer = -1

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._hears = False
        self._reader, self._writer = os.pipe()  # no eventfd: signals write single bytes
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
                os.write(self._writer, b"\0")

    def clear(self) -> None:
        """Make the descriptor unreadable until it is woken again."""
        with suppress(BlockingIOError):
            os.read(self._reader, 512)
        if self._hears:
            _run_handlers()

    @contextmanager
    def told_of_signals(self) -> Iterator[bool]:
        """Let signals make the descriptor readable meanwhile; yield whether they do.

        A signal that comes just before the sleep begins, or in another thread, does not end it;
        Python's handlers, which run in the main thread alone, would wait for whatever does. So this
        is needed there, and only there. Not done where somebody else is told of signals already.
        """
        if threading.current_thread() is not threading.main_thread():
            yield True
            return
        former = -1
        try:  # from here on, since a signal's handler may raise at any moment
            former = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
            if former != -1:
                signal.set_wakeup_fd(former)
            else:
                self._hears = True
                _run_handlers()
            yield former == -1
        finally:
            self._hears = False
            if former == -1:
                signal.set_wakeup_fd(-1)

    def close(self) -> None:
        """Give the descriptors back."""
        reader, writer = self._reader, self._writer
        self._reader = self._writer = -1
        if reader >= 0:
            os.close(reader)
            os.close(writer)

    __del__ = close


def _run_handlers() -> None:
    """Have Python run the handlers of signals that have come.

    It does so by itself, but for CPython 3.13 in a process that was forked by another thread than
    the main one: there, only in calls that look for signals themselves, as this one.
    """
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, ())
