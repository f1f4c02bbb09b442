"""Projections side by side, as lines of text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from .what_if import Projection

__all__ = ["as_table"]


def _seconds(value: float) -> str:
    return f"{value:.3f} s" if value < math.inf else "not known"


def _at(count: int, time: float) -> str:
    return f"{count} at {time:.3f} s" if count else "0"


def _between(times: Sequence[float]) -> str:
    if not times:
        return "0"
    if len(times) == 1:
        return f"1 at {times[0]:.3f} s"
    return f"{len(times)} from {min(times):.3f} to {max(times):.3f} s"


def _cut(why: str) -> Callable[[Projection], str]:
    return lambda each: _between([cut.time for cut in each.cut if cut.why == why])


def _drains(each: Projection) -> str:
    if not each.drains:
        return "none"
    return ", ".join(_seconds(drain.seconds) for drain in each.drains)


_ROWS: Final[tuple[tuple[str, Callable[[Projection], str]], ...]] = (
    ("came", lambda each: str(each.came)),
    ("served", lambda each: str(each.served)),
    ("shed", lambda each: _between([time for _, time in each.shed])),
    ("had to wait", lambda each: str(len(each.waited))),
    ("  half of them longer than", lambda each: _seconds(each.usual_wait)),
    ("  the longest", lambda each: _seconds(each.longest_wait)),
    ("waiting at once, at most", lambda each: _at(*each.queue)),
    ("still waiting at the end", lambda each: str(each.still_waiting)),
    ("open at once, at most", lambda each: _at(*each.peak)),
    ("cut by request_timeout", _cut("request_timeout")),
    ("cut by a drain", _cut("drain")),
    ("a drain takes", _drains),
    ("accepting failed", lambda each: str(each.pauses)),
)


def as_table(projections: Sequence[Projection]) -> Iterator[str]:
    """Return the lines of a table with a column for each of *projections*.

    Times are since the recording began.
    """
    cells = [("", *(each.name for each in projections))]
    cells += [(name, *(show(each) for each in projections)) for name, show in _ROWS]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        head, *rest = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join([head, *rest]).rstrip()
