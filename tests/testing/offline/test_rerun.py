"""Where a recording begins and ends, and of which processes it is."""

from __future__ import annotations

import math

import attrs
import pytest

from sansio_server.lifecycle import Event
from sansio_server.request import Outcome, Step
from sansio_server.testing.offline.rerun import rerun
from sansio_server.testing.recording.format import (
    CONTINUES,
    Record,
)
from sansio_server.trace import TraceEvent, TraceKind
from tests.testing.traces import Server, happen


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
