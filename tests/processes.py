"""What the system says of processes that are not this one's children."""

from __future__ import annotations

from pathlib import Path


def children_of(pid: int) -> set[int]:
    """Return the pids of the children that the first thread of a process has.

    The list skips some where another is reaped while it is read (proc_pid_task_children(5)); what
    two readings in a row agree on is whole.
    """
    path = Path(f"/proc/{pid}/task/{pid}/children")
    before, now = None, path.read_text()
    while now != before:
        before, now = now, path.read_text()
    return set(map(int, now.split()))
