"""Runs a recording through the core again, and says where that decides otherwise.

Told is what came from outside: requests and errors of accepting, what became of each hook, what an
override closed, the events of the server's life, limits, the time. Decided again is the rest: which
hook is next, what an outcome is, whether there was room, whom to shed, when to pause, whom to cut,
how a drain goes, in which state the server is.

Threads write a recording in an order that may differ a little from the one in which things
happened: a request is closed, and only then told of. Whoever was about to be closed may therefore
count as closed, and whoever has just been closed as open, where the loop of another thread decides.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import Final

import attrs

from sansio_server.ledger import Counters
from sansio_server.lifecycle import Event
from sansio_server.testing.recording.format import Record
from sansio_server.trace import TraceKind

from .course import Course

__all__ = ["Divergence", "Rerun", "rerun"]

#: More differences than this are counted, but not kept.
_KEPT: Final = 100


@attrs.frozen
class Divergence:
    """Where the core decides otherwise than a recording says.

    :ivar position: which record it is; counted from 1.
    :ivar record: that record.
    :ivar decided: what the core does there, or finds wrong.
    """

    position: int
    record: Record
    decided: str

    def __str__(self) -> str:
        event = self.record.event
        whose = f"request {event.request}" if event.request else "server"
        told = " ".join(str(each) for each in (event.kind.value, event.what) if each)
        return f"record {self.position} ({event.time:.6f} s, {whose}, {told}): {self.decided}"


@attrs.frozen
class Rerun:
    """What came of running a recording again.

    :ivar records: how many records there were.
    :ivar requests: how many requests were in them.
    :ivar seconds: from the first to the last.
    :ivar decisions: how many decisions were made again, and were the same.
    :ivar divergences: where they were not; the first of them.
    :ivar differing: how many of those there are.
    :ivar counters: what the core has counted, by server.
    """

    records: int
    requests: int
    seconds: float
    decisions: int
    divergences: tuple[Divergence, ...]
    differing: int
    counters: dict[str, Counters]

    @property
    def same(self) -> bool:
        """Whether the core decides all as recorded."""
        return not self.differing

    def __str__(self) -> str:
        records = f"{self.records} records of {self.requests} requests in {self.seconds:.3f} s"
        lines = [f"{records}: {self.decisions} decisions made again, {self.differing} differ"]
        lines += map(str, self.divergences)
        if self.differing > len(self.divergences):
            lines.append(f"and {self.differing - len(self.divergences)} more")
        return "\n".join(lines)


def rerun(records: Iterable[Record]) -> Rerun:
    """Run *records* through the core.

    :raises ValueError: they do not begin with how the server stood.
    """
    records = list(records)
    ahead = Ahead(records)
    courses: dict[tuple[str, int], Course] = {}
    found: list[Divergence] = []
    requests: set[tuple[str, int]] = set()
    decisions = differing = 0
    for position, record in enumerate(records):
        event, key = record.event, (record.server, record.process)
        course = courses.get(key)
        if course is None:
            course = courses[key] = _course(record, courses)
        if event.request:
            requests.add((record.server, event.request))
        if ahead.passes(position):
            continue
        for decided in course.take(record, ahead):
            if decided is None:
                decisions += 1
                continue
            differing += 1
            if len(found) < _KEPT:
                found.append(Divergence(position + 1, record, decided))
    for course in courses.values():
        course.end()
    times = [record.event.time for record in records]
    return Rerun(
        len(records),
        len(requests),
        max(times, default=0.0) - min(times, default=0.0),
        decisions,
        tuple(found),
        differing,
        {server: each.server.counters for (server, pid), each in courses.items() if not pid},
    )


def _course(record: Record, courses: dict[tuple[str, int], Course]) -> Course:
    if record.process:
        parent = courses.get((record.server, 0))
        if parent is not None:
            return parent.fork(record.event.request)
    elif record.event.kind is TraceKind.BEGIN:
        return Course(record.event.detail)
    name = f"of the server {record.server!r} " if record.server else ""
    raise ValueError(
        f"the recording {name}does not begin with how the server stood, but with {record.event!r}"
    )


class Ahead:
    """What a recording tells further on: which requests are about to be closed."""

    def __init__(self, records: list[Record]) -> None:
        self._records = records
        self._passed: set[int] = set()
        self._coming: dict[tuple[str, int, int], deque[int]] = {}
        for position, record in enumerate(records):
            self._coming.setdefault(_whose(record), deque()).append(position)

    def passes(self, position: int) -> bool:
        """Go on to the record at *position*; say whether it was taken before."""
        self._coming[_whose(self._records[position])].popleft()
        return position in self._passed

    def closes(self, record: Record, number: int) -> float:
        """Return when a request is closed if it was about to be; ``math.inf`` if it was not.

        :param record: another thread's, that is being looked at.
        """
        coming = self._coming.get((record.server, record.process, number))
        if not coming or coming[0] in self._passed:
            return math.inf
        following = self._records[coming[0]]
        same_thread = record.thread and following.thread == record.thread
        is_close = following.event.kind is TraceKind.CLOSE
        return following.event.time if is_close and not same_thread else math.inf

    def has_state(self, record: Record, event: Event) -> bool:
        """Say whether *event* was about to be told of by another thread."""
        coming = self._coming.get((record.server, record.process, 0), ())
        for position in islice(coming, 8):
            following = self._records[position]
            if following.event.kind is TraceKind.STATE:
                same_thread = record.thread and following.thread == record.thread
                return following.event.what == event.name and not same_thread
        return False

    def take_close(self, record: Record, number: int) -> Record:
        """Return the close of a request that was about to be; it will be passed over."""
        position = self._coming[record.server, record.process, number][0]
        self._passed.add(position)
        return self._records[position]


def _whose(record: Record) -> tuple[str, int, int]:
    return record.server, record.process, record.event.request
