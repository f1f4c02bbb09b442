"""What the main thread is told, by other threads and by signals."""

from __future__ import annotations

import math
import select
import threading
import time
from collections import deque
from contextlib import ExitStack
from typing import Any

from sync_backend.poller import LONGEST_SLEEP
from sync_backend.wakeup import Wakeup

__all__ = ["Events"]


class Events:
    """A queue from which the main thread takes what any thread and any signal handler has put.

    Unlike :mod:`queue` it misses no signal: one that comes just before a wait would be handled only
    after it. To be closed by the thread that made it.

    :raises OSError: no descriptor is to be had.
    """

    def __init__(self) -> None:
        self._waiting: deque[Any] = deque()
        self._lock = threading.RLock()  # or a descriptor might be another's when it is written to
        self._wakeup = Wakeup()
        self._signals = ExitStack()
        self._signals.enter_context(self._wakeup.told_of_signals())

    def put(self, event: Any) -> None:
        """Add an event; None is none."""
        self._waiting.append(event)
        with self._lock:
            self._wakeup.wake()

    def get(self, until: float = math.inf) -> Any:
        """Take the first event; None if none comes.

        :param until: when to give up, in seconds on the monotonic clock.
        """
        poller = select.poll()
        poller.register(self._wakeup, select.POLLIN)
        while not self._waiting:
            left = until - time.monotonic()
            if left <= 0:
                return None
            poller.poll(1000 * min(left, LONGEST_SLEEP))
            self._wakeup.clear()
        return self._waiting.popleft()

    def close(self) -> None:
        """Give the descriptors back; what is put from now on is put in vain."""
        self._signals.close()
        with self._lock:
            self._wakeup.close()
