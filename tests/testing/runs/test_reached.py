"""Which rows of the tables a trace has gone through."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from sansio_server import (
    DrainReport,
    Event,
    Outcome,
    State,
    Step,
    Straggler,
    TraceEvent,
    TraceKind,
)
from sansio_server.testing.runs.reached import Reached, request_rows, server_rows
from sansio_server.testing.runs.run import Run
from sansio_server.testing.scripts.faults import Fault
from sansio_server.testing.scripts.script import Script

OK, FAILED = Outcome.OK, Outcome.FAILED


def events(*hooks: tuple[str, Outcome | None]) -> list[TraceEvent]:
    """Return a trace: a hook without an outcome is entered, one with an outcome is left."""
    return [
        TraceEvent(0.0, TraceKind.ENTER if out is None else TraceKind.LEAVE, 1, hook, out)
        for hook, out in hooks
    ]


def test_in_place() -> None:
    assert request_rows(
        events(
            ("verify_request", None),
            ("verify_request", OK),
            ("process_request", None),
            ("finish_request", None),
            ("finish_request", FAILED),
            ("process_request", FAILED),
            ("handle_error", None),
            ("handle_error", OK),
            ("shutdown_request", None),
            ("shutdown_request", FAILED),
            ("handle_error", None),
            ("handle_error", OK),
        )
    ) == {
        (Step.VERIFY, OK),
        (Step.HERE, FAILED),
        (Step.PROCESS, FAILED),
        (Step.ERROR, OK),
        (Step.SHUTDOWN, FAILED),
        (Step.REPORT, OK),
    }


def test_elsewhere_even_where_it_begins_before_it_was_given() -> None:
    assert request_rows(
        events(
            ("process_request", None),
            ("finish_request", None),
            ("process_request", OK),
            ("finish_request", OK),
        )
    ) == {(Step.PROCESS, OK), (Step.FINISH, OK)}
    assert request_rows(
        events(
            ("process_request", None),
            ("process_request", OK),
            ("finish_request", None),
            ("finish_request", FAILED),
        )
    ) == {(Step.PROCESS, OK), (Step.FINISH, FAILED)}
    assert request_rows(events(("shed_request", None), ("shed_request", OK))) == {(Step.SHED, OK)}


def run_with(states: list[str], drain: DrainReport | None = None) -> Run:
    trace = tuple(TraceEvent(0.0, TraceKind.STATE, 0, what) for what in states)
    return Run(script=Script((), faults=(Fault("recv", "short"),) * 2), trace=trace, drain=drain)


def straggler(*, ended: bool) -> Straggler:
    return Straggler(1, "a", "", ended)


@pytest.mark.parametrize(
    ("cut", "rows"),
    [
        ((), {(State.GRACE, Event.EMPTY)}),
        (
            (straggler(ended=True),),
            {(State.GRACE, Event.DEADLINE), (State.CUTTING, Event.EMPTY)},
        ),
        (
            (straggler(ended=False),),
            {(State.GRACE, Event.DEADLINE), (State.CUTTING, Event.DEADLINE)},
        ),
    ],
)
def test_rows_of_a_server(cut: Any, rows: set[tuple[State, Event]]) -> None:
    found = server_rows(run_with(["BIND", "SERVE", "CLOSE"], DrainReport((), cut, 0.0)))
    assert found == {
        (State.NEW, Event.BIND),
        (State.IDLE, Event.SERVE),
        (State.BOUND, Event.CLOSE),
        (State.SERVING, Event.CLOSE),
        (State.NOT_DRAINING, Event.DRAIN),
        *rows,
    }


def test_counting() -> None:
    reached = Reached()
    run = attrs.evolve(
        run_with(["SERVE"]),
        trace=(
            TraceEvent(0.0, TraceKind.STATE, 0, "SERVE"),
            *events(("verify_request", None), ("verify_request", OK)),
        ),
    )
    reached.add(run)
    other = Reached()
    other.add(run)
    other.merge(reached)
    assert other.runs == 2
    assert other.faults == {("recv", "short"): 4}
    assert other.rows == {(Step.VERIFY, OK): 2}
    text = str(other)
    assert text.startswith("1 of 26 rows of a request's table\n1 of ")
    assert "VERIFY   OK              2" in text
    assert "recv     short           4" in text
    assert "faults" not in str(Reached())
