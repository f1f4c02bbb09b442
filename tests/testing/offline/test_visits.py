"""What came to a server while it was recorded, and how long it stayed."""

from __future__ import annotations

import math

import pytest

from sansio_server.testing.offline.visits import Visit, history
from sansio_server.testing.recording.format import CONTINUES, Record
from sansio_server.trace import TraceEvent, TraceKind
from tests.testing.traces import Server, three_at_once


def test_visits_last_from_accept_to_close() -> None:
    server = three_at_once(max_connections=3, when_full="shed", request_timeout=20.0)
    server.come(1.0)
    server.turn(25.0)
    server.come()
    past = history(server.records)
    assert (past.begins, past.ends) == (0.0, 39.0)
    assert past.visits == (
        Visit(1, 1.0, 10.0),
        Visit(2, 2.0, 10.0),
        Visit(3, 3.0, 10.0),
        Visit(4, 14.0, math.inf, "cut"),
        Visit(5, 39.0, math.inf, "open"),
    )
    assert past.usual == 10.0


def test_who_was_shed_is_known() -> None:
    server = Server(max_connections=1, when_full="shed")
    server.come()
    server.come()
    assert [visit.fate for visit in history(server.records).visits] == ["open", "shed"]


def test_who_was_open_before_is_there() -> None:
    server = three_at_once()
    server.come()
    server.come()
    [place, _] = server._ledger
    place.cut = True
    standing = server._standing()
    begin = TraceEvent(20.0, TraceKind.BEGIN, 0, CONTINUES, standing)
    server.events.clear()
    server.end(5, 10.0)
    past = history([Record(begin), *server.records])
    assert past.visits == (
        Visit(4, 13.0, math.inf, "cut"),
        Visit(5, 13.0, 10.0, "served"),
    )


def test_the_first_request_is_not_counted_twice() -> None:
    server = Server()
    server.events.clear()
    server._traced = None
    server.come()
    assert [each.number for each in history(server.records).visits] == [1]
    assert history(server.records[:1]).visits[0].fate == "open"


@pytest.mark.parametrize("name", ["", "web"])
def test_it_begins_with_how_the_server_stood(name: str) -> None:
    with pytest.raises(ValueError, match="does not begin with how the server stood"):
        history(Server().records[1:], name)
