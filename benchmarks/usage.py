"""What a server's processes have used: CPU time and memory, read from outside (Linux only)."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Iterable

import attrs

__all__ = ["Memory", "core_seconds", "cpu_seconds", "memory", "settled_cpu_seconds", "threads"]

_TICK = 1 / os.sysconf("SC_CLK_TCK")
_libc = ctypes.CDLL(None, use_errno=True)

# Fields of /proc/PID/stat after the name in brackets, counted from 0; see proc(5).
_PARENT, _REAPED_USER, _REAPED_SYSTEM, _THREADS = 1, 13, 14, 17


def _stat(pid: int) -> list[str]:
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        return file.read().rpartition(")")[2].split()


def _family(pid: int) -> list[int]:
    """Return *pid* and its living descendants, zombies included."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdecimal():
            try:
                children.setdefault(int(_stat(int(entry))[_PARENT]), []).append(int(entry))
            except OSError:
                continue  # gone meanwhile
    family = [pid]
    for member in family:
        family += children.get(member, [])
    return family


def _own_seconds(pid: int) -> float:
    """Return the CPU time of a process and its threads, ended ones included, to the nanosecond."""
    clock = ctypes.c_int()
    if error := _libc.clock_getcpuclockid(pid, ctypes.byref(clock)):
        raise ProcessLookupError(error, os.strerror(error))
    return time.clock_gettime(clock.value)


def cpu_seconds(pid: int) -> float:
    """Return the CPU time, user and system, of a process, its reaped and its living children."""
    total = 0.0
    for member in _family(pid):
        try:
            fields = _stat(member)
            total += _own_seconds(member)
        except OSError:
            continue
        total += (int(fields[_REAPED_USER]) + int(fields[_REAPED_SYSTEM])) * _TICK
    return total


def settled_cpu_seconds(pid: int, patience: float = 0.5) -> float:
    """Return the CPU time once the processes rest, or after *patience* seconds."""
    deadline = time.monotonic() + patience
    last = cpu_seconds(pid)
    while time.monotonic() < deadline:
        time.sleep(0.01)
        now = cpu_seconds(pid)
        if now - last < 50e-6:
            return now
        last = now
    return last


def core_seconds(cores: Iterable[int]) -> float:
    """Return for how long the cores were busy, or kept from the machine by its host."""
    names = {f"cpu{core}" for core in cores}
    busy = 0
    with open("/proc/stat", encoding="ascii") as file:
        for line in file:
            name, *ticks = line.split()
            if name in names:
                user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, ticks[:8])
                busy += user + nice + system + irq + softirq + steal
    return busy * _TICK


@attrs.frozen
class Memory:
    """Memory of processes in KiB: resident, and resident with shared pages divided by sharers."""

    rss: int
    pss: int


def memory(pid: int) -> Memory:
    """Return the memory of a process and its living children."""
    total = {"Rss": 0, "Pss": 0}
    for member in _family(pid):
        try:
            with open(f"/proc/{member}/smaps_rollup", encoding="ascii") as file:
                for line in file:
                    name, _, rest = line.partition(":")
                    if name in total:
                        total[name] += int(rest.split()[0])
        except OSError:
            continue
    return Memory(total["Rss"], total["Pss"])


def threads(pid: int) -> int:
    """Return how many threads a process and its living children have, the main ones included."""
    total = 0
    for member in _family(pid):
        try:
            total += int(_stat(member)[_THREADS])
        except OSError:
            continue
    return total
