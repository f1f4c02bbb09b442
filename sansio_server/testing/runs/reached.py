"""Which rows of the two tables, and which faults, runs have reached."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import attrs

from sansio_server.lifecycle import REGIONS, SERVER_STATES, Event, Lifecycle, State
from sansio_server.request import REQUEST_STEPS, Outcome, Step
from sansio_server.trace import TraceEvent, TraceKind

from .run import Run

__all__ = ["Reached", "request_rows", "server_rows"]


@attrs.define(eq=False)
class Reached:
    """What was reached by the runs that :meth:`add` was told of.

    :ivar runs: how many there were.
    :ivar rows: how many of them reached each row of a request's table.
    :ivar states: how many reached each row of a server's table.
    :ivar faults: how often each fault happened, by its point and kind.
    """

    runs: int = 0
    rows: Counter[tuple[Step, Outcome]] = attrs.field(factory=Counter)
    states: Counter[tuple[State, Event]] = attrs.field(factory=Counter)
    faults: Counter[tuple[str, str]] = attrs.field(factory=Counter)

    def add(self, run: Run) -> None:
        """Count what *run* has reached."""
        self.runs += 1
        self.rows.update(request_rows(run.trace))
        self.states.update(server_rows(run))
        self.faults.update((fault.point, fault.kind) for fault in run.faults)

    def merge(self, other: Reached) -> None:
        """Count what *other* has counted, too."""
        self.runs += other.runs
        self.rows.update(other.rows)
        self.states.update(other.states)
        self.faults.update(other.faults)

    def __str__(self) -> str:
        rows = [(step, outcome) for step, row in REQUEST_STEPS.items() for outcome in row]
        states = [(state, event) for state, row in SERVER_STATES.items() for event in row]
        lines = [f"{len(self.rows)} of {len(rows)} rows of a request's table"]
        lines.append(f"{len(self.states)} of {len(states)} rows of a server's table")
        lines.extend(
            f"  {step.name:<8} {outcome.name:<8} {self.rows[step, outcome]:>8}"
            for step, outcome in rows
            if self.rows[step, outcome]
        )
        if self.faults:
            lines.append("faults")
        lines.extend(f"  {point:<8} {kind:<12} {n:>4}" for (point, kind), n in _sorted(self.faults))
        return "\n".join(lines)


def _sorted(faults: Counter[tuple[str, str]]) -> list[tuple[tuple[str, str], int]]:
    return sorted(faults.items())


def request_rows(trace: Iterable[TraceEvent]) -> set[tuple[Step, Outcome]]:
    """Return the rows of :data:`~sansio_server.request.REQUEST_STEPS` that requests went through.

    Entering a hook tells the step, leaving it the outcome.
    """
    rows: set[tuple[Step, Outcome]] = set()
    inside: dict[tuple[int, str], Step] = {}
    for event in trace:
        hook = (event.request, event.what)
        if event.kind is TraceKind.ENTER:
            inside[hook] = event.detail
        elif event.kind is TraceKind.LEAVE:
            rows.add((inside.pop(hook), event.detail))
    return rows


def server_rows(run: Run) -> set[tuple[State, Event]]:
    """Return the rows of :data:`~sansio_server.lifecycle.SERVER_STATES` that *run* went through."""
    rows: set[tuple[State, Event]] = set()
    lifecycle = Lifecycle()
    events = [Event[event.what] for event in run.trace if event.kind is TraceKind.STATE]
    if run.drain is not None:
        cut, left = bool(run.drain.cut), bool(run.drain.left)
        events += [Event.DRAIN, *[Event.DEADLINE] * (cut + left), *[Event.EMPTY] * (not left)]
    for event in events:
        before = {region: getattr(lifecycle, region) for region in REGIONS}
        lifecycle.put(event)
        rows.update((state, event) for state in before.values() if event in SERVER_STATES[state])
    return rows
