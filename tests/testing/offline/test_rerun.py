"""A recording that is run again is decided as it was, and whoever changes it is found out."""

from __future__ import annotations

import errno
import math
from collections.abc import Callable, Sequence

import attrs
import pytest

from sansio_server.lifecycle import Event
from sansio_server.request import Outcome, Step
from sansio_server.testing.offline.rerun import rerun
from sansio_server.testing.recording.format import (
    CONTINUES,
    Record,
    RecordedError,
    as_line,
    as_record,
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
from tests.testing.traces import Server, happen, scripted_trace

COLOUR = pytest.mark.parametrize("kind", COLOURS.values(), ids=COLOURS)
PROCESSES = [*IN_PLACE.items(), *ELSEWHERE.items()]
PROCESS = pytest.mark.parametrize(
    ("process", "has_part"), PROCESSES, ids=[process.__name__ for process, _ in PROCESSES]
)


def through_a_file(records: Sequence[Record]) -> list[Record]:
    return [
        as_record(as_line(each.event, each.server, each.process, each.thread)) for each in records
    ]


# The lives of requests.


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


# Letting in.


def test_limits_decide_as_they_did() -> None:
    server = Server(max_connections=2, when_full="shed")
    for number in (1, 2, 3):
        assert server.come(1.0) == number
    server.end(1)
    server.come()
    server.max_connections = 5
    server.come()
    server.when_full = "wait"
    server.max_connections = 3
    server._plan(math.inf)
    result = rerun(server.records)
    assert result.same, str(result)
    assert result.counters == {"": server.counters}
    assert (result.requests, result.seconds) == (5, 3.0)


@pytest.mark.parametrize(
    ("limits", "others", "found"),
    [
        ({}, {"max_connections": 1}, "it is not let in: 1 of 1 open"),
        ({}, {"max_connections": 1, "when_full": "shed"}, "it is shed: 1 of 1 open"),
        ({"max_connections": 1, "when_full": "shed"}, {}, "it is not shed: 1 of any number open"),
    ],
)
def test_other_limits_would_have_decided_otherwise(
    limits: dict[str, object], others: dict[str, object], found: str
) -> None:
    server = Server(**limits)
    server.come()
    server.come()
    other = Server(**others)
    records = [other.records[0], *server.records[1:]]
    assert found in str(rerun(records))


def test_who_waits_says_why() -> None:
    server = Server(max_connections=1)
    server.come()
    server._plan(math.inf)
    server.suspend()
    server._emit(TraceKind.STATE, 0, "SUSPEND", "SERVING")
    server._plan(math.inf)
    assert rerun(server.records).same
    records = [each for each in server.records if each.event.what != "SUSPEND"]
    assert "it waits since it is full" in str(rerun(records))
    records = [each for each in server.records if not each.event.request]
    assert "it listens: 0 of 1 open" in str(rerun(records))


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ECONNABORTED, None])
def test_errors_of_accepting_are_taken_alike(code: int | None) -> None:
    server = Server()
    for _ in range(3):
        server.fail(OSError("none") if code is None else OSError(code, "no"))
        server.time += 0.05
    server._plan(math.inf)
    server.time += 1.0
    server.come()
    result = rerun(through_a_file(server.records))
    assert result.same, str(result)
    assert result.counters == {"": server.counters}


def test_a_dead_listener_is_dead_again() -> None:
    server = Server()
    server._listener_is_dead = lambda: True  # type: ignore[method-assign]
    server.fail(OSError(errno.EBADF, "gone"))
    assert server.records[-1].event.what == "fatal"
    assert rerun(server.records).same


def test_an_error_that_was_taken_for_another_is_found() -> None:
    server = Server()
    server.fail(OSError(errno.EMFILE, "full"))
    event = attrs.evolve(server.records[-1].event, what="connection-error")
    result = rerun([*server.records[:-1], Record(event)])
    assert "this error is capacity: OSError: [Errno 24] full" in str(result)
    nothing = RecordedError("BlockingIOError", "", errno.EAGAIN)
    result = rerun([*server.records[:-1], Record(attrs.evolve(event, detail=nothing))])
    assert "this error is nothing to speak of" in str(result)


def test_nobody_is_let_in_while_accepting_pauses() -> None:
    server = Server()
    server.fail(OSError(errno.EMFILE, "full"))
    server.come(0.05)
    assert "accepting pauses until 0.100000 s" in str(rerun(server.records))


def test_nobody_is_let_in_without_a_loop() -> None:
    server = Server()
    server.stop()
    server.come()
    assert "no loop goes on that could let it in (IDLE)" in str(rerun(server.records))


def test_who_was_seen_before_the_stop_may_still_come_in() -> None:
    server = Server()
    happen(server, Event.SHUTDOWN)
    server.come()
    assert rerun(server.records).same
    server.come()
    assert not rerun(server.records).same


def test_who_was_waited_for_before_a_pause_may_still_come_in() -> None:
    server = Server()
    happen(server, Event.SUSPEND)
    server.come()
    assert rerun(server.records).same
    server.come()
    assert "suspended" in str(rerun(server.records))


def test_a_loop_for_one_request_ends_by_it_before_it_is_let_in() -> None:
    server = Server()
    server.stop()
    happen(server, Event.WAIT)
    happen(server, Event.REQUEST)
    server.come()
    assert rerun(server.records).same


def test_numbers_have_no_gaps() -> None:
    server = Server()
    server.come()
    server._ledger.number_from(5)
    server.come()
    assert "the next request has the number 2" in str(rerun(server.records))


# Threads, which tell of things a little late.


def threaded(server: Server, *threads: int) -> list[Record]:
    """The records, each told by the thread given for it."""
    return [
        attrs.evolve(each, thread=thread)
        for each, thread in zip(server.records, threads, strict=True)
    ]


def moved(records: list[Record], position: int, by: int) -> list[Record]:
    rest = records[:position] + records[position + 1 :]
    return [*rest[: position + by], records[position], *rest[position + by :]]


def full_server() -> Server:
    server = Server(max_connections=1)
    server.come()
    server.end(1)
    server.come()
    return server


def test_a_close_may_be_told_of_after_who_came_instead() -> None:
    server = full_server()
    events = [each.event.what for each in server.records]
    close = events.index("close")
    one, others = threaded(server, *len(events) * [1]), list(server.records)
    others = [attrs.evolve(each, thread=1 + (n == close)) for n, each in enumerate(one)]
    assert rerun(moved(others, close, 1)).same
    assert not rerun(moved(one, close, 1)).same, "one thread tells in order"


def test_but_not_much_later() -> None:
    server = full_server()
    records = server.records
    close = [each.event.what for each in records].index("close")
    event = attrs.evolve(records[close].event, time=5.0)
    records[close] = Record(event, thread=2)
    assert not rerun(moved(records, close, 1)).same


def test_who_was_shed_may_be_told_of_after_a_close() -> None:
    server = Server(max_connections=1, when_full="shed")
    server.come()
    server.come()
    server.end(1)
    records = server.records
    what = [each.event.what for each in records]
    assert rerun(moved(records, what.index("close"), 0)).same
    close = len(what) - 1
    records[close] = attrs.evolve(records[close], thread=2)
    assert rerun(moved(records, close, what.index("shed") - close)).same


def test_who_waited_may_be_told_of_after_a_close() -> None:
    server = Server(max_connections=1)
    server.come()
    server._plan(math.inf)
    server.end(1)
    records = server.records
    assert rerun([*records[:-2], records[-1], records[-2]]).same


@pytest.mark.parametrize(
    ("event", "act"),
    [
        (Event.SUSPEND, lambda server: server._plan(math.inf)),
        (Event.RESUME, lambda server: [server.come(), server.come()]),
    ],
)
def test_states_may_be_told_of_late(event: Event, act: Callable[[Server], object]) -> None:
    server = Server()
    if event is Event.RESUME:
        happen(server, Event.SUSPEND)
    happen(server, event)
    late = len(server.records) - 1
    act(server)
    records = server.records
    records[late] = attrs.evolve(records[late], thread=2)
    assert rerun(moved(records, late, 1)).same
    records[late] = attrs.evolve(records[late], thread=0)
    del records[late]
    assert not rerun(records).same


# The life of the server.


def test_an_impossible_event_is_found_and_gone_on_from() -> None:
    server = Server()
    server.stop()
    leave = server.records[-1]
    impossible = attrs.evolve(leave.event, what="RESPITE")
    result = rerun([*server.records, leave, Record(impossible), server.records[2]])
    assert [each.decided for each in result.divergences] == [
        "LEAVE cannot happen to a server that is IDLE (loop)",
        "there is no event 'RESPITE'",
        "the loop is STOP_KEPT after it, not STOPPING",
    ]


def test_a_state_that_does_not_exist_is_no_state() -> None:
    server = Server()
    event = attrs.evolve(server.records[-1].event, what="SHUTDOWN", detail="SLEEPING")
    assert "the loop is STOPPING after it, not SLEEPING" in str(
        rerun([*server.records, Record(event)])
    )


# Ending.


def test_who_is_overdue_is_cut_again() -> None:
    server = Server(request_timeout=2.0)
    server.come()
    server.come(1.0)
    server.turn(1.5)
    server.request_timeout = None
    server.come()
    server.turn(100.0)
    result = rerun(server.records)
    assert result.same, str(result)
    assert result.counters == {"": server.counters}
    assert server.counters.cut == 2


def test_who_was_cut_too_early_is_found() -> None:
    server = Server(request_timeout=2.0)
    server.come()
    event = TraceEvent(1.0, TraceKind.CUT, 1, "cut", "request_timeout")
    assert "it is not cut: it may go on until 2.000000 s" in str(
        rerun([*server.records, Record(event)])
    )


def test_who_should_have_been_cut_is_found() -> None:
    server = Server(request_timeout=2.0)
    server.come()
    for _ in range(3):
        server.come(3.0)
    result = rerun(server.records)
    assert [each.decided for each in result.divergences] == [
        "request 1 was to be cut at 2.000000 s",
        "request 2 was to be cut at 5.000000 s",
    ]


def test_who_is_cut_by_somebody_else_is() -> None:
    server = Server()
    server.come()
    [place] = server._ledger
    server._cut(place, "whim")
    result = rerun(server.records)
    assert (result.same, result.counters) == (True, {"": server.counters})


def test_a_cut_told_of_after_the_end_is_nothing() -> None:
    server = Server(request_timeout=1.0)
    server.come()
    server.end(1, 0.5)
    event = TraceEvent(1.5, TraceKind.CUT, 1, "cut", "request_timeout")
    assert rerun([*server.records, Record(event)]).same


@pytest.mark.parametrize("timeout", [None, 0.0, 1.5, 100.0])
def test_a_drain_goes_as_it_went(timeout: float | None) -> None:
    server = Server()
    for _ in range(3):
        server.come()
    server.stop()
    server.drain(timeout)
    result = rerun(through_a_file(server.records))
    assert result.same, str(result)
    assert result.counters == {"": server.counters}


def test_a_drain_that_goes_otherwise_is_found() -> None:
    server = Server()
    server.come()
    server.come()
    server.stop()
    server.drain(1.5)
    steps = [n for n, each in enumerate(server.records) if each.event.kind is TraceKind.DRAIN]
    for position in steps[1:]:
        records = server.records
        detail = attrs.evolve(records[position].event.detail, cut=(7,), until=9.0)
        event = attrs.evolve(records[position].event, detail=detail)
        records[position] = attrs.evolve(records[position], event=event)
        assert "the drain " in str(rerun(records))


def test_a_drain_that_began_before_is_not_followed() -> None:
    server = Server()
    server.come()
    server.stop()
    server.drain(None)
    records = [each for each in server.records if each.event.what != "begin"]
    assert rerun([server.records[0], *records]).same


def test_who_is_closed_and_still_at_work_is_drained_too() -> None:
    server = Server()
    server.come()
    [place] = server._ledger
    server._release(place)
    events = server.events
    server.drain(None)
    begin = next(n for n, each in enumerate(events) if each.kind is TraceKind.DRAIN)
    detail = attrs.evolve(events[begin].detail, requests=(1,))
    events[begin] = attrs.evolve(events[begin], detail=detail)
    step = attrs.evolve(events[begin + 1].detail, requests=(1,))
    events[begin + 1] = attrs.evolve(events[begin + 1], detail=step)
    assert rerun(server.records).same


# Where it begins and ends.


def test_it_begins_with_how_the_server_stood() -> None:
    records = Server().records
    for wrong in (records[1:], [Record(records[1].event, "web")]):
        with pytest.raises(ValueError, match="does not begin with how the server stood"):
            rerun(wrong)
    with pytest.raises(ValueError, match="does not begin with how the server stood"):
        rerun([attrs.evolve(records[0], process=7)])


def test_nothing_is_the_same() -> None:
    result = rerun([])
    assert (result.same, result.counters) == (True, {})


def test_requests_from_before_are_gone_on_with() -> None:
    server = Server(max_connections=1)
    server.come()
    server.events.clear()
    server._traced = None
    happen(server, Event.SUSPEND)
    happen(server, Event.RESUME)
    server._plan(math.inf)
    for kind, what, detail in [
        (TraceKind.LEAVE, "finish_request", Outcome.OK),
        (TraceKind.ENTER, "shutdown_request", Step.SHUTDOWN),
    ]:
        server._emit(kind, 1, what, detail)
    server.end(1)
    server._emit(TraceKind.LEAVE, 1, "shutdown_request", Outcome.OK)
    server.come()
    result = rerun(server.records)
    assert result.same, str(result)


def test_a_request_that_no_loop_brought_is_taken_in() -> None:
    server = Server()
    server._ledger.adopt("key", "client", 0.0)
    server._emit(TraceKind.ENTER, 1, "finish_request", Step.FINISH)
    server._emit(TraceKind.LEAVE, 1, "finish_request", Outcome.OK)
    server._emit(TraceKind.ENTER, 1, "shutdown_request", Step.SHUTDOWN)
    server.come()
    assert rerun(server.records).same


def test_a_recording_that_goes_on_in_another_file_does_not_tell_twice() -> None:
    server = Server(max_connections=2)
    server.come()
    standing = server._standing()
    begin = TraceEvent(server.time, TraceKind.BEGIN, 0, CONTINUES, standing)
    before = len(server.records)
    server.come()
    server.end(1)
    server.come()
    records = [Record(begin), *server.records[before:]]
    result = rerun(records)
    assert result.same, str(result)


def test_children_are_followed_by_themselves() -> None:
    parent, child = Server(), Server()
    parent.come()
    child.come()
    entered = len(child.records)
    for kind, what, detail in [
        (TraceKind.ENTER, "finish_request", Step.FINISH),
        (TraceKind.LEAVE, "finish_request", Outcome.OK),
        (TraceKind.ENTER, "shutdown_request", Step.SHUTDOWN),
    ]:
        child._emit(kind, 1, what, detail)
    child.end(1)
    child._emit(TraceKind.LEAVE, 1, "shutdown_request", Outcome.OK)
    told = [attrs.evolve(each, process=4711) for each in child.records[entered:]]
    parent.end(1)
    records = [*parent.records[:-1], *told, parent.records[-1]]
    result = rerun(records)
    assert result.same, str(result)
    assert result.counters == {"": parent.counters}
    del told[2]
    assert not rerun([*parent.records[:-1], *told]).same
    adopted = [attrs.evolve(each, event=attrs.evolve(each.event, request=9)) for each in told[:1]]
    assert rerun([*parent.records, *adopted]).same


def test_children_may_have_loops_of_their_own() -> None:
    parent, child = Server(), Server()
    child.come()
    child.stop()
    told = [attrs.evolve(each, process=4711) for each in child.records[1:]]
    result = rerun([*parent.records, *told])
    assert result.same, str(result)
    assert (result.requests, result.counters) == (1, {"": parent.counters})


def test_only_so_many_differences_are_kept() -> None:
    server = Server()
    event = TraceEvent(0.0, TraceKind.STATE, 0, "LEAVE", "NOWHERE")
    result = rerun([*server.records, *150 * [Record(event)]])
    assert (len(result.divergences), result.differing) == (100, 299)
    assert str(result).endswith("\nand 199 more")
