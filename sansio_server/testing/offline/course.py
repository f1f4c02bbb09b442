"""One process of a recording on its way through the core, record by record."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs

from sansio_server.drain import Drain
from sansio_server.driver import take_in
from sansio_server.exceptions import IllegalTransition
from sansio_server.ledger import Place
from sansio_server.lifecycle import STOPS, Event, State
from sansio_server.limits import Admission, admission
from sansio_server.request import ENTRIES, Outcome, Step
from sansio_server.testing.recording.format import CONTINUES, Record, RecordedError
from sansio_server.trace import DrainProgress, OpenRequest, Standing, TraceEvent, TraceKind

from .server import OfflineServer, Walk

if TYPE_CHECKING:
    from .rerun import Ahead

__all__ = ["Course", "Found"]

#: What comes of a record: for each decision None if it is the same, or what the core does instead.
Found: TypeAlias = Iterator[str | None]

#: Seconds that a thread may take from what it does to telling of it, and a loop to its next turn.
_LATENESS: Final = 1.0


@attrs.define(eq=False)
class _Request:
    """A request on its way.

    :ivar place: its place in the core's ledger.
    :ivar is_known: whether the recording has it from its beginning.
    :ivar given: whether ``process_request`` has taken it over, and may close it by itself.
    :ivar lost: whether it has gone other ways than the core; it is not followed any more.
    """

    place: Place
    is_known: bool
    given: bool = False
    lost: bool = False
    walks: list[Walk] = attrs.Factory(list)

    def by(self, thread: int) -> list[Walk]:
        """The walks, that of a thread first."""
        return sorted(self.walks, key=lambda walk: walk.thread != thread)

    @property
    def is_over(self) -> bool:
        """Whether nothing more can come of it."""
        return not self.place.open and not any(walk.hook or walk.expected for walk in self.walks)


class Course:
    """What one process did, run through the core.

    :param standing: how its server stood at first.
    :ivar server: the core.
    """

    def __init__(self, standing: Standing) -> None:
        self._all_walks: list[Walk] = []
        self._stand(standing)

    def _stand(self, standing: Standing) -> None:
        self.server = OfflineServer(standing)
        self._requests = {
            place.number: _Request(place, is_known=False) for place in self.server._ledger
        }
        self._drains: dict[int, tuple[Drain, tuple[Place, ...]]] = {}
        self._includes_next = False
        self._has_adopted = False
        #: How many more may be let in though no loop goes on: those who were seen before it ended.
        self._on_the_way_in = 0
        #: Likewise though the server is suspended.
        self._before_suspended = 0
        #: The threads that have just found that the next request is to be shed.
        self._shedding: set[int] = set()
        #: Whom the core has cut, and the recording not yet.
        self._due: set[int] = set()
        #: How many were closed since a loop was last heard of, and when that was.
        self._just_closed = 0
        self._turn = -math.inf

    def fork(self, number: int) -> Course:
        """Return the course of a child process.

        :param number: of the request that it was forked to serve; 0 for one with a loop of its own.
        """
        standing = self.server._standing()
        if standing is None:
            raise AssertionError("a server that is not there has limits that make sense")
        requests = [each for each in standing.requests if each.number == number]
        if number and not requests:
            requests = [OpenRequest(number, None, self.server.now, math.inf, cut=False)]
        numbered = number or standing.numbered
        course = Course(attrs.evolve(standing, requests=tuple(requests), numbered=numbered))
        course.server._lifecycle.forget_loops()  # they are the parent's
        if number:
            course._requests[number].is_known = course._requests[number].given = True
        return course

    def end(self) -> None:
        """Leave all where it is."""
        for walk in self._all_walks:
            walk.abandon()

    def take(self, record: Record, ahead: Ahead) -> Found:
        """Take the next record in; give what comes of it."""
        event = record.event
        self.server.now = event.time
        included, self._includes_next = self._includes_next, False
        match event.kind:
            case TraceKind.BEGIN:
                self._stand(event.detail)
                self._includes_next = event.what != CONTINUES
            case TraceKind.LIMITS:
                self.server.take_on(event.detail)
            case TraceKind.STATE:
                yield from self._state(event, included)
            case TraceKind.ACCEPT:
                yield from self._accept(record, ahead)
            case TraceKind.OVERLOAD:
                yield from self._overload(record, included)
            case TraceKind.WAIT:
                yield from self._wait(record, ahead)
            case TraceKind.CUT:
                yield from self._cut(event)
            case TraceKind.DRAIN:
                yield from self._drain(event.what, event.detail)
            case TraceKind.ENTER | TraceKind.LEAVE | TraceKind.ERROR | TraceKind.CLOSE:
                yield from self._hook(record)
            case _:
                pass  # bytes decide nothing

    # The life of the server.

    def _state(self, event: TraceEvent, included: bool) -> Found:
        lifecycle = self.server._lifecycle
        happened = Event[event.what] if event.what in Event.__members__ else None
        if happened is None:
            yield f"there is no event {event.what!r}"
            return
        if happened in STOPS and lifecycle.running:
            self._on_the_way_in = lifecycle.loops
        elif happened is Event.REQUEST:
            self._on_the_way_in += 1
        elif happened is Event.SUSPEND:
            self._before_suspended = lifecycle.loops
        elif happened is Event.LEAVE:
            self._on_the_way_in = max(0, self._on_the_way_in - 1)
        if not included:
            try:
                self.server._happened(happened)
            except IllegalTransition as error:
                yield str(error)
        if lifecycle.loop.name == event.detail:
            yield None
        else:
            yield f"the loop is {lifecycle.loop.name} after it, not {event.detail}"
            if event.detail in State.__members__:
                lifecycle.loop = State[event.detail]

    # Letting in.

    def _accept(self, record: Record, ahead: Ahead) -> Found:
        event, server = record.event, self.server
        number, ledger = event.request, server._ledger
        shed = record.thread in self._shedding
        self._shedding.discard(record.thread)
        if number in self._requests:
            return  # it was told of with how the server stood
        yield from self._look_for_overdue(record, ahead)
        if not server._is_running():
            if self._on_the_way_in:
                self._on_the_way_in -= 1
            else:
                yield f"no loop goes on that could let it in ({server._lifecycle.loop.name})"
        if not shed:
            yield from self._make_room(record, ahead)
            if self._may_come(record, ahead):
                yield None
            else:
                yield f"it is not let in: {self._fullness()}"
            entry = server._came_in()
            if entry is Step.SHED:
                yield f"it is shed: {self._fullness()}"
        if number != ledger.numbered + 1:
            if not self._has_adopted:
                yield f"the next request has the number {ledger.numbered + 1}"
            ledger.number_from(number)
        place = take_in(server, number, event.detail)
        server.told.clear()
        request = self._requests[number] = _Request(place, is_known=True)
        self._begin(request, Step.SHED if shed else Step.VERIFY, record.thread)

    def _may_come(self, record: Record, ahead: Ahead) -> bool:
        if self.server._admission() is not Admission.WAIT or ahead.has_state(record, Event.RESUME):
            return True
        # A get_request() that waits may have begun to before.
        self._before_suspended -= 1
        return self.server.suspended() and self._before_suspended >= 0

    def _make_room(self, record: Record, ahead: Ahead) -> Found:
        """Close who was about to be closed, and told of it too late."""
        server, now = self.server, record.event.time
        while admission(len(server._ledger), server._capacity(), server.when_full) is not (
            Admission.ACCEPT
        ):
            soonest, number = min(
                ((ahead.closes(record, place.number), place.number) for place in server._ledger),
                default=(math.inf, 0),
            )
            if soonest > now + _LATENESS:
                return
            yield from self._hook(ahead.take_close(record, number))

    def _look_for_overdue(self, record: Record, ahead: Ahead) -> Found:
        """Find who should have been cut in a turn of the loop before this one."""
        server, turn = self.server, self._turn
        self._heard_of_loop(record.event.time)
        if server._lifecycle.loop is not State.SERVING:
            return
        for place in server._ledger.overdue(turn - _LATENESS):
            if ahead.closes(record, place.number) == math.inf:
                yield f"request {place.number} was to be cut at {place.deadline:.6f} s"

    def _heard_of_loop(self, time: float) -> None:
        self._turn = time
        self._just_closed = 0

    def _overload(self, record: Record, included: bool) -> Found:
        event, server = record.event, self.server
        if event.what == "shed":
            self._shedding.add(record.thread)
            server._ledger.count("shed")
            if self._was_full() is Admission.SHED:
                yield None
            else:
                yield f"it is not shed: {self._fullness()}"
        elif not included:
            yield self._accept_failed(event)
        self._heard_of_loop(event.time)

    def _accept_failed(self, event: TraceEvent) -> str | None:
        server, error = self.server, event.detail
        server.listener_dead = event.what == "fatal"
        try:
            server._accept_failed(
                OSError(error.text) if error.errno is None else OSError(error.errno, error.text)
            )
        except OSError:
            pass  # it has told of it
        taken_for = [told.what for told in server.told]
        server.told.clear()
        if taken_for == [event.what]:
            return None
        return f"this error is {' '.join(taken_for) or 'nothing to speak of'}: {error}"

    def _wait(self, record: Record, ahead: Ahead) -> Found:
        server, event = self.server, record.event
        why = server._why_wait() if server._admission() is Admission.WAIT else ""
        if not why and self._was_full() is Admission.WAIT:
            why = "full"
        if why == event.what or (
            event.what == "suspended" and ahead.has_state(record, Event.SUSPEND)
        ):
            yield None
        elif why:
            yield f"it waits since it is {why}: {self._fullness()}"
        else:
            yield f"it listens: {self._fullness()}"
        self._heard_of_loop(event.time)

    def _was_full(self) -> Admission:
        """Say what was to be done with a client since the loop was last heard of."""
        server = self.server
        most = len(server._ledger) + self._just_closed
        return admission(most, server._capacity(), server.when_full)

    def _fullness(self) -> str:
        server = self.server
        capacity = server._capacity()
        text = f"{len(server._ledger)} of {'any number' if capacity is None else capacity} open"
        if server._backoff.episode:
            text += f", accepting pauses until {server._backoff.until:.6f} s"
        return text + (", suspended" if server.suspended() else "")

    # Ending.

    def _cut(self, event: TraceEvent) -> Found:
        request, server = self._requests.get(event.request), self.server
        if request is None:
            return  # closed in the moment in which it was cut
        if event.detail == "request_timeout":
            server._attend()
            self._due.update(told.request for told in server.told)
            server.told.clear()
        elif event.detail != "drain":  # somebody outside the core has cut it
            server._cut(request.place, event.detail)
            server.told.clear()
            return
        if event.request in self._due or not request.is_known:
            self._due.discard(event.request)
            yield None
        elif request.place.open:
            yield f"it is not cut: it may go on until {request.place.deadline:.6f} s"
            request.place.cut = True

    def _drain(self, what: str, progress: DrainProgress) -> Found:
        server = self.server
        if what == "begin":
            places = tuple(self._place(number) for number in progress.requests)
            drain = server._begin_drain(places, progress.timeout)
            self._drains[progress.drain] = drain, places
            return
        if progress.drain not in self._drains:
            return  # it began before the recording
        drain, places = self._drains[progress.drain]
        if what == "step":
            ended = frozenset(progress.requests)
            places = tuple(place for place in places if place.number not in ended)
            self._drains[progress.drain] = drain, places
            step = drain.step(server.now, places)
            cut, until = (step.cut, step.until) if step else ((), math.inf)
            numbers = tuple(place.number for place in cut)
            if (numbers, until) == (progress.cut, progress.until):
                yield None
            else:
                yield f"the drain cuts {list(numbers)}, and waits until {until:.6f} s"
            for place in cut:
                drain.cut(place, "")
                server._cut(place, "drain")
                self._due.add(place.number)
        else:
            report = drain.report(server.now)
            left = tuple(straggler.number for straggler in report.left)
            cut_numbers = tuple(straggler.number for straggler in report.cut)
            if (left, cut_numbers) == (progress.requests, progress.cut):
                yield None
            else:
                yield f"the drain has cut {list(cut_numbers)}, and leaves {list(left)} behind"
            server._end_drain(drain)
            del self._drains[progress.drain]
        server.told.clear()

    def _place(self, number: int) -> Place:
        request = self._requests.get(number)
        # One that is closed may still be at work.
        return Place(number, number, None, self.server.now) if request is None else request.place

    # The lives of requests.

    def _hook(self, record: Record) -> Found:
        event = record.event
        request = self._requests.get(event.request)
        if request is None:
            if event.kind is not TraceKind.ENTER:
                return  # the rest of one that is over
            request = self._adopt(event.request)
        if not request.lost:
            found = _TAKES[event.kind](self, request, record)
            if found is None:
                yield None
            elif found:
                request.lost = request.is_known
                if request.lost:
                    yield found
        if event.kind is TraceKind.CLOSE and request.place.open:
            self.server.close(request.place)
        if event.kind is TraceKind.CLOSE:
            self._just_closed += 1
        if request.is_over:
            del self._requests[event.request]

    def _adopt(self, number: int) -> _Request:
        """Take in a request that no loop has brought."""
        server, self._has_adopted = self.server, True
        server._ledger.number_from(number)
        place = server._ledger.adopt(number, None, server.now, server.request_timeout)
        request = self._requests[number] = _Request(place, is_known=False)
        return request

    def _begin(self, request: _Request, step: Step, thread: int) -> Walk:
        walk = Walk(self.server, request.place, step, thread)
        request.walks.append(walk)
        self._all_walks.append(walk)
        return walk

    # Each returns None if the core does the same, or what it does instead; "" if that decides
    # nothing.

    def _enter(self, request: _Request, record: Record) -> str | None:
        event, step = record.event, record.event.detail
        for walk in request.by(record.thread):
            if walk.expected and _same(walk.expected[0], event):
                walk.expected.popleft()
                return None
        if step in (Step.HERE, Step.FINISH) or (not request.is_known and step is not None):
            self._begin(request, step, record.thread).expected.popleft()
            return "" if step in ENTRIES else None
        return self._instead(request)

    def _leave(self, request: _Request, record: Record) -> str | None:
        event = record.event
        if event.detail in (Outcome.OK, Outcome.REFUSED):
            walk = self._walk_in(request, record)
            if walk is None:
                return self._instead(request)
            walk.returned(event.detail is Outcome.OK)
            request.given = request.given or (event.what, event.detail) == _GIVES
        for walk in request.by(record.thread):
            if walk.expected and walk.expected[0].kind is TraceKind.LEAVE:
                expected = walk.expected.popleft()
                if _same(expected, event):
                    return None
                return f"{expected.what} is left as {expected.detail.name}"
        return self._instead(request)

    def _error(self, request: _Request, record: Record) -> str | None:
        walk = self._walk_in(request, record)
        if walk is None:
            return self._instead(request)
        error = record.event.detail
        walk.raised(RecordedError.of(error) if isinstance(error, BaseException) else error)
        walk.expected.popleft()
        return ""

    def _close(self, request: _Request, record: Record) -> str | None:
        for walk in request.walks:
            if walk.expected and walk.expected[0].kind is TraceKind.CLOSE:
                walk.expected.popleft()
                return None
        if request.given or any(walk.hook and not walk.expected for walk in request.walks):
            return ""
        return f"it is not closed here; {self._instead(request)}"

    def _walk_in(self, request: _Request, record: Record) -> Walk | None:
        for walk in request.by(record.thread):
            if walk.hook == record.event.what and not walk.expected:
                return walk
        return None

    def _instead(self, request: _Request) -> str:
        for walk in request.walks:
            if walk.expected:
                event = walk.expected[0]
                step = f" ({event.detail.name})" if event.kind is TraceKind.ENTER else ""
                return f"the core goes on with {event.kind.value} {event.what}{step}"
        hooks = [walk.hook for walk in request.walks if walk.hook]
        return f"the core is in {' and '.join(hooks)}" if hooks else "the core is done with it"


_GIVES: Final = ("process_request", Outcome.OK)

_TAKES: Final[dict[TraceKind, Any]] = {
    TraceKind.ENTER: Course._enter,
    TraceKind.LEAVE: Course._leave,
    TraceKind.ERROR: Course._error,
    TraceKind.CLOSE: Course._close,
}


def _same(decided: TraceEvent, recorded: TraceEvent) -> bool:
    return (decided.kind, decided.what, decided.detail) == (
        recorded.kind,
        recorded.what,
        recorded.detail,
    )
