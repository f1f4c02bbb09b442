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
from sansio_server.request import HOOKS
from sansio_server.testing import (
    ClientScript,
    Connect,
    Expect,
    ForkingTCPServer,
    Send,
    TCPServer,
    ThreadingTCPServer,
    play,
)
from sansio_server.testing.runs.reached import Reached, request_rows, server_rows
from sansio_server.testing.runs.run import Run
from sansio_server.testing.scripts.faults import Fault
from sansio_server.testing.scripts.script import Script
from tests.testing.replayed import Upper

OK, FAILED = Outcome.OK, Outcome.FAILED


def entered(step: Step) -> TraceEvent:
    return TraceEvent(0.0, TraceKind.ENTER, 1, HOOKS[step][0], step)


def left(step: Step, outcome: Outcome) -> TraceEvent:
    return TraceEvent(0.0, TraceKind.LEAVE, 1, HOOKS[step][0], outcome)


def test_a_step_and_its_outcome_are_a_row() -> None:
    assert request_rows(
        [
            entered(Step.VERIFY),
            left(Step.VERIFY, OK),
            entered(Step.PROCESS),
            entered(Step.HERE),
            left(Step.HERE, FAILED),
            left(Step.PROCESS, FAILED),
            entered(Step.ERROR),
            left(Step.ERROR, OK),
            entered(Step.SHUTDOWN),
            left(Step.SHUTDOWN, FAILED),
            entered(Step.REPORT),
            left(Step.REPORT, OK),
        ]
    ) == {
        (Step.VERIFY, OK),
        (Step.HERE, FAILED),
        (Step.PROCESS, FAILED),
        (Step.ERROR, OK),
        (Step.SHUTDOWN, FAILED),
        (Step.REPORT, OK),
    }


def test_a_step_that_is_not_over_has_no_row_yet() -> None:
    assert request_rows(
        [
            entered(Step.PROCESS),
            entered(Step.FINISH),
            left(Step.PROCESS, OK),
        ]
    ) == {(Step.PROCESS, OK)}


def test_what_servers_tell_is_understood() -> None:
    """In place, in a thread, in a child: each enters the table elsewhere."""
    script = Script((ClientScript((Connect(), Send(b"a\n"), Expect(b"A\n"))),))
    for server_class, step in (
        (TCPServer, Step.HERE),
        (ThreadingTCPServer, Step.FINISH),
        (ForkingTCPServer, Step.FINISH),
    ):
        rows = request_rows(play(script, Upper, server_class=server_class).trace)
        assert rows == {
            (Step.VERIFY, OK), (Step.PROCESS, OK), (step, OK), (Step.SHUTDOWN, OK)
        }  # fmt: skip


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
            entered(Step.VERIFY),
            left(Step.VERIFY, OK),
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
