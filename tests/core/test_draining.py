"""Ending the requests of a server, with waiting and endings as a test says."""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Iterable
from contextlib import suppress
from typing import Any

import pytest

from sansio_server.drain import DrainReport, Straggler
from sansio_server.draining import BlockingDraining, Draining
from sansio_server.driver import run_blocking
from sansio_server.ledger import Place
from sansio_server.lifecycle import State
from sansio_server.trace import TraceKind

from .memory import MemoryServer, Pause, run_suspending


class DrainingServer(Draining, MemoryServer):
    """Each wait lasts as long as it may, unless a request ends before.

    :ivar ends: when the request of a client ends by itself; by the client's address.
    :ivar yields: which of them end as soon as they are cut.
    :ivar waits: until when each wait was to last.
    """

    def __init__(self, ends: dict[str, float], yields: str = "", **attributes: Any) -> None:
        super().__init__(**attributes)
        self.ends = ends
        self.yields = yields
        self.waits: list[float] = []
        self.abandoned: list[Any] = []
        for client in ends:
            place = self._ledger.take(client, client, self._now(), self.request_timeout)
            place.worker = "worker"

    def run(self, timeout: float | None) -> DrainReport:
        return run_blocking(self._end_requests(self._ledger, timeout))

    def _where(self, place: Place) -> str:
        return f"at {place.client_address}"

    def _end_early(self, place: Place) -> None:
        if place.client_address in self.yields:
            place.worker = None

    def _abandon(self, place: Place) -> None:
        self.abandoned.append(place.client_address)

    def _wait_for_end(self, places: Iterable[Place], until: float) -> Awaitable[object] | None:
        self.waits.append(until)
        going = [place for place in places if self._goes_on(place)]
        if not going:
            return None
        self.time = min([until, *(self.ends[place.client_address] for place in going)])
        assert self.time < math.inf, "nothing would end this wait"
        for place in going:
            if self.ends[place.client_address] <= self.time:
                place.worker = None
        return None


def test_nobody_is_waited_for_where_nobody_is() -> None:
    server = DrainingServer({})
    assert server.run(None) == DrainReport((), (), 0.0)
    assert (server.waits, server._lifecycle.drain) == ([], State.DRAINED)


def test_those_who_end_by_themselves_are_waited_for() -> None:
    server = DrainingServer({"a": 3.0, "b": 1.0})
    assert server.run(None) == DrainReport(("a", "b"), (), 3.0)
    assert server.waits == [math.inf, math.inf]
    assert server.counters.cut == 0


def test_those_left_are_cut_told_of_and_abandoned(caplog: pytest.LogCaptureFixture) -> None:
    server = DrainingServer({"a": 1.0, "b": math.inf, "c": math.inf}, yields="b", cut_timeout=2.0)
    report = server.run(10.0)
    yielded, left = Straggler(2, "b", "at b", ended=True), Straggler(3, "c", "at c", ended=False)
    assert report == DrainReport(("a",), (yielded, left), 12.0)
    assert (server.waits, server.abandoned) == ([10.0, 10.0, 12.0], ["c"])
    assert server._lifecycle.drain is State.ABANDONED
    [record] = caplog.records
    assert (record.name, record.levelno) == ("sansio_server", logging.WARNING)
    assert str(report) in record.getMessage()


@pytest.mark.parametrize(("yields", "told"), [("a", 0), ("", 1)])
def test_where_a_cut_was_to_be_expected_the_log_is_told_of_those_left_alone(
    yields: str, told: int, caplog: pytest.LogCaptureFixture
) -> None:
    server = DrainingServer({"a": math.inf}, yields=yields)
    report = run_blocking(server._end_requests(server._ledger, 0.0, quietly=True))
    assert len(report.cut) == 1
    assert len(caplog.records) == told


def test_who_was_cut_before_is_cut_again_but_counted_once() -> None:
    server = DrainingServer({"a": 9.0}, request_timeout=1.0)
    again: list[Any] = []
    server._end_early = again.append  # type: ignore[method-assign, assignment]
    events = server.traced()
    assert len(server.run(2.0).cut) == 1
    assert len(again) == 2
    assert server.counters.cut == 1
    assert [event.detail for event in events if event.kind is TraceKind.CUT] == ["request_timeout"]


def test_all_are_looked_at_before_the_first_is_cut() -> None:
    server = DrainingServer({"a": math.inf, "b": math.inf}, yields="ab")
    server._where = lambda place: f"{server.counters.cut} cut"  # type: ignore[method-assign]
    assert [straggler.where for straggler in server.run(0.0).cut] == ["0 cut", "0 cut"]


def test_requests_that_become_overdue_meanwhile_are_cut() -> None:
    server = DrainingServer({"a": math.inf, "b": 7.0}, yields="a", request_timeout=5.0)
    events = server.traced()
    # Nobody was cut by the drain.
    assert server.run(None) == DrainReport(("a", "b"), (), 7.0)
    assert server.waits == [5.0, math.inf]
    cut = [(event.time, event.detail) for event in events if event.kind is TraceKind.CUT]
    assert cut == [(5.0, "request_timeout"), (5.0, "request_timeout")]


def test_a_second_drain_takes_its_own_course() -> None:
    server = DrainingServer({"a": 1.0})
    reports: list[DrainReport] = []
    wait = server._wait_for_end

    def wait_and_drain(places: Iterable[Place], until: float) -> Awaitable[object] | None:
        if len(server._drains) == 1:
            reports.append(server.run(None))
            assert server._lifecycle.drain is State.GRACE
        return wait(places, until)

    server._wait_for_end = wait_and_drain  # type: ignore[method-assign]
    assert server.run(None) == DrainReport(("a",), (), 1.0)
    assert reports == [DrainReport(("a",), (), 1.0)]
    assert server._lifecycle.drain is State.DRAINED
    assert server._drains == []


def test_a_backend_may_await_its_waiting() -> None:
    server = DrainingServer({"a": 3.0, "b": 1.0})
    wait = server._wait_for_end

    async def suspend(places: Iterable[Place], until: float) -> None:
        await Pause()
        wait(places, until)

    server._wait_for_end = suspend  # type: ignore[method-assign]
    report, pauses = run_suspending(server._end_requests(server._ledger, None))
    assert (report, pauses) == (DrainReport(("a", "b"), (), 3.0), 2)


def test_a_drain_that_is_given_up_is_over() -> None:
    server = DrainingServer({"a": 1.0})

    async def suspend(places: Iterable[Place], until: float) -> None:
        await Pause()

    server._wait_for_end = suspend  # type: ignore[method-assign]
    drain = server._end_requests(server._ledger, None)
    drain.send(None)
    drain.close()
    assert server._drains == []


def test_the_time_is_checked() -> None:
    with pytest.raises(ValueError, match="drain_timeout must be 0 seconds or more"):
        DrainingServer({"a": 1.0}).run(-1.0)


def test_what_a_backend_does_not_say() -> None:
    class Bare(Draining, MemoryServer):
        pass

    server = Bare()
    place = server._ledger.take("a", "a", 0.0)
    assert not server._goes_on(place)
    place.worker = "worker"
    assert server._goes_on(place)
    assert server._where(place) == ""
    server._abandon(place)
    with pytest.raises(NotImplementedError):
        run_blocking(server._end_requests([place], None))


class BlockingServer(BlockingDraining, MemoryServer):
    """The caller is "me"; "thread" goes on until its wait is over, "loop" until its request is.

    :ivar told: what was to be told of places that become free, during each wait.
    """

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.told: list[set[Any]] = []

    def take(self, client: str, worker: str | None) -> Place:
        place = self._ledger.take(client, client, self._now())
        place.worker = worker
        return place

    def _is_mine(self, place: Place) -> bool:
        return bool(place.worker == "me")

    def _is_dedicated(self, worker: object) -> bool:
        return worker == "thread"

    def _wait_for_end(self, places: Iterable[Place], until: float) -> None:
        self.told.append(set(self._awaiting))
        self.time += 1.0
        next(place for place in places if self._goes_on(place)).worker = None


def test_a_blocking_drain_waits_for_all_who_are_served_but_by_the_caller() -> None:
    server = BlockingServer()
    server.take("a", "loop")
    server.take("b", "me")
    server.take("c", None)
    server.take("d", "thread")
    report = server.drain()
    assert report == DrainReport(("a", "d"), (), 2.0)
    assert server.drain_report is report


def test_a_blocking_drain_is_told_of_places_that_become_free() -> None:
    server = BlockingServer()
    server.take("a", "loop")
    server.drain()
    assert [len(drains) for drains in server.told] == [1]
    assert server._awaiting == set()


def test_who_is_dedicated_to_a_request_goes_on_after_its_close() -> None:
    server = BlockingServer()
    loop, thread = server.take("a", "loop"), server.take("b", "thread")
    for place in (loop, thread):
        server._ledger.give_back(place)
    assert not server._goes_on(loop)
    assert server._goes_on(thread)


def test_what_a_backend_that_blocks_does_not_say() -> None:
    class Bare(BlockingDraining, MemoryServer):
        pass

    server = Bare()
    place = server._ledger.take("a", "a", 0.0)
    place.worker = "worker"
    assert server._goes_on(place)
    server._ledger.give_back(place)
    assert not server._goes_on(place)
    with pytest.raises(NotImplementedError):
        server._is_mine(place)


class Listening(BlockingServer):
    """Has a listener, and notes whether that is closed."""

    closes = 0

    def _close_listener(self) -> None:
        super()._close_listener()
        self.closes += 1


@pytest.mark.parametrize(
    ("replies_by_listener", "drain_timeout", "closed_meanwhile"),
    [(False, None, 1), (False, 1.0, 1), (True, None, 1), (True, 1.0, 0)],
)
@pytest.mark.parametrize("fails", [False, True])
def test_a_listener_is_closed_after_the_drain_only_if_requests_reply_by_it(
    replies_by_listener: bool, drain_timeout: float | None, closed_meanwhile: int, fails: bool
) -> None:
    server = Listening(_replies_by_listener=replies_by_listener, drain_timeout=drain_timeout)
    with suppress(KeyboardInterrupt), server._closing_listener():
        assert server.closes == closed_meanwhile
        if fails:
            raise KeyboardInterrupt
    assert server.closes == 1
