"""What a loop is told between two requests: whether to accept, how long to sleep, whom to cut."""

from __future__ import annotations

import errno
import logging
import math
from types import SimpleNamespace
from typing import Any

import pytest

from sansio_server.ledger import Counters, Place
from sansio_server.lifecycle import REGIONS, Event, State
from sansio_server.limits import Admission
from sansio_server.request import Step
from sansio_server.serving import SWEEP_INTERVAL, Plan
from sansio_server.trace import TraceKind

from .memory import Failure, MemoryServer, Request

FULL = OSError(errno.EMFILE, "too many open files")
LOST = OSError(errno.ECONNABORTED, "aborted")
DEAD = OSError(errno.EBADF, "bad descriptor")


def with_requests(count: int, **attributes: Any) -> MemoryServer:
    """A server that has so many open requests, numbered keys, and a worker at each."""
    server = MemoryServer(**attributes)
    for key in range(count):
        server._ledger.take(key, f"client {key}", server._now(), server.request_timeout)
    for place in server._ledger:
        place.worker = "worker"
    return server


# Running and suspending.


def test_a_loop_goes_on_while_the_server_runs() -> None:
    server = MemoryServer()
    assert not server._is_running()
    server._happened(Event.SERVE)
    assert server._is_running()
    server._happened(Event.SHUTDOWN)
    assert not server._is_running()


def test_suspended_means_neither_accept_nor_listen() -> None:
    server = MemoryServer()
    server.suspend()
    assert server.suspended()
    assert server._admission() is Admission.WAIT
    assert server._plan(5.0) == Plan(listen=False, until=5.0)
    server.resume()
    assert not server.suspended()
    assert server._admission() is Admission.ACCEPT
    assert server._plan(5.0) == Plan(listen=True, until=5.0)


@pytest.mark.parametrize(
    ("own", "sockets", "expected"),
    [(None, None, math.inf), (2.0, None, 2.0), (None, 3.0, 3.0), (2.0, 3.0, 2.0), (3.0, 0.0, 0.0)],
)
def test_one_request_is_waited_for_as_long_as_both_time_limits_allow(
    own: float | None, sockets: float | None, expected: float
) -> None:
    alone = MemoryServer(timeout=own)
    assert alone._request_wait() == (math.inf if own is None else own)
    with_socket = MemoryServer(timeout=own, socket=SimpleNamespace(gettimeout=lambda: sockets))
    assert with_socket._request_wait() == expected


def test_turns_are_needed_if_there_is_something_to_do_in_them() -> None:
    class Busy(MemoryServer):
        def service_actions(self) -> None:
            """Something to do."""

    assert not MemoryServer()._needs_turns()
    assert Busy()._needs_turns()
    server = MemoryServer()
    server.service_actions = lambda: None  # type: ignore[method-assign]
    assert server._needs_turns()


# Limits.


def test_a_full_server_waits_or_sheds() -> None:
    assert with_requests(1, max_connections=2)._admission() is Admission.ACCEPT
    assert with_requests(2, max_connections=2)._admission() is Admission.WAIT
    assert with_requests(2, max_connections=2, when_full="shed")._admission() is Admission.SHED


def test_a_full_server_that_waits_does_not_listen_and_one_that_sheds_does() -> None:
    assert not with_requests(1, max_connections=1)._plan(math.inf).listen
    assert with_requests(1, max_connections=1, when_full="shed")._plan(math.inf).listen


def test_what_comes_in_while_there_is_room_is_asked_about() -> None:
    server = with_requests(1, max_connections=2)
    assert server._came_in() is Step.VERIFY
    assert server.counters == Counters(accepted=1)


def test_what_comes_in_beyond_the_limit_is_shed() -> None:
    server = with_requests(2, max_connections=2, when_full="shed")
    events = server.traced()
    assert server._came_in() is Step.SHED
    assert server.counters == Counters(accepted=2, shed=1)
    assert [(event.kind, event.what) for event in events] == [(TraceKind.OVERLOAD, "shed")]


def test_a_backend_may_know_a_limit_of_its_own() -> None:
    class Server(MemoryServer):
        _bounded = True

        def _capacity(self) -> int:
            return 1

    server = Server()
    assert server._admission() is Admission.ACCEPT
    server._ledger.take("key", "client", 0.0)
    assert server._admission() is Admission.WAIT


# Accepting that fails.


def test_a_full_machine_is_left_alone_for_a_while() -> None:
    server = MemoryServer(time=10.0)
    server._accept_failed(FULL)
    assert server._admission() is Admission.WAIT
    assert server._plan(math.inf) == Plan(listen=False, until=10.1)
    assert server._plan(10.05).until == 10.05
    server.time = 10.1
    assert server._admission() is Admission.ACCEPT
    assert server._plan(math.inf) == Plan(listen=True, until=math.inf)


def test_a_while_that_is_over_ends_no_sleep_of_a_suspended_server() -> None:
    server = MemoryServer()
    server._accept_failed(FULL)
    server.suspend()
    assert server._plan(math.inf).until == server.time + 0.1
    server.time += 0.1
    assert server._plan(math.inf) == Plan(listen=False, until=math.inf)


def test_each_failure_makes_the_while_longer_until_a_request_comes_in() -> None:
    server = MemoryServer()
    for delay in (0.1, 0.2, 0.4, 0.8, 1.0, 1.0):
        server._accept_failed(FULL)
        assert server._plan(math.inf).until == server.time + delay
        server.time += delay
    assert server._came_in() is Step.VERIFY
    server._accept_failed(FULL)
    assert server._plan(math.inf).until == server.time + 0.1
    assert server.counters == Counters(capacity_errors=7)


def test_an_episode_is_logged_once_at_each_end(caplog: pytest.LogCaptureFixture) -> None:
    server = MemoryServer()
    with caplog.at_level(logging.INFO, "sansio_server"):
        for _ in range(5):
            server._accept_failed(FULL)
        server._came_in()
        server._came_in()
    first, last = (record.getMessage() for record in caplog.records)
    assert first.startswith("MemoryServer on 'memory' cannot accept, and waits until it can: ")
    assert "too many open files" in first
    assert last == "MemoryServer on 'memory' accepts again"


def test_a_lost_connection_is_counted_and_no_more(caplog: pytest.LogCaptureFixture) -> None:
    server = MemoryServer()
    events = server.traced()
    server._accept_failed(LOST)
    assert server._admission() is Admission.ACCEPT
    assert server.counters == Counters(connection_errors=1)
    assert [(e.kind, e.what, e.detail) for e in events] == [
        (TraceKind.OVERLOAD, "connection-error", LOST)
    ]
    assert caplog.records == []


def test_a_full_machine_is_told_of_to_the_trace() -> None:
    server = MemoryServer()
    events = server.traced()
    server._accept_failed(FULL)
    assert [(e.kind, e.what, e.detail) for e in events] == [(TraceKind.OVERLOAD, "capacity", FULL)]


def test_whoever_sleeps_without_room_is_to_be_told_of_it() -> None:
    server = with_requests(1, max_connections=1)
    sleep = server._sleeping("loop", 5.0)
    with sleep as plan:
        assert plan == Plan(listen=False, until=5.0)
        assert server._awaiting == {"loop"}
    assert server._awaiting == set()


def test_whoever_has_room_need_not_be_told() -> None:
    server = MemoryServer()
    with server._sleeping("loop", 5.0) as plan:
        assert plan.listen
        assert server._awaiting == set()


def test_room_that_comes_while_it_is_looked_for_is_told_of() -> None:
    class Coming(MemoryServer):
        def _plan(self, until: float) -> Plan:
            told.append(set(self._awaiting))
            return super()._plan(until)

    told: list[set[Any]] = []
    with Coming()._sleeping("loop", 5.0):
        assert told == [{"loop"}]


def test_a_sleep_that_ends_or_begins_with_an_error_is_over() -> None:
    class Broken(MemoryServer):
        def _plan(self, until: float) -> Plan:
            raise Failure

    server = Broken()
    with pytest.raises(Failure), server._sleeping("loop", 5.0):
        raise AssertionError("there is no plan")
    assert server._awaiting == set()
    server = with_requests(1, max_connections=1)  # type: ignore[assignment]
    with pytest.raises(Failure), server._sleeping("loop", 5.0):
        raise Failure
    assert server._awaiting == set()


def test_the_trace_is_told_why_nobody_is_listened_for() -> None:
    server = with_requests(1, max_connections=1)
    events = server.traced()
    server._plan(math.inf)
    server._accept_failed(FULL)
    server._plan(math.inf)
    server.suspend()
    server._plan(math.inf)
    server.max_connections = None
    server.resume()
    server.time = 1.0
    assert server._plan(math.inf).listen
    assert [(e.what, e.detail) for e in events if e.kind is TraceKind.WAIT] == [
        ("full", 1),
        ("back-off", 1),
        ("suspended", 1),
    ]


def test_the_trace_is_told_of_a_dead_listener() -> None:
    server = DeadListener()
    events = server.traced()
    with pytest.raises(OSError, match="bad descriptor"):
        server._accept_failed(DEAD)
    assert [(e.kind, e.what, e.detail) for e in events] == [(TraceKind.OVERLOAD, "fatal", DEAD)]


def test_nobody_there_is_nothing_to_note() -> None:
    server = MemoryServer()
    events = server.traced()
    server._accept_failed(BlockingIOError(errno.EAGAIN, "nobody"))
    assert server.counters == Counters()
    assert events == []


class DeadListener(MemoryServer):
    def _listener_is_dead(self) -> bool:
        return True


def test_a_dead_listener_ends_the_loop() -> None:
    with pytest.raises(OSError, match="bad descriptor") as caught:
        DeadListener()._accept_failed(DEAD)
    assert caught.value is DEAD


def test_a_listener_that_was_closed_on_purpose_does_not() -> None:
    server = DeadListener()
    server._happened(Event.CLOSE)
    server._accept_failed(DEAD)
    assert server.counters == Counters()


def test_the_errno_of_a_dead_listener_is_believed_only_if_it_is_dead() -> None:
    server = MemoryServer()
    server._accept_failed(DEAD)
    assert server.counters == Counters(connection_errors=1)


# Standing as another server did.


def test_a_server_can_stand_as_another_did() -> None:
    server = with_requests(2, time=10.0, request_timeout=2.0)
    server.suspend()
    server._accept_failed(FULL)
    for place in server._ledger:
        server._cut(place, "request_timeout")
    server._happened(Event.SERVE)
    other = MemoryServer(request_timeout=2.0)
    standing = server._standing()
    assert standing is not None
    other._stand(standing)
    assert other._standing() == standing


# Requests that last too long.


class Interrupting(MemoryServer):
    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.interrupted: list[Any] = []

    def _interrupt(self, request: Any) -> None:
        self.interrupted.append(request)


def test_the_first_deadline_ends_the_sleep() -> None:
    server = with_requests(2, time=10.0, request_timeout=2.0)
    assert server._plan(math.inf).until == 12.0
    assert server._plan(11.0).until == 11.0


def test_what_is_overdue_is_cut_once() -> None:
    server = Interrupting(time=10.0, request_timeout=2.0)
    places = [server._ledger.take(key, "client", server._now(), 2.0) for key in "ab"]
    places[0].request = "in hand"
    events = server.traced()
    server.time = 11.9
    server._attend()
    assert not any(place.cut for place in places)
    server.time = 12.0
    server._attend()
    server._attend()
    assert all(place.cut for place in places)
    assert server.interrupted == ["in hand"]
    assert server.counters == Counters(accepted=2, cut=2)
    assert [(e.kind, e.request, e.detail) for e in events] == [
        (TraceKind.CUT, 1, "request_timeout"),
        (TraceKind.CUT, 2, "request_timeout"),
    ]
    assert server._plan(math.inf).until == math.inf


def test_cutting_closes_nothing_by_itself() -> None:
    server = MemoryServer(request_timeout=2.0)
    place = server._ledger.take("key", "client", 0.0, 2.0)
    place.request = Request()
    server.time = 2.0
    server._attend()
    assert place.cut
    assert place.open


# Telling handlers of a stop.


class Ending(MemoryServer):
    """Notes whose input it has ended; the key of a request is itself."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.ended: list[str] = []

    def _request_key(self, request: Any) -> Any:
        return request

    def _end_input(self, request: Any) -> None:
        self.ended.append(request)

    def take(self, request: str) -> Place:
        place = self._ledger.take(request, "client", 0.0)
        place.request = request
        return place


def test_a_stop_ends_the_input_of_those_who_ask_for_it() -> None:
    server = Ending()
    server.take("a")
    server.take("b")
    server.end_input_at_stop("b")
    assert server.ended == []
    server._show_stop()
    assert server.ended == ["b"]


def test_who_asks_after_the_stop_is_told_at_once() -> None:
    server = Ending()
    server.take("a")
    server._show_stop()
    assert server.ended == []
    server.end_input_at_stop("a")
    assert server.ended == ["a"]


@pytest.mark.parametrize("loop", list(REGIONS["loop"]))
def test_who_came_in_during_a_stop_is_told_as_soon_as_it_asks(loop: State) -> None:
    server = Ending()
    server._lifecycle.loop = loop
    server.take("a")
    server.end_input_at_stop("a")
    assert server.ended == (["a"] if loop in (State.STOPPING, State.STOP_KEPT) else [])


def test_whose_request_is_in_nobodys_hands_has_no_input_to_end() -> None:
    server = Ending()
    server.take("a").request = None
    server.end_input_at_stop("a")
    server._show_stop()
    assert server.ended == []


def test_who_has_no_place_asks_in_vain() -> None:
    server = Ending()
    server.end_input_at_stop("a")
    server._show_stop()
    assert server.ended == []


def test_a_backend_may_know_no_way_to_end_an_input() -> None:
    server = MemoryServer()
    request = Request()
    server._ledger.take(server._request_key(request), "client", 0.0).request = request
    server.end_input_at_stop(request)
    server._show_stop()
    assert request.closed == 0


# Requests that an override closed where nobody saw it.


class Sweeping(MemoryServer):
    gone = ""

    def _is_gone(self, place: Place) -> bool:
        return str(place.key) in self.gone


def full_of(keys: str) -> Sweeping:
    server = Sweeping(time=10.0, max_connections=len(keys))
    for key in keys:
        server._ledger.take(key, "client", 0.0)
    return server


def test_a_full_server_looks_now_and_then_for_requests_that_are_gone() -> None:
    server = full_of("ab")
    assert server._plan(math.inf) == Plan(listen=False, until=10.0 + SWEEP_INTERVAL)
    server.gone = "a"
    server.time += SWEEP_INTERVAL / 2
    assert server._plan(math.inf).until == 10.0 + SWEEP_INTERVAL
    assert len(server._ledger) == 2
    server.time += SWEEP_INTERVAL / 2
    assert server._plan(math.inf).until == 10.0 + 2 * SWEEP_INTERVAL
    assert [place.key for place in server._ledger] == ["b"]
    assert server._plan(math.inf) == Plan(listen=True, until=math.inf)


def test_requests_in_somebodys_hands_are_not_looked_for() -> None:
    server = full_of("ab")
    server.gone = "ab"
    for place in server._ledger:
        place.worker = "worker"
    assert server._plan(math.inf) == Plan(listen=False, until=math.inf)
    assert len(server._ledger) == 2


def test_by_default_no_request_is_known_to_be_gone() -> None:
    server = MemoryServer(max_connections=1)
    server._ledger.take("key", "client", 0.0)
    assert server._plan(math.inf) == Plan(listen=False, until=SWEEP_INTERVAL)
    assert len(server._ledger) == 1


def test_a_server_with_room_does_not_look() -> None:
    server = full_of("ab")
    server.max_connections = 3
    server.gone = "ab"
    assert server._plan(math.inf) == Plan(listen=True, until=math.inf)
    assert len(server._ledger) == 2


def test_a_request_is_observed_only_by_a_backend_that_can() -> None:
    request = Request()
    assert MemoryServer()._observed(request) is request


def test_a_listener_is_alive_unless_a_backend_sees_otherwise() -> None:
    server = MemoryServer()
    assert server._lifecycle.listener is State.NEW
    server._accept_failed(DEAD)
