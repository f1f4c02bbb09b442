"""The request's table, stated a second time from the other end, and walked along every path."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest

from sansio_server.request import (
    ENTRIES,
    FINAL_STEPS,
    HOOKS,
    REPORTING_STEPS,
    REQUEST_STEPS,
    Outcome,
    Step,
)

Path = list[tuple[Step, Outcome]]

# From where each step is come to; nothing else leads anywhere.
ARRIVALS = {
    Step.PROCESS: {"VERIFY OK"},
    Step.GIVEN: {"PROCESS OK", "PROCESS OVER"},
    # What fails before the request is closed is reported ...
    Step.ERROR: {"VERIFY FAILED", "PROCESS FAILED", "FINISH FAILED", "SHED FAILED"},
    # ... save in place, where it belongs to whoever called process_request ...
    Step.RAISED: {"HERE FAILED", "HERE ESCAPED"},
    # ... and then the request is closed, as it is after all else.
    Step.SHUTDOWN: {
        "VERIFY REFUSED",
        "VERIFY ESCAPED",
        "PROCESS ESCAPED",
        "HERE OK",
        "FINISH OK",
        "FINISH ESCAPED",
        "SHED OK",
        "SHED ESCAPED",
        "ERROR OK",
        "ERROR FAILED",
        "ERROR ESCAPED",
    },
    Step.REPORT: {"SHUTDOWN FAILED"},
    Step.CLOSED: {
        "SHUTDOWN OK",
        "SHUTDOWN ESCAPED",
        "REPORT OK",
        "REPORT FAILED",
        "REPORT ESCAPED",
    },
}


def paths(step: Step) -> Iterator[tuple[Path, Step]]:
    """Every way from `step` to a final one; an endless table ends by RecursionError."""
    if not REQUEST_STEPS[step]:
        yield [], step
    for outcome, following in REQUEST_STEPS[step].items():
        for rest, final in paths(following):
            yield [(step, outcome), *rest], final


ALL_PATHS = [(path, final) for entry in Step if entry in ENTRIES for path, final in paths(entry)]


def steps_of(path: Path) -> list[Step]:
    return [step for step, _ in path]


@pytest.mark.parametrize(
    ("step", "outcome"), list(product(Step, Outcome)), ids=lambda member: member.name
)
def test_each_outcome_of_each_step_leads_where_it_is_said_to(step: Step, outcome: Outcome) -> None:
    arrow = f"{step.name} {outcome.name}"
    expected = [target for target, arrows in ARRIVALS.items() if arrow in arrows]
    row = REQUEST_STEPS[step]
    assert ([row[outcome]] if outcome in row else []) == expected


def test_nothing_else_is_stated() -> None:
    arrows = [arrow for arrows in ARRIVALS.values() for arrow in arrows]
    assert len(arrows) == sum(map(len, REQUEST_STEPS.values()))


def test_every_step_has_a_row() -> None:
    assert list(REQUEST_STEPS) == list(Step)


def test_the_ends_are_the_steps_without_a_hook() -> None:
    assert {Step.GIVEN, Step.RAISED, Step.CLOSED} == FINAL_STEPS
    assert set(HOOKS) == set(Step) - FINAL_STEPS


def test_the_driver_may_tell_the_ends_by_comparing() -> None:
    assert min(FINAL_STEPS) > max(set(Step) - FINAL_STEPS)


def test_every_step_can_be_reached() -> None:
    reached = {step for path, final in ALL_PATHS for step in [*steps_of(path), final]}
    assert reached == set(Step)


def test_no_row_is_dead() -> None:
    walked = {arrow for path, _ in ALL_PATHS for arrow in path}
    assert walked == {(step, outcome) for step, row in REQUEST_STEPS.items() for outcome in row}


def test_only_the_entries_are_not_arrived_at() -> None:
    assert set(Step) - set(ARRIVALS) == ENTRIES


def test_every_path_ends_and_soon() -> None:
    # The longest: verify, process (or its failure), error, shutdown, report.
    assert max(len(path) for path, _ in ALL_PATHS) == 5
    assert {final for _, final in ALL_PATHS} == FINAL_STEPS


def test_no_step_comes_twice_on_a_path() -> None:
    for path, _ in ALL_PATHS:
        assert len(set(steps_of(path))) == len(path), path


def test_each_path_that_ends_closed_closes_once_and_no_other_closes() -> None:
    for path, final in ALL_PATHS:
        closes = steps_of(path).count(Step.SHUTDOWN)
        assert closes == (final is Step.CLOSED), path


def test_after_closing_there_is_only_a_report_of_its_failure() -> None:
    for path, final in ALL_PATHS:
        if Step.SHUTDOWN in steps_of(path):
            at = steps_of(path).index(Step.SHUTDOWN)
            failed = path[at][1] is Outcome.FAILED
            assert steps_of(path)[at + 1 :] == [Step.REPORT] * failed, path
            assert final is Step.CLOSED


def test_the_work_is_done_before_closing_and_at_most_once() -> None:
    work = {Step.HERE, Step.FINISH, Step.SHED}
    for path, _ in ALL_PATHS:
        steps = steps_of(path)
        done = [at for at, step in enumerate(steps) if step in work]
        assert len(done) <= 1
        if done and Step.SHUTDOWN in steps:
            assert done[0] < steps.index(Step.SHUTDOWN), path


def test_each_error_is_told_once_and_an_escape_is_told_to_nobody() -> None:
    for path, _ in ALL_PATHS:
        for at, (step, outcome) in enumerate(path):
            told = at + 1 < len(path) and path[at + 1][0] in REPORTING_STEPS
            tells = step in REPORTING_STEPS or step is Step.HERE
            assert told == (outcome is Outcome.FAILED and not tells), path


def test_only_the_verdict_is_refused_and_only_what_runs_in_place_is_over() -> None:
    assert [s for s in Step if Outcome.REFUSED in REQUEST_STEPS[s]] == [Step.VERIFY]
    assert [s for s in Step if Outcome.OVER in REQUEST_STEPS[s]] == [Step.PROCESS]


def test_served_in_place_a_request_is_closed_once_on_both_walks_together() -> None:
    """HERE runs inside PROCESS; what comes out of the one is the outcome of the other."""
    for inner, final in paths(Step.HERE):
        raised = inner[-1][1] in {Outcome.FAILED, Outcome.ESCAPED}
        closed = final is Step.CLOSED
        if raised and closed:
            outcomes = [Outcome.OVER]
        elif raised:
            outcomes = [Outcome.FAILED, Outcome.ESCAPED]  # an override may translate it
        else:
            outcomes = [Outcome.OK]
        for outcome in outcomes:
            for outer, _ in paths(REQUEST_STEPS[Step.PROCESS][outcome]):
                both = steps_of(inner) + steps_of(outer)
                assert both.count(Step.SHUTDOWN) == 1, (inner, outcome, outer)
                assert both.count(Step.HERE) == 1


def test_the_hooks_have_their_names_from_the_standard_library() -> None:
    assert {step.name: name for step, (name, _) in HOOKS.items()} == {
        "VERIFY": "verify_request",
        "PROCESS": "process_request",
        "HERE": "finish_request",
        "FINISH": "finish_request",
        "SHED": "shed_request",
        "ERROR": "handle_error",
        "SHUTDOWN": "shutdown_request",
        "REPORT": "handle_error",
    }


def test_all_hooks_but_that_which_closes_are_told_the_address() -> None:
    assert [step for step, (_, takes_address) in HOOKS.items() if not takes_address] == [
        Step.SHUTDOWN
    ]


def test_the_reporting_steps_run_handle_error() -> None:
    assert {step for step, (name, _) in HOOKS.items() if name == "handle_error"} == REPORTING_STEPS


def test_the_table_cannot_be_changed_by_accident() -> None:
    with pytest.raises(TypeError):
        REQUEST_STEPS[Step.CLOSED] = {}  # type: ignore[index]
