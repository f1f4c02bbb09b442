"""What came to a server while it was recorded, and how long it stayed: all that limits act on."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from typing import Any, Final, Literal

import attrs

from sansio_server.testing.recording.format import CONTINUES, Record, RecordedError
from sansio_server.trace import Standing, TraceEvent, TraceKind

__all__ = ["Happening", "History", "Visit", "history"]


@attrs.frozen
class Visit:
    """A request that came.

    :ivar number: as recorded.
    :ivar came: when it was accepted, in seconds on the server's clock.
    :ivar lasts: seconds until it was closed; ``math.inf`` if that is not known.
    :ivar fate: "served"; "cut"; "shed"; or "open" at the end of the recording.
    :ivar position: where in the recording it came.
    """

    number: int
    came: float
    lasts: float
    fate: Literal["served", "cut", "shed", "open"] = "served"
    position: int = attrs.field(default=0, eq=False)


@attrs.frozen
class Happening:
    """What else happened to a server.

    :ivar time: when, in seconds on the server's clock.
    :ivar position: where in the recording.
    :ivar what: "serve", "stop", "suspend", "resume", "limits", "error" of accepting, "drain".
    :ivar more: :class:`~sansio_server.trace.LimitsInForce`, a :class:`.RecordedError`, a drain's
        timeout.
    """

    time: float
    position: int
    what: str
    more: Any = None


_STOPS: Final = frozenset({"SHUTDOWN", "CLOSE"})
_STARTS: Final = frozenset({"SERVE", "WAIT"})


@attrs.frozen
class History:
    """What came to one server.

    :ivar begins: when the recording begins, in seconds on the server's clock.
    :ivar ends: when it ends.
    :ivar standing: how the server stood when it began.
    :ivar visits: the requests, in the order in which they came.
    :ivar happenings: what else happened.
    :ivar was_full: how often a loop went to sleep without room.
    """

    begins: float
    ends: float
    standing: Standing
    visits: tuple[Visit, ...]
    happenings: tuple[Happening, ...]
    was_full: int

    @property
    def usual(self) -> float:
        """The median of how long requests took that were served to their end."""
        lasted = [visit.lasts for visit in self.visits if visit.fate == "served"]
        return statistics.median(lasted) if lasted else 0.0


class _Reader:
    """Learns from a trace what came."""

    def __init__(self, standing: Standing) -> None:
        self.open: dict[int, Visit] = {
            each.number: Visit(each.number, each.since, math.inf, "cut" if each.cut else "open")
            for each in standing.requests
        }
        self.visits: dict[int, Visit] = dict(self.open)
        self.happenings: list[Happening] = []
        self.was_full = 0
        self._sheds: set[int] = set()

    def read(self, position: int, record: Record) -> None:
        event = record.event
        if event.kind is TraceKind.ACCEPT:
            fate: Any = "shed" if record.thread in self._sheds else "open"
            self._sheds.discard(record.thread)
            self.open[event.request] = Visit(event.request, event.time, math.inf, fate, position)
            self.visits[event.request] = self.open[event.request]
        elif event.kind is TraceKind.CUT and event.request in self.open:
            self._change(event.request, fate="cut")
        elif event.kind is TraceKind.CLOSE and event.request in self.open:
            self._close(event)
        elif event.kind is TraceKind.WAIT and event.what == "full":
            self.was_full += 1
        elif event.kind is TraceKind.OVERLOAD and event.what == "shed":
            self._sheds.add(record.thread)
        else:
            self._note(position, event)

    def _change(self, number: int, **changes: Any) -> Visit:
        visit = self.visits[number] = self.open[number] = attrs.evolve(self.open[number], **changes)
        return visit

    def _close(self, event: TraceEvent) -> None:
        visit = self.open[event.request]
        if visit.fate == "open":
            self._change(event.request, lasts=event.time - visit.came, fate="served")
        del self.open[event.request]

    def _note(self, position: int, event: TraceEvent) -> None:
        what, more = "", event.detail
        if event.kind is TraceKind.STATE:
            if event.what in _STARTS:
                what = "serve"
            elif event.what in _STOPS:
                what = "stop"
            elif event.what in ("SUSPEND", "RESUME"):
                what = event.what.lower()
        elif event.kind is TraceKind.LIMITS:
            what = "limits"
        elif event.kind is TraceKind.OVERLOAD and isinstance(more, RecordedError):
            what = "error"
        elif event.kind is TraceKind.DRAIN and event.what == "begin":
            what, more = "drain", event.detail.timeout
        if what:
            self.happenings.append(Happening(event.time, position, what, more))


def history(records: Iterable[Record], server: str = "") -> History:
    """Return what came to *server* while *records* were made.

    :raises ValueError: there are none of this server, or they do not begin with how it stood.
    """
    own = [each for each in records if each.server == server and not each.process]
    if not own or own[0].event.kind is not TraceKind.BEGIN:
        name = f"of the server {server!r} " if server else ""
        raise ValueError(f"the recording {name}does not begin with how the server stood")
    standing: Standing = own[0].event.detail
    reader = _Reader(_before(standing, own))
    for position, record in enumerate(own[1:], 1):
        reader.read(position, record)
    visits = sorted(reader.visits.values(), key=lambda visit: (visit.came, visit.number))
    times = [record.event.time for record in own]
    return History(
        min(times),
        max(times),
        standing,
        tuple(visits),
        tuple(reader.happenings),
        reader.was_full,
    )


def _before(standing: Standing, own: list[Record]) -> Standing:
    """Return how the server stood before the first event, which a standing mostly includes."""
    if own[0].event.what == CONTINUES or len(own) < 2:
        return standing
    first = own[1].event
    requests = tuple(
        each
        for each in standing.requests
        if (first.kind, first.request) != (TraceKind.ACCEPT, each.number)
    )
    return attrs.evolve(standing, requests=requests)
