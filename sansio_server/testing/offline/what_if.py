"""What other limits would have done with the clients of a recording.

The same core serves them again, in virtual time: its loop, its limits, its drain. Each request
lasts as long as it did. What a recording cannot know is said in the notes of the result.
"""

from __future__ import annotations

import heapq
import math
import statistics
from collections import deque
from collections.abc import Iterable
from itertools import count
from typing import Any, ClassVar, Final

import attrs

from sansio_server.draining import Draining
from sansio_server.driver import run_blocking, start_request
from sansio_server.ledger import Place
from sansio_server.lifecycle import RUNNING, Event
from sansio_server.limits import Admission, Limits
from sansio_server.loop import serve_loop
from sansio_server.request import Step
from sansio_server.testing.recording.format import Record, RecordedError
from sansio_server.trace import LimitsInForce

from .server import NOWHERE
from .visits import History, Visit, history

__all__ = ["CHANGES", "Cut", "DrainOutcome", "Projection", "project", "what_if"]

#: The limits that may be changed.
CHANGES: Final = tuple(field.name for field in attrs.fields(Limits))


@attrs.frozen
class Cut:
    """A request that is cut.

    :ivar number: as recorded.
    :ivar time: when, in seconds since the recording began.
    :ivar why: "request_timeout" or "drain".
    """

    number: int
    time: float
    why: str


@attrs.frozen
class DrainOutcome:
    """How a drain goes.

    :ivar time: when it begins, in seconds since the recording began.
    :ivar seconds: how long it takes; ``math.inf`` if the recording does not tell.
    :ivar finished: how many requests end by themselves.
    :ivar cut: how many are cut.
    """

    time: float
    seconds: float
    finished: int
    cut: int


@attrs.frozen
class Projection:
    """How the clients of a recording fare under certain limits; times count from its beginning.

    :ivar changes: the limits that are not those of the recording.
    :ivar came: how many came.
    :ivar served: how many were let in, and not shed.
    :ivar shed: the numbers of those shed, and when.
    :ivar waited: the numbers of those who had to wait in the queue, and for how many seconds.
    :ivar cut: those cut.
    :ivar peak: the most requests open at once, and when that was first so.
    :ivar queue: the most clients waiting at once, and when that was first so.
    :ivar still_waiting: how many wait when the server stops, or the recording ends.
    :ivar pauses: how often accepting failed for lack of capacity.
    :ivar drains: how the drains go.
    """

    changes: dict[str, Any]
    came: int
    served: int
    shed: tuple[tuple[int, float], ...]
    waited: tuple[tuple[int, float], ...]
    cut: tuple[Cut, ...]
    peak: tuple[int, float]
    queue: tuple[int, float]
    still_waiting: int
    pauses: int
    drains: tuple[DrainOutcome, ...]

    @property
    def name(self) -> str:
        """The changes, as they are written on the command line."""
        return ",".join(f"{key}={value}" for key, value in self.changes.items()) or "as recorded"

    @property
    def longest_wait(self) -> float:
        """The most seconds that anybody waits; 0 if nobody does."""
        return max((seconds for _, seconds in self.waited), default=0.0)

    @property
    def usual_wait(self) -> float:
        """The median of the seconds that those who have to wait do; 0 if nobody does."""
        return statistics.median(seconds for _, seconds in self.waited) if self.waited else 0.0


def what_if(
    records: Iterable[Record], *changes: dict[str, Any], server: str = ""
) -> tuple[list[Projection], list[str]]:
    """Say what other limits would have done.

    :param records: a recording.
    :param changes: for each answer wanted, limits by name: those of
        :class:`~sansio_server.limits.Limits`. The others stay as recorded.
    :param server: the name of the server, where there are several.
    :returns: what the recorded limits do, then what each of the *changes* does; and what is to be
        known about it.
    :raises ValueError: a limit makes no sense, or *records* do not begin with how the server stood.
    :raises TypeError: a limit is of the wrong type, or there is none of this name.
    """
    past = history(records, server)
    projections = [project(past, **each) for each in ({}, *changes)]
    return projections, _notes(past, projections)


def _notes(past: History, projections: list[Projection]) -> list[str]:
    fates = [visit.fate for visit in past.visits]
    notes = ["each request lasts as long as it did, and came when it was accepted"]
    if past.was_full:
        notes.append(
            f"the server was full {past.was_full} times: who came then had waited already, which a "
            "recording cannot see; higher limits would have done more than is shown"
        )
    if shed := fates.count("shed"):
        notes.append(
            f"{shed} were shed: had they been served, each would have lasted {past.usual:.3f} s, "
            "as the median of those who were"
        )
    if unknown := fates.count("cut") + fates.count("open"):
        notes.append(
            f"{unknown} were cut, or open at the end: how long they would have lasted is not "
            "known; they are taken to last for ever"
        )
    recorded = projections[0]
    for what, seen, projected in (
        ("shed", shed, len(recorded.shed)),
        ("cut", fates.count("cut"), len(recorded.cut)),
    ):
        if seen != projected:
            notes.append(f"{seen} were {what} in fact; this model has {projected}")
    return notes


def project(past: History, **changes: Any) -> Projection:
    """Serve those who came once more, with *changes* to the limits; see :func:`what_if`."""
    unknown = sorted(set(changes) - set(CHANGES))
    if unknown:
        raise TypeError(f"there is no limit {unknown[0]!r}; there are {', '.join(CHANGES)}")
    return _Projector(past, changes).run()


class _Projector(Draining):
    """A server for those who came, in virtual time."""

    _bounded: ClassVar[bool] = True

    def __init__(self, past: History, changes: dict[str, Any]) -> None:
        super().__init__(NOWHERE, None)
        self._past = past
        self._changes = changes
        self._time = past.begins
        self._order = count()
        self._coming: list[tuple[float, float, int, str, Any]] = []
        self._queue: deque[Visit] = deque()
        self._visits = {visit.number: visit for visit in past.visits}
        self._failures: deque[RecordedError] = deque()
        self._numbers: dict[Place, int] = {}
        self._ended = False
        self._unknown = 0
        self._serving = False
        self._draining_from = -math.inf
        self.shed: list[tuple[int, float]] = []
        self.waited: list[tuple[int, float]] = []
        self.cuts: list[Cut] = []
        self.peak = self.longest_queue = (0, 0.0)
        self.drains: list[DrainOutcome] = []
        self._most: int | None = None
        self._take_on(past.standing.limits)

    def run(self) -> Projection:
        """Serve; return what became of all."""
        past = self._past
        # How it stood, but for those who are open: they are let in like all others.
        self._lifecycle.accepting = past.standing.accepting
        self._backoff = past.standing.backoff
        for visit in past.visits:
            self._schedule(max(visit.came, past.begins), "come", visit, visit.position)
        for each in past.happenings:
            self._schedule(each.time, each.what, each.more, each.position)
        self._schedule(past.ends, "end", None, math.inf)
        self._serving = past.standing.loop in RUNNING
        while not self._ended:
            if self._serving:
                self._serve()
            else:
                self._advance(math.inf)
        return self._projection()

    def _projection(self) -> Projection:
        return Projection(
            self._changes,
            len(self._visits),
            self.counters.accepted - len(self.shed),
            tuple(self.shed),
            tuple(self.waited),
            tuple(self.cuts),
            self.peak,
            self.longest_queue,
            len(self._queue),
            self.counters.capacity_errors,
            tuple(self.drains),
        )

    def _take_on(self, limits: LimitsInForce) -> None:
        attributes = attrs.evolve(limits.limits, **self._changes)
        for name in CHANGES:
            setattr(self, name, getattr(attributes, name))
        changed = "max_connections" in self._changes
        self._most = attributes.max_connections if changed else limits.capacity

    # Time.

    def _schedule(self, time: float, what: str, more: Any, position: float = -1) -> None:
        """Let something happen; of all at one time, in the order of the recording."""
        heapq.heappush(self._coming, (time, position, next(self._order), what, more))

    def _advance(self, until: float) -> None:
        """Let time pass until something happens, but not past *until*."""
        if not self._coming or self._coming[0][0] > until:
            self._time = max(self._time, until)
            return
        time, _, _, what, more = heapq.heappop(self._coming)
        self._time = max(self._time, time)
        getattr(self, f"_on_{what}")(more)

    def _since(self, time: float) -> float:
        return time - self._past.begins

    def _on_come(self, visit: Visit) -> None:
        self._queue.append(visit)
        self._note_queue()

    def _on_over(self, place: Place) -> None:
        place.worker = None
        self._release(place)

    def _on_error(self, error: RecordedError) -> None:
        self._failures.append(error)

    def _on_limits(self, limits: LimitsInForce) -> None:
        self._take_on(limits)

    def _on_suspend(self, _: Any) -> None:
        self.suspend()

    def _on_resume(self, _: Any) -> None:
        self.resume()

    def _on_serve(self, _: Any) -> None:
        self._serving = True

    def _on_stop(self, _: Any) -> None:
        if self._lifecycle.running:
            self._happened(Event.SHUTDOWN)
            if "drain_timeout" in self._changes and not self._drain_follows():
                self._schedule(self._time, "drain", self.drain_timeout)
        self._serving = False

    def _drain_follows(self) -> bool:
        return any(what == "drain" for *_, what, _ in self._coming)

    def _on_end(self, _: Any) -> None:
        self._ended = True
        self._on_stop(None)

    def _on_drain(self, timeout: float | None) -> None:
        if self._lifecycle.running or self._draining_from > -math.inf:
            return  # of one who serves on, or beside another: nobody is kept out
        begun, self._unknown = self._time, 0
        self._draining_from = begun
        places = tuple(place for place in self._ledger if place.worker is not None)
        wanted = self.drain_timeout if "drain_timeout" in self._changes else timeout
        report = run_blocking(self._end_requests(places, wanted, quietly=True))
        outcome = DrainOutcome(
            self._since(begun),
            math.inf if self._unknown else report.seconds,
            len(report.finished) - self._unknown,
            len(report.cut),
        )
        self.drains.append(outcome)
        self._draining_from = -math.inf

    def _wait_for_end(self, places: Iterable[Place], until: float) -> None:
        if until == math.inf and not self._coming:
            for place in filter(self._goes_on, places):
                self._unknown += 1  # the recording does not tell when it ends
                self._on_over(place)
            return
        self._advance(until)

    def _abandon(self, place: Place) -> None:
        """Who was cut ends at once here."""

    # The loop.

    def _serve(self) -> None:
        self._happened(Event.SERVE)
        run_blocking(serve_loop(self, _Turns(self), None))
        self._happened(Event.LEAVE)

    def _let_in(self) -> None:
        if self._failures:
            error = self._failures.popleft()
            self._accept_failed(OSError(error.errno, error.text))
            return
        visit = self._queue.popleft()
        waited = self._time - visit.came
        if waited > 0 and visit.came >= self._past.begins:
            self.waited.append((visit.number, waited))
        entry = self._came_in()
        if entry is Step.SHED:
            self.shed.append((visit.number, self._since(self._time)))
        run_blocking(start_request(self, visit, visit.number, entry))
        if len(self._ledger) > self.peak[0]:
            self.peak = len(self._ledger), self._since(self._time)

    def _note_queue(self) -> None:
        waiting = len(self._queue)
        listens = self._lifecycle.running and self._admission() is not Admission.WAIT
        if waiting > self.longest_queue[0] and not listens:
            self.longest_queue = waiting, self._since(self._time)

    # What the core asks for.

    def _now(self) -> float:
        return self._time

    def _name(self) -> str:
        return NOWHERE

    def _capacity(self) -> int | None:
        return self._most

    def _request_key(self, request: Any) -> Any:
        return request.number

    def process_request(self, request: Any, client_address: Any) -> None:
        """Let the request go on as long as it lasts."""
        visit: Visit = request
        place = self._ledger.find_exactly(visit.number)
        if place is None:
            raise AssertionError("a request that was let in has a place")
        place.worker = visit
        self._numbers[place] = visit.number
        lasts = self._past.usual if visit.fate == "shed" else visit.lasts
        if lasts < math.inf:
            self._schedule(self._time + lasts, "over", place)

    def _cut(self, place: Place, why: str) -> None:
        self.cuts.append(Cut(self._numbers[place], self._since(self._time), why))
        super()._cut(place, why)

    def _end_early(self, place: Place) -> None:
        self._schedule(self._time, "over", place)


class _Turns:
    """The turns of the loop."""

    tries_first = False

    def __init__(self, server: _Projector) -> None:
        self._server = server

    def sleep(self, until: float) -> bool:
        server = self._server
        plan = server._plan(until)
        if not (plan.listen and (server._queue or server._failures)):
            server._advance(plan.until)
        return plan.listen and bool(server._queue or server._failures)

    def let_in(self) -> bool:
        self._server._let_in()
        return False

    def end(self, event: Event) -> bool:
        raise AssertionError(f"a loop that serves for ever does not end by {event.name}")
