"""Who is let in, who waits and who is shed is decided as it was, and what differs is found."""

from __future__ import annotations

import errno
import math

import attrs
import pytest

from sansio_server.lifecycle import Event
from sansio_server.testing.offline.rerun import rerun
from sansio_server.testing.recording.format import (
    Record,
    RecordedError,
)
from sansio_server.trace import TraceKind
from tests.testing.traces import Server, happen, through_a_file


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
