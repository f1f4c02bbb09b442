"""Turns taken between two lines of a program, so that races show that have no waiting in them.

Which lines it is follows from the seed, the actor, the line, and how often the actor has come to
it, and from nothing else: what others do, or the interpreter does in between, has no influence.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any, Final

from sansio_server.testing.timeline.places import is_of_program

from .scheduler import Scheduler

__all__ = ["preempted"]

#: How many lines of a program there are, on average, from one turn to the next.
_LINES: Final = 2


@contextmanager
def preempted(scheduler: Scheduler) -> Iterator[None]:
    """Let others move between lines of the program that the calling actor runs inside.

    Whatever traces the thread (a debugger, a measurement of coverage) does not do so meanwhile.
    """
    if scheduler.seed is None:
        yield
        return
    tracer = _Tracer(scheduler)
    before = sys.gettrace()
    sys.settrace(tracer.enter)
    try:
        yield
    finally:
        sys.settrace(before)


class _Tracer:
    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._key = f"{scheduler.seed} {scheduler.me().name}"
        self._is_program: dict[str, bool] = {}
        self._visits: dict[tuple[CodeType, int], int] = {}

    def enter(self, frame: FrameType, event: str, arg: Any) -> Any:
        name = frame.f_code.co_filename
        known = self._is_program.get(name)
        if known is None:
            known = self._is_program[name] = is_of_program(name)
        return self.line if known else None

    def line(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event == "line":
            code = frame.f_code
            place = (code, frame.f_lineno - code.co_firstlineno)
            visit = self._visits[place] = self._visits.get(place, 0) + 1
            key = f"{self._key} {code.co_name} {place[1]} {visit}"
            if zlib.crc32(key.encode()) % _LINES == 0:
                self._scheduler.pause("its turn, between two lines")
        return self.line
