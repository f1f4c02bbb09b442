"""What other limits would have done."""

from __future__ import annotations

import errno
import math

import attrs
import pytest

from sansio_server.lifecycle import Event
from sansio_server.testing.offline.visits import history
from sansio_server.testing.offline.what_if import Cut, DrainOutcome, project, what_if
from sansio_server.trace import TraceKind
from tests.testing.traces import Server, happen, three_at_once


def test_the_same_limits_do_the_same() -> None:
    projections, notes = what_if(three_at_once().records)
    [recorded] = projections
    assert (recorded.came, recorded.served, recorded.peak) == (3, 3, (3, 3.0))
    assert (recorded.shed, recorded.waited, recorded.cut) == ((), (), ())
    assert (recorded.longest_wait, recorded.usual_wait, recorded.name) == (0.0, 0.0, "as recorded")
    assert notes == ["each request lasts as long as it did, and came when it was accepted"]


def test_fewer_at_once_have_to_wait() -> None:
    server = three_at_once()
    server.come(100.0)
    result = project(history(server.records), max_connections=1)
    assert result.waited == ((2, 9.0), (3, 18.0))
    assert (result.longest_wait, result.usual_wait) == (18.0, 13.5)
    assert (result.peak, result.queue, result.still_waiting) == ((1, 1.0), (2, 3.0), 0)
    assert result.name == "max_connections=1"


def test_the_recording_may_end_before_they_are_let_in() -> None:
    result = project(history(three_at_once().records), max_connections=1)
    assert (result.waited, result.still_waiting, result.served) == (((2, 9.0),), 1, 2)


def test_or_they_are_shed() -> None:
    result = project(history(three_at_once().records), max_connections=1, when_full="shed")
    assert (result.served, result.shed) == (1, ((2, 2.0), (3, 3.0)))
    assert (result.waited, result.queue) == ((), (0, 0.0))


def test_a_shorter_timeout_cuts() -> None:
    result = project(history(three_at_once().records), request_timeout=9.5)
    assert result.cut == tuple(Cut(number, number + 9.5, "request_timeout") for number in (1, 2, 3))


def test_who_was_shed_is_served_as_long_as_is_usual() -> None:
    server = three_at_once(max_connections=3, when_full="shed")
    server.come()
    server.max_connections = 1
    server.come()
    server.end(4, 20.0)
    projections, notes = what_if(server.records, {"max_connections": 9})
    assert [len(each.shed) for each in projections] == [1, 0]
    assert projections[1].peak == (3, 3.0)
    assert any("1 were shed: had they been served, each would have lasted 10.0" in n for n in notes)


def test_limits_that_changed_change_again() -> None:
    server = Server()
    server.come(1.0)
    server.max_connections, server.when_full = 1, "shed"
    server.come(1.0)
    server.end(1, 1.0)
    result = project(history(server.records))
    assert result.shed == ((2, 2.0),)
    assert project(history(server.records), max_connections=2).shed == ()


def test_pauses_are_made_again() -> None:
    server = Server()
    server.fail(OSError(errno.EMFILE, "full"))
    server.come(0.5)
    result = project(history(server.records))
    assert (result.pauses, result.served) == (1, 1)
    server.time = 0.0
    server.come(0.05)
    server.turn(1.0)
    happen(server, Event.SUSPEND)
    result = project(history(server.records))
    assert [number for number, _ in result.waited] == [2]


def test_who_comes_while_the_server_is_suspended_waits() -> None:
    server = Server()
    happen(server, Event.SUSPEND)
    server.come(1.0)
    server.time = 3.0
    happen(server, Event.RESUME)
    assert project(history(server.records)).waited == ((1, 2.0),)


def test_a_server_that_stops_and_serves_again() -> None:
    server = Server()
    server.stop()
    server.come(1.0)
    server.time = 3.0
    happen(server, Event.SERVE)
    happen(server, Event.SERVE)
    server.turn(1.0)
    happen(server, Event.LEAVE)
    assert project(history(server.records)).waited == ((1, 2.0),)


def draining() -> Server:
    """One that ends 1 s after the stop, one after 2, and a drain for both."""
    server = Server()
    server.come(1.0)
    server.come()
    server.stop()
    server.drain(None)
    return server


def test_a_drain_goes_as_it_went() -> None:
    assert project(history(draining().records)).drains == (DrainOutcome(1.0, 2.0, 2, 0),)


def test_a_drain_with_less_time_cuts() -> None:
    result = project(history(draining().records), drain_timeout=1.5)
    assert result.drains == (DrainOutcome(1.0, 1.5, 1, 1),)
    assert result.cut == (Cut(2, 2.5, "drain"),)


def test_a_stop_without_a_drain_has_one_if_that_is_asked() -> None:
    server = Server()
    server.come(1.0)
    server.come()
    server.stop()
    server.end(1, 5.0)
    assert project(history(server.records)).drains == ()
    assert project(history(server.records), drain_timeout=2.0).drains == (
        DrainOutcome(1.0, 2.0, 0, 2),
    )


def test_a_drain_whose_end_was_not_recorded_is_not_known() -> None:
    server = draining()
    begun = next(n for n, each in enumerate(server.events) if each.kind is TraceKind.DRAIN)
    result = project(history(server.records[: begun + 1]))
    assert [each.seconds for each in result.drains] == [math.inf]
    assert result.drains[0].finished == 0


def test_a_drain_of_one_that_serves_on_is_none() -> None:
    server = Server()
    server.come()
    server.drain(0.0)
    assert project(history(server.records)).drains == ()


# What is to be known.


def test_it_is_told_what_is_not_known() -> None:
    server = Server(max_connections=1, request_timeout=1.0)
    server.come()
    server._plan(math.inf)
    server.turn(1.0)
    server.come()
    _, notes = what_if(server.records)
    assert [note.partition(":")[0] for note in notes[1:]] == [
        "the server was full 1 times",
        "2 were cut, or open at the end",
    ]


def test_it_is_told_where_the_model_is_wrong() -> None:
    server = Server(request_timeout=1.0)
    server.come()
    server.come()
    [first, _] = server._ledger
    server._cut(first, "whim")
    _, notes = what_if(server.records)
    assert notes[-1] == "1 were cut in fact; this model has 0"


def test_a_limit_that_there_is_not_is_refused() -> None:
    with pytest.raises(TypeError, match="there is no limit 'speed'; there are max_connections, "):
        what_if(Server().records, {"speed": 9})
    with pytest.raises(ValueError, match="max_connections must be 1 or more"):
        what_if(Server().records, {"max_connections": 0})


def test_several_servers_are_asked_about_one_by_one() -> None:
    records = [
        attrs.evolve(each, server=name)
        for name, server in (("web", three_at_once()), ("api", Server()))
        for each in server.records
    ]
    for name, came in (("web", 3), ("api", 0)):
        assert what_if(records, server=name)[0][0].came == came
