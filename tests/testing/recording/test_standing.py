from __future__ import annotations

import errno

from sansio_server.lifecycle import Event
from sansio_server.testing.recording.standing import Follower
from sansio_server.trace import TraceEvent, TraceKind
from tests.testing.traces import Server, happen


def check(server: Server, *leave_out: str) -> None:
    """Follow the server's trace; what is learned is how it stands."""
    follower = Follower()
    for event in server.events:
        if event.what not in leave_out:
            follower.follow(event)
    assert follower.standing() == server._standing()


def test_nothing_is_known_before_the_beginning() -> None:
    follower = Follower()
    follower.follow(TraceEvent(0.0, TraceKind.STATE, 0, "SERVE", "SERVING"))
    assert follower.standing() is None


def test_requests_and_limits_are_followed() -> None:
    server = Server(max_connections=3, request_timeout=5.0)
    check(server)
    server.come()
    server.come(1.0)
    check(server)
    server.request_timeout = None
    server.come(1.0)
    server.end(2)
    check(server)
    server.turn(4.0)
    check(server)


def test_a_request_that_is_told_of_twice_is_there_once() -> None:
    server = Server()
    server.come()
    server.events.clear()
    server._traced = None
    server.come()
    check(server)


def test_states_are_followed() -> None:
    server = Server()
    happen(server, Event.SUSPEND)
    check(server)
    happen(server, Event.SHUTDOWN)
    happen(server, Event.LEAVE)
    check(server)


def test_what_cannot_be_is_not_believed() -> None:
    server = Server()
    server._emit(TraceKind.STATE, 0, "DEADLINE", "SERVING")
    server._emit(TraceKind.STATE, 0, "NONSENSE", "SERVING")
    server._emit(TraceKind.CUT, 17, "cut", "drain")
    check(server)


def test_pauses_are_followed() -> None:
    server = Server()
    server.fail(OSError(errno.ECONNABORTED, "lost"))
    server.fail(OSError(errno.EMFILE, "full"))
    server.time += 0.1
    server.fail(OSError(errno.EMFILE, "full"))
    check(server)
    server.come(1.0)
    check(server)
