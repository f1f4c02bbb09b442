"""Many short connections leave a server as it was, seen from outside its process.

Real processes: descriptors and memory are the kernel's to count. Threads are not: for a moment it
lists some that have been joined.
"""

from __future__ import annotations

import signal
from pathlib import Path

import attrs
import pytest

from tests.processes import children_of
from tests.sync_backend import programs
from tests.sync_backend.support import Program, descriptors, visit

# Memory, in KiB, by which a process may grow beside what it holds for its requests: an allocator
# takes memory in pieces. A leak of one small object for each of many requests is far more.
SLACK = 2048


SLOW = (pytest.mark.slow, pytest.mark.timeout(300))


@attrs.frozen
class Use:
    """What a process uses."""

    descriptors: int
    children: int
    memory: int

    @classmethod
    def of(cls, pid: int) -> Use:
        """Look at a process."""
        status = Path(f"/proc/{pid}/status").read_text()
        [memory] = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")]
        return cls(descriptors(pid), len(children_of(pid)), int(memory))


def use_after(program: Program, address: tuple[str, int], connections: int) -> Use:
    """Look at a server after so many connections."""
    program.tell("serve")
    for _ in range(connections):
        assert visit(address) == b""
    program.process.send_signal(signal.SIGTERM)
    assert program.hear() == "quiet"  # the names of threads that did not end would follow
    return Use.of(program.pid)


@pytest.mark.parametrize(
    ("way", "reuse", "warm_up", "connections"),
    [
        ("threads", "", 200, 500),
        ("threads", "reuse", 200, 500),
        ("forks", "", 20, 50),
        ("pool", "", 200, 500),
        ("prefork", "", 200, 500),
        pytest.param("threads", "", 2000, 20_000, marks=SLOW),
        pytest.param("threads", "reuse", 2000, 20_000, marks=SLOW),
        pytest.param("forks", "", 100, 1000, marks=SLOW),
        pytest.param("pool", "", 2000, 20_000, marks=SLOW),
        pytest.param("prefork", "", 2000, 20_000, marks=SLOW),
    ],
)
def test_connections_leave_nothing_behind(
    way: str, reuse: str, warm_up: int, connections: int
) -> None:
    with Program(programs.quiet_now_and_then, way, reuse) as program:
        address = program.hear_address()
        before = use_after(program, address, warm_up)
        after = use_after(program, address, connections)
        program.tell("")
        assert program.end() == []
    assert (after.descriptors, after.children) == (before.descriptors, before.children)
    assert after.memory - before.memory < SLACK
