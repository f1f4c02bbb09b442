"""Threads tell of things a little late, and are believed; much later they are not."""

from __future__ import annotations

import math
from collections.abc import Callable

import attrs
import pytest

from sansio_server.lifecycle import Event
from sansio_server.testing.offline.rerun import rerun
from sansio_server.testing.recording.format import (
    Record,
)
from tests.testing.traces import Server, happen


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
