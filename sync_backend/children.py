"""Knowing when a child has exited, without asking each and without reaping those of others."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from typing import Any, Final

__all__ = ["LOOK_INTERVAL", "Children"]

#: Seconds between two looks where the system cannot tell when a child exits.
LOOK_INTERVAL: Final = 0.05


#: What an epoll instance raises, or None does, that another thread closes: before the call, or in
#: it, where epoll_wait(2) finds no descriptor any more.
_CLOSED: Final = (ValueError, AttributeError, OSError)


class Children:
    """Watches children by pidfds, gathered in one epoll descriptor; see pidfd_open(2).

    Where there are no pidfds (on other systems than Linux, before 5.3), or no descriptors left, a
    child stays unwatched: the system is to be asked for each of those.
    """

    def __init__(self) -> None:
        self._epoll: Any = None
        self._pidfds: dict[int, int] = {}
        self._pids: dict[int, int] = {}
        self._lock = threading.Lock()

    def watch(self, pid: int) -> None:
        """Watch a child that was just forked, if that is possible."""
        try:
            pidfd = os.pidfd_open(pid)
        except (AttributeError, OSError):
            return
        try:
            if self._epoll is None:
                self._epoll = select.epoll()
            self._epoll.register(pidfd, select.EPOLLIN)
        except _CLOSED:
            os.close(pidfd)
        else:
            self._pidfds[pid] = pidfd
            self._pids[pidfd] = pid

    def unwatch(self, pid: int) -> None:
        """Let go of a child that was reaped."""
        with self._lock:
            pidfd = self._pidfds.pop(pid, None)
            if pidfd is not None:
                self._pids.pop(pidfd, None)
                try:
                    # Closing alone would not do: children forked since have the descriptor too.
                    self._epoll.unregister(pidfd)
                except _CLOSED:
                    pass
                os.close(pidfd)

    def maybe_exited(self, pids: Iterable[int]) -> list[int]:
        """Return those of *pids* that have exited, and those that are not watched."""
        found = list(set(pids).difference(self._pidfds))
        if self._epoll is not None:
            try:
                exited = self._epoll.poll(0)
            except _CLOSED:
                return found
            for pidfd, _ in exited:
                pid = self._pids.get(pidfd)
                if pid is not None:
                    found.append(pid)
        return found

    def send_signal(self, pid: int, number: signal.Signals) -> None:
        """Send a signal to a child, unless another thread has reaped it.

        By its pidfd where there is one: its pid may be that of a stranger by then.
        """
        with self._lock, suppress(ProcessLookupError):
            pidfd = self._pidfds.get(pid)
            if pidfd is None:
                os.kill(pid, number)
            else:
                signal.pidfd_send_signal(pidfd, number)

    def all_watched(self, pids: Iterable[int]) -> bool:
        """Say whether each of *pids* is watched."""
        return all(pid in self._pidfds for pid in pids)

    def wait(self, pids: Iterable[int], timeout: float) -> None:
        """Wait until one of *pids* may have exited, or *timeout* seconds have passed.

        Another thread may reap them meanwhile: so this waits on descriptors of its own.
        """
        with ExitStack() as stack:
            poller = select.poll()
            for pid in pids:
                copy = self._copy(pid)
                if copy is None:
                    time.sleep(min(timeout, LOOK_INTERVAL))
                    return
                stack.callback(os.close, copy)
                poller.register(copy, select.POLLIN)
            poller.poll(1000 * timeout)

    def _copy(self, pid: int) -> int | None:
        """Return a descriptor of its own that watches a child, if there is one to be had."""
        with self._lock:  # or what it copies might be another's by then
            pidfd = self._pidfds.get(pid)
            if pidfd is None:
                return None
            try:
                return os.dup(pidfd)
            except OSError:
                return None

    def descriptors(self) -> tuple[int, ...]:
        """Return what becomes readable when a watched child exits."""
        try:
            if self._epoll is None:
                self._epoll = select.epoll()
            return (self._epoll.fileno(),)
        except _CLOSED:
            return ()

    def close(self) -> None:
        """Let go of all. Harmless when done before; watching another child begins anew.

        Nothing is unregistered, nor any lock waited for: in a forked child the epoll instance is
        the parent's too, and a thread may hold the lock that is not there.
        """
        self._lock = threading.Lock()
        if self._epoll is not None:
            self._epoll.close()
            self._epoll = None
        for pid in list(self._pidfds):
            pidfd = self._pidfds.pop(pid, None)
            if pidfd is not None:
                os.close(pidfd)
        self._pids.clear()

    __del__ = close
