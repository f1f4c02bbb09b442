"""What every measured process does first: take its cores, and see to its own end."""

from __future__ import annotations

import os
import signal

__all__ = ["confine", "limit_lifetime"]

#: In seconds. Whoever started the process ends it long before; this is for when they could not.
LIFETIME = 120


def limit_lifetime() -> None:
    """End this process after a while. An alarm is not inherited: children do this themselves."""
    signal.alarm(LIFETIME)


def confine(cores: str) -> None:
    """Run on *cores*, such as ``0,1``, and not for ever."""
    limit_lifetime()
    os.sched_setaffinity(0, [int(core) for core in cores.split(",")])
