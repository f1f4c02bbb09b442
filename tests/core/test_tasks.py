"""A server whose requests are served by tasks, of an event loop that a test turns by hand."""

from __future__ import annotations

import errno
import sys
from collections import deque
from collections.abc import Coroutine, Iterable
from contextvars import Context
from typing import Any

import pytest

from sansio_server.drain import DrainReport
from sansio_server.driver import run_blocking
from sansio_server.handlers import BaseRequestHandler
from sansio_server.ledger import Place
from sansio_server.lifecycle import Event
from sansio_server.request import Step
from sansio_server.tasks import BATCH, TaskServer
from sansio_server.trace import TraceKind

from .memory import Escape, Failure, MemoryServer, Pause, Request


class Cancelled(BaseException):
    """How this loop cancels."""


class Task:
    """A task that goes on when the test says so."""

    def __init__(self, served: Coroutine[Any, Any, None]) -> None:
        self.served = served
        self.begun = self.over = False

    def step(self) -> None:
        """Go on until the next wait, or the end."""
        self.begun = True
        try:
            self.served.send(None)
        except StopIteration:
            self.over = True

    def cancel(self) -> None:
        assert self.begun
        self.over = True
        with pytest.raises((Cancelled, StopIteration)):
            self.served.throw(Cancelled())

    def where(self) -> str:
        return f"a task that is {'over' if self.over else 'waiting'}"


class Server(TaskServer, MemoryServer):
    """Its clients are in a queue; an exception there is what accepting raises."""

    continue_request = TaskServer.continue_request

    def __init__(self, *args: Any, clients: Iterable[Any] = (), **attributes: Any) -> None:
        self.clients = deque(clients)
        self.tasks: list[Task] = []
        self.waits: list[float] = []
        self.carried: list[Any] = []
        self.seen: list[Any] = []
        self.is_closed = False
        super().__init__(*args, **attributes)
        self._happened(Event.SERVE)

    def get_request(self) -> Any:
        if not self.clients:
            raise BlockingIOError(errno.EAGAIN, "nobody is there")
        client = self.clients.popleft()
        if isinstance(client, OSError):
            raise client
        return Request(), client

    def _gets_requests_itself(self) -> bool:
        return True

    def run_let_in(self, **options: Any) -> list[Task]:
        """Let in who is there; return their tasks, none of which has begun."""

        def begin(*request: Any) -> Task:
            task = Task(self._serve(*request))
            self.tasks.append(task)
            return task

        known = len(self.tasks)
        run_blocking(self._let_in(begin, **options))
        return self.tasks[known:]

    async def _carry(self, hook: Any, request: Any, client_address: Any) -> Any:
        self.carried.append(client_address)
        return hook(request, client_address)

    def _close_listener(self) -> None:
        self.is_closed = True

    def _wait_for_end(self, places: Iterable[Place], until: float) -> None:
        self.waits.append(until)
        self.time = until


class Waits(BaseRequestHandler):
    async def handle(self) -> None:
        await Pause()


def open_clients(server: Server) -> list[Any]:
    return [place.client_address for place in server._ledger]


# Letting in.


def test_each_request_has_a_task_and_a_place_before_it_begins() -> None:
    server = Server(Waits, clients="ab")
    tasks = server.run_let_in()
    assert [place.worker for place in server._ledger] == tasks
    assert open_clients(server) == ["a", "b"]
    for task in tasks:
        task.step()
    assert open_clients(server) == ["a", "b"]
    tasks[0].step()
    assert (tasks[0].over, open_clients(server)) == (True, ["b"])
    tasks[1].step()
    assert server.counters.closed == 2


def test_no_more_come_in_than_there_is_room_for() -> None:
    server = Server(Waits, clients="abcd", max_connections=2)
    tasks = server.run_let_in()
    assert (open_clients(server), list(server.clients)) == (["a", "b"], ["c", "d"])
    for task in tasks:
        task.step()
        task.step()
    for task in server.run_let_in():
        task.step()
        task.step()
    assert server.counters.closed == 4


def test_those_beyond_are_shed_where_that_is_asked_for() -> None:
    told: list[Any] = []

    class Telling(Server):
        def shed_request(self, request: Any, client_address: Any) -> None:
            told.append(client_address)

    server = Telling(Waits, clients="ab", max_connections=1, when_full="shed")
    first, second = server.run_let_in()
    second.step()
    assert (told, second.over) == (["b"], True)
    first.step()
    first.step()


def test_other_tasks_get_their_turn_between_two_batches() -> None:
    server = Server(clients=range(BATCH + 1))
    assert len(server.run_let_in()) == BATCH
    assert len(server.run_let_in()) == 1
    for task in server.tasks:
        task.step()


def test_what_may_wait_is_called_once_for_each_wake_up() -> None:
    server = Server(clients="ab")
    server._gets_requests_itself = lambda: False  # type: ignore[method-assign]
    [task] = server.run_let_in()
    task.step()
    assert list(server.clients) == ["b"]


def test_nobody_comes_in_after_a_stop() -> None:
    class Stopping(Server):
        def _take_in(self, pair: Any) -> tuple[Step, Any, Any, Place]:
            self._happened(Event.SHUTDOWN)
            return super()._take_in(pair)

    server = Stopping(clients="ab")
    [task] = server.run_let_in()
    task.step()
    assert list(server.clients) == ["b"]


def test_an_error_of_accepting_ends_the_turn() -> None:
    lost = OSError(errno.ECONNABORTED, "aborted")
    server = Server(clients=[lost, "a"])
    assert server.run_let_in() == []
    assert server.counters.connection_errors == 1
    [task] = server.run_let_in()
    task.step()


def test_get_request_may_be_awaited() -> None:
    server = Server(clients="a")
    get_request = server.get_request

    async def wait_for_request() -> Any:
        return get_request()

    server.get_request = wait_for_request  # type: ignore[method-assign]
    [task] = server.run_let_in()
    task.step()
    assert server.counters.closed == 1


def test_requests_are_observed_where_there_is_a_trace() -> None:
    observed: list[Any] = []

    class Observing(Server):
        def _observed(self, request: Any) -> Any:
            observed.append(request)
            return request

    server = Observing(clients="a")
    server.run_let_in()[0].step()
    assert observed == []
    events = server.traced()
    server.clients.append("b")
    server.run_let_in()[0].step()
    assert len(observed) == 1
    assert events[0].kind is TraceKind.ACCEPT


# Serving.


def test_what_is_raised_leaves_the_task_and_the_request_is_closed() -> None:
    class Fails(BaseRequestHandler):
        async def handle(self) -> None:
            raise Escape

    server = Server(Fails, clients="a")
    [task] = server.run_let_in()
    with pytest.raises(Escape):
        task.step()
    assert (server.counters.closed, server._workers) == (1, {})


def test_a_request_that_an_override_keeps_has_no_worker_any_more() -> None:
    class Keeping(Server):
        def process_request(self, request: Any, client_address: Any) -> None:
            pass

    server = Keeping(clients="a")
    server.run_let_in()[0].step()
    [place] = server._ledger
    assert (place.worker, place.request) == (None, None)
    assert server._ledger.kept() == [place]


@pytest.mark.parametrize("handler", [Waits, BaseRequestHandler])
@pytest.mark.parametrize("awaits", [True, False])
def test_the_rest_may_be_awaited_or_not(handler: Any, awaits: bool) -> None:
    seen: list[str] = []

    class Around(Server):
        async def process_request(self, request: Any, client_address: Any) -> None:
            rest = super().process_request(request, client_address)
            if awaits:
                await rest
            seen.append("after")

        def shutdown_request(self, request: Any) -> Any:
            seen.append("shutdown")
            return super().shutdown_request(request)

    server = Around(handler, clients="a")
    [task] = server.run_let_in()
    while not task.over:
        task.step()
    assert seen == (["shutdown", "after"] if awaits else ["after", "shutdown"])


def test_what_raises_before_it_awaits_the_rest_has_not_let_it_begin() -> None:
    handled: list[Any] = []

    class Raises(Server):
        def process_request(self, request: Any, client_address: Any) -> None:
            super().process_request(request, client_address)
            raise ValueError

        def handle_error(self, request: Any, client_address: Any) -> None:
            handled.append(sys.exc_info()[0])

    server = Raises(lambda *_: handled.append("handler"), clients="a")
    server.run_let_in()[0].step()
    assert handled == [ValueError]
    assert len(server._ledger) == 0


def test_who_waits_for_a_client_may_give_up() -> None:
    class Slow(Server):
        async def get_request(self) -> Any:
            raise AssertionError("it was not to be awaited")

    given_up: list[Any] = []

    async def give_up(awaitable: Any) -> Any:
        given_up.append(awaitable)
        awaitable.close()
        raise BlockingIOError

    server = Slow(clients="a")
    assert server.run_let_in(wait=give_up) == []
    assert len(given_up) == 1
    assert len(server._ledger) == 0


def test_no_more_are_let_in_than_are_asked_for() -> None:
    server = Server(clients="abc")
    tasks = server.run_let_in(most=2)
    assert len(tasks) == 2
    for task in tasks:
        task.step()
    assert list(server.clients) == ["c"]


# Ending.


def test_a_drain_cuts_the_tasks_that_are_left_and_says_where_they_were() -> None:
    server = Server(Waits, clients="ab")
    for task in server.run_let_in():
        task.step()
    server.tasks[0].step()
    report = run_blocking(server.drain(5.0))
    assert report is server.drain_report
    [straggler] = report.cut
    assert (straggler.client_address, straggler.where) == ("b", "a task that is waiting")
    assert straggler.ended
    assert server.waits == [5.0, 10.0]


def test_who_drains_is_not_waited_for() -> None:
    reports: list[DrainReport] = []

    class Drains(BaseRequestHandler):
        async def handle(self) -> None:
            reports.append(await self.server.drain())

    server = Server(Drains, clients="a")
    server.run_let_in()[0].step()
    assert reports == [DrainReport((), (), 0.0)]


def test_a_request_that_is_overdue_is_cut() -> None:
    server = Server(Waits, clients="a", request_timeout=3.0)
    server.run_let_in()[0].step()
    server.time = 3.0
    server._attend()
    assert (server.counters.cut, open_clients(server), server.tasks[0].over) == (1, [], True)


def test_cutting_what_has_no_task_does_nothing() -> None:
    server = Server()
    place = server._ledger.take("a", "a", 0.0)
    server._cut(place, "drain")
    assert place.open


def test_a_hook_that_fails_is_told_to_handle_error() -> None:
    class Fails(BaseRequestHandler):
        async def handle(self) -> None:
            await Pause()
            raise Failure

    told: list[Any] = []

    class Telling(Server):
        def handle_error(self, request: Any, client_address: Any) -> None:
            told.append(client_address)

    server = Telling(Fails, clients="a")
    [task] = server.run_let_in()
    task.step()
    task.step()
    assert (told, task.over, server.counters.closed) == (["a"], True, 1)


def test_all_may_be_cut_at_once() -> None:
    server = Server(Waits, clients="ab")
    for task in server.run_let_in():
        task.step()
    Context().run(run_blocking, server._drain_at_once())  # that of the loop, not of a request
    assert server.drain_report is not None
    assert [straggler.client_address for straggler in server.drain_report.cut] == ["a", "b"]
    assert (open_clients(server), server.counters.cut) == ([], 2)


# Blocking handlers.


def blocking(request: Any, client_address: Any, server: Server) -> None:
    server.seen.append(client_address)


def test_a_blocking_handler_is_carried_and_no_other() -> None:
    server = Server(Waits, clients="ab")
    [first] = server.run_let_in(most=1)
    first.step()
    first.step()
    assert server.carried == []
    server.RequestHandlerClass = blocking
    server.run_let_in()[0].step()
    assert (server.carried, server.seen) == (["b"], ["b"])


@pytest.mark.parametrize("handler", [blocking, Waits])
def test_below_an_asynchronous_override_it_is_the_handler_that_is_carried(handler: Any) -> None:
    class Around(Server):
        async def finish_request(self, request: Any, client_address: Any) -> None:
            assert self.carried == []
            super().finish_request(request, client_address)

    server = Around(handler, clients="a")
    [task] = server.run_let_in()
    while not task.over:
        task.step()
    assert (server.carried, server.seen) == ((["a"], ["a"]) if handler is blocking else ([], []))


# Stopping.


def test_a_server_that_no_loop_watches_is_closed_at_once() -> None:
    server = Server()
    server._happened(Event.LEAVE)
    server._let_go()
    assert not server.is_closed
    server.server_close()
    assert server.is_closed


def test_a_loop_that_runs_lets_go_of_the_listener_at_its_end() -> None:
    server = Server()
    server.server_close()
    assert not server._is_running()
    assert not server.is_closed
    server._happened(Event.LEAVE)
    server._let_go()
    assert server.is_closed


def test_a_stop_does_not_wait() -> None:
    server = Server()
    server.shutdown()
    assert not server._is_running()


def test_what_a_backend_brings() -> None:
    server = TaskServer.__new__(TaskServer)
    assert not server._gets_requests_itself()
    server._close_listener()
    with pytest.raises(NotImplementedError):
        server.get_request()
    with pytest.raises(NotImplementedError):
        server._carry(print, None, None)
