"""What a trace is told of drains."""

from __future__ import annotations

import math

from sansio_server.trace import DrainProgress, TraceEvent, TraceKind

from .test_draining import DrainingServer


def told(server: DrainingServer, timeout: float | None) -> list[TraceEvent]:
    events = server.traced()
    server.run(timeout)
    return [event for event in events if event.kind is TraceKind.DRAIN]


def test_a_drain_tells_what_it_was_told_and_what_it_decided() -> None:
    server = DrainingServer({"a": 1.0, "b": math.inf, "c": math.inf}, yields="b", cut_timeout=2.0)
    events = told(server, 3.0)
    assert [(event.time, event.what, event.detail) for event in events] == [
        (0.0, "begin", DrainProgress(1, (1, 2, 3), timeout=3.0)),
        (0.0, "step", DrainProgress(1, (), until=3.0)),
        (1.0, "step", DrainProgress(1, (1,), until=3.0)),
        (3.0, "step", DrainProgress(1, (), cut=(2, 3), until=5.0)),
        (5.0, "step", DrainProgress(1, (2,))),
        (5.0, "end", DrainProgress(1, (3,), cut=(2, 3))),
    ]


def test_each_drain_has_a_number() -> None:
    server = DrainingServer({})
    for number in (1, 2):
        assert {event.detail.drain for event in told(server, None)} == {number}


def test_without_a_trace_nothing_is_made_for_it() -> None:
    server = DrainingServer({"a": 1.0})
    server.run(None)
    assert next(server._drain_numbers) == 1
