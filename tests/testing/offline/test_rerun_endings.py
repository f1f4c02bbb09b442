"""The life of a server and its end are decided as they were: states, cuts, drains."""

from __future__ import annotations

import attrs
import pytest

from sansio_server.testing.offline.rerun import rerun
from sansio_server.testing.recording.format import (
    Record,
)
from sansio_server.trace import TraceEvent, TraceKind
from tests.testing.traces import Server, through_a_file


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
