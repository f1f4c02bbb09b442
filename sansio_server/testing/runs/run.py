"""What became of a script that was played."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from sansio_server.drain import DrainReport
from sansio_server.ledger import Counters
from sansio_server.testing.scripts.faults import Fault
from sansio_server.testing.scripts.script import Script
from sansio_server.testing.timeline.moments import Moment, render
from sansio_server.trace import TraceEvent

__all__ = ["Finding", "Run", "Seen", "first_difference"]


@attrs.frozen
class Finding:
    """Something that does not hold.

    :ivar invariant: the name of what should.
    :ivar message: what is the case instead.
    """

    invariant: str
    message: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.message}"


@attrs.frozen
class Seen:
    """What one client saw.

    :ivar replies: what each action that receives brought, in order.
    :ivar error: the type of what ended it early; empty if it got through.
    :ivar unexpected: what an :class:`~.actions.Expect` got instead; empty if all came as expected.
    """

    replies: tuple[bytes, ...] = ()
    error: str = ""
    unexpected: str = ""

    @property
    def received(self) -> bytes:
        """All bytes that it received."""
        return b"".join(self.replies)


@attrs.frozen(kw_only=True)
class Run:
    """One run of a script.

    :ivar script: the script; its faults are those that happened, wherever they came from.
    :ivar clients: what each client saw.
    :ivar trace: what the server's core told.
    :ivar timeline: all that happened, in order.
    :ivar counters: the server's, at the end.
    :ivar served: whose request each was: numbers of requests, and of clients, counted from 1.
    :ivar hit: the clients, counted from 1, from whom a fault took something.
    :ivar stuck: why it did not come to an end: the stacks of who waits for what; empty if it did.
    :ivar computes: whether somebody computed for too long in real time, and still does: no thread
        can be ended from outside.
    :ivar loop_error: what ``serve_forever()`` raised; empty if it returned.
    :ivar close_error: what ``server_close()`` raised; empty if it returned.
    :ivar unhandled: what threads raised that no hook was told of.
    :ivar left: what was left over at the end.
    :ivar still_open: how many requests the server thought open at the end.
    :ivar drain: how the last drain went; None if there was none.
    :ivar closing: seconds that ``server_close()`` took.
    :ivar closing_limit: seconds that it may take by the server's limits; None for no limit.
    :ivar seconds: how long it took on the world's clock.
    :ivar findings: what does not hold, if anybody has looked.
    """

    script: Script
    clients: tuple[Seen, ...] = ()
    trace: tuple[TraceEvent, ...] = ()
    timeline: tuple[Moment, ...] = ()
    counters: Counters = attrs.field(factory=Counters)
    served: Mapping[int, int] = attrs.field(factory=dict)
    hit: frozenset[int] = frozenset()
    stuck: str = ""
    computes: bool = False
    loop_error: str = ""
    close_error: str = ""
    unhandled: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    still_open: int = 0
    drain: DrainReport | None = None
    closing: float = 0.0
    closing_limit: float | None = None
    seconds: float = 0.0
    findings: tuple[Finding, ...] = ()

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults that happened."""
        return self.script.faults

    def report(self, last: int | None = None) -> str:
        """Return what was found, and the timeline.

        :param last: how many moments to show at most, 1 or more; None for all.
        """
        lines = [str(finding) for finding in self.findings] or ["nothing was found"]
        moments = self.timeline if last is None else self.timeline[-last:]
        left_out = len(self.timeline) - len(moments)
        before = [f"({left_out} moments before)"] if left_out else []
        return "\n".join([*lines, "", *before, render(moments)])

    def signature(self) -> tuple[Any, ...]:
        """Return all by which two runs of the same script must be equal."""
        return (
            self.timeline,
            tuple(
                (event.time, event.kind, event.request, event.what, _stable(event.detail))
                for event in self.trace
            ),
            self.clients,
            self.script,
        )


def _stable(detail: Any) -> Any:
    if isinstance(detail, BaseException):
        return f"{type(detail).__name__}: {detail}"
    return detail if isinstance(detail, (str, int, float, tuple, type(None))) else str(detail)


def first_difference(one: Iterable[object], other: Iterable[object]) -> int | None:
    """Return the index at which two sequences differ first; None if they are equal."""
    mine, theirs = tuple(one), tuple(other)
    for index, (left, right) in enumerate(zip(mine, theirs, strict=False)):
        if left != right:
            return index
    return None if len(mine) == len(theirs) else min(len(mine), len(theirs))
