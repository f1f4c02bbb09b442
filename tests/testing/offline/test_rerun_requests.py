"""The lives of requests are decided as they were, and another life is found out."""

from __future__ import annotations

import attrs
import pytest

from sansio_server.request import Outcome, Step
from sansio_server.testing.offline.rerun import rerun
from sansio_server.testing.recording.format import (
    Record,
)
from sansio_server.trace import TraceEvent, TraceKind
from tests.core.scripted import (
    COLOURS,
    ELSEWHERE,
    IN_PLACE,
    Process,
    ScriptedServer,
    gives,
    in_place,
)
from tests.core.test_driver import scripts
from tests.testing.traces import scripted_trace, through_a_file

COLOUR = pytest.mark.parametrize("kind", COLOURS.values(), ids=COLOURS)
PROCESSES = [*IN_PLACE.items(), *ELSEWHERE.items()]
PROCESS = pytest.mark.parametrize(
    ("process", "has_part"), PROCESSES, ids=[process.__name__ for process, _ in PROCESSES]
)


@COLOUR
@PROCESS
def test_whatever_hooks_do_the_same_is_decided(
    kind: type[ScriptedServer], process: Process, has_part: bool
) -> None:
    for script in scripts("finish", *["process"] * has_part):
        server, records = scripted_trace(kind, process, script)
        result = rerun(records)
        assert result.divergences == (), (script, str(result))
        assert result.counters == {"": server.counters}, script


@COLOUR
@pytest.mark.parametrize("verdict", ["refuse", "fail", "escape"])
def test_a_verdict_other_than_yes(kind: type[ScriptedServer], verdict: str) -> None:
    for script in scripts():
        server, records = scripted_trace(kind, in_place, {**script, "verify": verdict})
        result = rerun(through_a_file(records))
        assert result.divergences == (), (script, str(result))
        assert result.counters == {"": server.counters}, script


@COLOUR
def test_requests_that_there_is_no_room_for(kind: type[ScriptedServer]) -> None:
    for script in scripts("shed"):
        records = scripted_trace(kind, in_place, script, Step.SHED)[1]
        result = rerun(records[:2] + records[3:])
        assert "not shed" in str(result)  # the other request is not told of
        result = rerun(records)
        assert [each for each in result.divergences if each.record.event.request != 1] == []


def hook_records(script: dict[str, str], process: Process = in_place) -> list[Record]:
    return scripted_trace(ScriptedServer, process, script)[1]


@pytest.mark.parametrize("process", [in_place, gives], ids=["in place", "elsewhere"])
@pytest.mark.parametrize(
    "script", [{}, {"finish": "fail"}, {"finish": "escape"}, {"shutdown": "fail"}], ids=str
)
def test_a_hook_that_is_left_out_is_missed(process: Process, script: dict[str, str]) -> None:
    records = hook_records(script, process)
    entered = [n for n, each in enumerate(records) if each.event.kind is TraceKind.ENTER]
    for position in entered[1:]:
        if records[position].event.detail in (Step.HERE, Step.FINISH):
            continue  # whether that is entered is for process_request to say
        result = rerun(records[:position] + records[position + 1 :])
        assert not result.same, records[position]


@pytest.mark.parametrize("script", [{}, {"finish": "fail"}, {"shutdown": "fail"}], ids=str)
def test_another_step_is_found(script: dict[str, str]) -> None:
    records = hook_records(script)
    for position, record in enumerate(records):
        if record.event.kind is TraceKind.ENTER:
            for step in set(Step) - {record.event.detail, Step.HERE, Step.FINISH}:
                changed = list(records)
                event = attrs.evolve(record.event, detail=step)
                changed[position] = attrs.evolve(record, event=event)
                assert not rerun(changed).same, event


def test_another_outcome_is_found() -> None:
    records = hook_records({"finish": "fail"})
    for position, record in enumerate(records):
        if record.event.kind is TraceKind.LEAVE:
            for outcome in set(Outcome) - {record.event.detail}:
                if record.event.what == "verify_request" and outcome is Outcome.REFUSED:
                    continue
                changed = list(records)
                event = attrs.evolve(record.event, detail=outcome)
                changed[position] = attrs.evolve(record, event=event)
                assert not rerun(changed).same, event


def test_a_verdict_is_believed_and_what_follows_is_not() -> None:
    records = hook_records({})
    changed = [
        attrs.evolve(each, event=attrs.evolve(each.event, detail=Outcome.REFUSED))
        if (each.event.kind, each.event.what) == (TraceKind.LEAVE, "verify_request")
        else each
        for each in records
    ]
    [divergence] = rerun(changed).divergences
    assert divergence.decided == "the core goes on with enter shutdown_request (SHUTDOWN)"
    assert str(divergence).startswith("record 6 (0.000000 s, request 1, enter process_request): ")


def test_a_close_where_nobody_could_have_closed_is_found() -> None:
    records = hook_records({})
    close = next(each for each in records if each.event.kind is TraceKind.CLOSE)
    [verify] = [n for n, each in enumerate(records) if each.event.detail is Step.VERIFY]
    result = rerun([*records[:verify], close])
    assert "it is not closed here" in str(result)


def test_what_goes_on_in_a_request_that_is_over_is_found() -> None:
    records = hook_records({}, gives)
    event = TraceEvent(0.0, TraceKind.ENTER, 1, "shutdown_request", Step.SHUTDOWN)
    result = rerun([*records[:6], Record(event)])
    assert "the core is" in str(result)
