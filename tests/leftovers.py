"""Finds what a test leaves behind: threads, child processes, open descriptors."""

from __future__ import annotations

import contextlib
import gc
import os
import threading
from pathlib import Path

import attrs

# How long a thread that has done its work may take to end, in seconds.
GRACE = 5.0

_PROC = Path("/proc")
_FD_DIR = next((path for path in ("/proc/self/fd", "/dev/fd") if os.path.isdir(path)), None)


@attrs.frozen
class Held:
    """What the process holds at one moment."""

    threads: frozenset[threading.Thread]
    children: frozenset[int]
    descriptors: frozenset[str]

    @classmethod
    def now(cls) -> Held:
        """Count what is held; cheap, since it runs before and after each test."""
        return cls(frozenset(threading.enumerate()), _children(), _descriptors())


def _children() -> frozenset[int]:
    """Pids of children, running or not reaped; nobody's exit status is taken."""
    if not hasattr(os, "waitid"):  # macOS before Python 3.13
        return frozenset()
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return frozenset()
    # There are some; only now pay for a look at which.
    found: set[int] = set()
    for task in _PROC.glob("self/task/*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that just ended
            found.update(map(int, task.read_text().split()))
    return frozenset(found)


def _descriptors() -> frozenset[str]:
    """Open descriptors and what each stands for, without the one that lists the folder."""
    found = set()
    for number in os.listdir(_FD_DIR) if _FD_DIR else ():
        with contextlib.suppress(OSError):
            found.add(f"{number} ({os.readlink(f'{_FD_DIR}/{number}')})")
    return frozenset(found)


def _describe_child(pid: int) -> str:
    if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        return f"{pid} (ended, not reaped)"
    command = (_PROC / str(pid) / "cmdline").read_bytes()
    return f"{pid} ({command.replace(bytes(1), b' ').decode().strip()})"


def left_behind(before: Held, grace: float = GRACE) -> list[str]:
    """Say what is held now that was not held `before`, a line for each kind."""
    found = []
    for thread in frozenset(threading.enumerate()) - before.threads:
        if isinstance(thread, threading._DummyThread):  # stands for a foreign thread, dead or alive
            continue
        thread.join(grace)
        if thread.is_alive():
            found.append(f"thread: {thread!r}")
    if children := _children() - before.children:
        found.append(f"children: {', '.join(map(_describe_child, sorted(children)))}")
    # Counted before they are looked at; one more is open while they are listed.
    if _FD_DIR and len(os.listdir(_FD_DIR)) - 1 > len(before.descriptors):
        # Perhaps a cycle of objects holds them, to be closed when it is collected.
        gc.collect()
        after = _descriptors()
        if len(after) > len(before.descriptors):
            found.append(f"descriptors: {', '.join(sorted(after - before.descriptors))}")
    return found
