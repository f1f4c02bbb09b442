"""The default body of each hook, and the bookkeeping of a server."""

from __future__ import annotations

import functools
import io
import logging
import sys
from typing import Any

import attrs
import pytest

from sansio_server.deferred import Deferred, settle_deferred
from sansio_server.driver import run_blocking
from sansio_server.handlers import BaseRequestHandler
from sansio_server.hooks import LOGGER, ServerHooks
from sansio_server.ledger import Counters
from sansio_server.lifecycle import Event, State
from sansio_server.limits import AcceptBackoff, Limits
from sansio_server.request import HOOKS, Step
from sansio_server.trace import LimitsInForce, OpenRequest, Standing, TraceEvent, TraceKind

from .memory import Failure, MemoryServer, Request


class Bare(ServerHooks):
    """A server of which a backend has brought nothing but a clock."""

    def __init__(self, handler: Any = BaseRequestHandler) -> None:
        super().__init__("address", handler)

    def _now(self) -> float:
        return 1.5


# Being made.


@pytest.mark.parametrize("handler", ["handler", 7, object()])
def test_what_cannot_be_called_is_no_handler(handler: Any) -> None:
    with pytest.raises(TypeError, match=r"^RequestHandlerClass must be callable with \(.*\), not "):
        ServerHooks("address", handler)


@pytest.mark.parametrize(
    "handler",
    [
        BaseRequestHandler,
        lambda *args: None,
        functools.partial(print),
        print,
    ],
)
def test_any_callable_is_a_handler(handler: Any) -> None:
    server = ServerHooks("address", handler)
    assert (server.server_address, server.RequestHandlerClass) == ("address", handler)


@pytest.mark.parametrize(
    ("attributes", "error"),
    [
        ({"max_connections": 0}, ValueError),
        ({"max_connections": "many"}, TypeError),
        ({"when_full": "panic"}, ValueError),
        ({"request_timeout": -1}, ValueError),
        ({"drain_timeout": "soon"}, TypeError),
        ({"cut_timeout": None}, TypeError),
    ],
    ids=str,
)
def test_limits_are_checked_when_the_server_is_made_and_when_they_are_read(
    attributes: dict[str, Any], error: type[Exception]
) -> None:
    [name] = attributes
    with pytest.raises(error, match=name):
        type("Server", (ServerHooks,), attributes)("address", BaseRequestHandler)
    server = Bare()
    vars(server).update(attributes)
    with pytest.raises(error, match=name):
        _ = server.limits


def test_limits_are_those_of_the_attributes() -> None:
    server = MemoryServer(
        max_connections=3, when_full="shed", request_timeout=1, drain_timeout=2, cut_timeout=4
    )
    assert server.limits == Limits(
        max_connections=3, when_full="shed", request_timeout=1, drain_timeout=2, cut_timeout=4
    )


def test_a_server_begins_with_nothing() -> None:
    server = Bare()
    assert server._lifecycle.listener is State.NEW
    assert server.counters == Counters()
    assert server.trace is None
    assert server.timeout is None
    assert server._carrier is None


def test_a_backend_brings_the_clock_and_the_place_to_run() -> None:
    server = ServerHooks("address", BaseRequestHandler)
    with pytest.raises(NotImplementedError):
        server._now()
    with pytest.raises(NotImplementedError):
        server.continue_request(Step.HERE, None, None)


def test_events_go_to_the_lifecycle() -> None:
    server = Bare()
    server._happened(Event.BIND)
    assert server._lifecycle.listener is State.BOUND


# Hooks.


def test_every_hook_of_the_table_has_a_body() -> None:
    for name, _ in HOOKS.values():
        assert callable(getattr(ServerHooks, name))


def test_everybody_is_served() -> None:
    assert Bare().verify_request("request", "client") is True


def test_a_request_is_served_in_place() -> None:
    entered = []

    class Server(Bare):
        def continue_request(self, entry: Step, request: Any, client_address: Any) -> str:
            entered.append((entry, request, client_address))
            return "result"

    assert Server().process_request("request", "client") == "result"
    assert entered == [(Step.HERE, "request", "client")]


def test_hooks_that_do_nothing_return_nothing() -> None:
    server = Bare()
    assert server.shed_request("request", "client") is None
    assert server.handle_timeout() is None
    assert server.service_actions() is None


def test_shutting_down_is_closing_and_its_result_is_passed_on() -> None:
    class Server(Bare):
        def close_request(self, request: Any) -> str:
            return f"closed {request}"

    assert Server().shutdown_request("request") == "closed request"


def test_closing_gives_the_place_back() -> None:
    server = Bare()
    request = Request()
    server._ledger.take(server._request_key(request), "client", 0.0)
    server.close_request(object())
    assert len(server._ledger) == 1
    server.close_request(request)
    assert len(server._ledger) == 0
    server.close_request(request)
    assert server.counters == Counters(accepted=1, closed=1)


def test_requests_are_told_apart_by_identity() -> None:
    server = Bare()
    assert server._request_key([1]) != server._request_key([1])
    assert server._async_request("request") == "request"


# finish_request.


@pytest.mark.parametrize("returns", [None, "something", 7])
def test_the_result_of_a_handler_is_dropped(returns: Any) -> None:
    calls = []

    def handler(*args: Any) -> Any:
        calls.append(args)
        return returns

    server = Bare(handler)
    assert server.finish_request("request", "client") is None
    assert calls == [("request", "client", server)]


def test_a_class_is_called() -> None:
    made = []

    class Handler:
        def __init__(self, *args: Any) -> None:
            made.append(args)

    server = Bare(Handler)
    assert server.finish_request("request", "client") is None
    assert made == [("request", "client", server)]


def test_what_a_handler_returns_to_be_awaited_is_awaited_later() -> None:
    calls = []

    async def coroutine() -> None:
        calls.append("awaited")

    for handler in (lambda *_: coroutine(), lambda *_: Deferred(coroutine())):
        calls.clear()
        assert isinstance(Bare(handler).finish_request("request", "client"), Deferred)
        assert calls == []
        run_blocking(settle_deferred())
        assert calls == ["awaited"]


def test_the_handler_may_be_exchanged_while_the_server_runs() -> None:
    class Adapting(Bare):
        def _async_request(self, request: Any) -> str:
            return f"adapted {request}"

    seen = []

    async def asynchronous(request: Any, *_: Any) -> None:
        seen.append(request)

    def blocking(request: Any, *_: Any) -> None:
        seen.append(request)

    async def finish() -> None:
        server.finish_request("request", "client")
        await settle_deferred()

    server = Adapting(blocking)
    for handler in (blocking, asynchronous, asynchronous, blocking):
        server.RequestHandlerClass = handler
        run_blocking(finish())
    assert seen == ["request", "adapted request", "adapted request", "request"]


# handle_error.


def test_an_error_is_reported_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise Failure("what went wrong")
    except Failure:
        Bare().handle_error("request", ("::1", 9))
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert lines[0] == lines[-1] == "-" * 40
    assert lines[1] == "Exception occurred during processing of request from ('::1', 9)"
    assert lines[2] == "Traceback (most recent call last):"
    assert lines[-2].endswith("Failure: what went wrong")


def test_without_stderr_nothing_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    Bare().handle_error("request", "client")


def test_an_error_is_reported_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the reports of two threads would mix."""

    class Pieces(io.StringIO):
        count = 0

        def write(self, text: str) -> int:
            self.count += 1
            return super().write(text)

    stderr = Pieces()
    monkeypatch.setattr(sys, "stderr", stderr)
    Bare().handle_error("request", "client")
    assert stderr.count == 1


# Traces.


def test_without_a_trace_nothing_is_told() -> None:
    Bare()._emit(TraceKind.STATE, 0, "BIND")


def test_a_trace_is_told_with_the_time() -> None:
    server = Bare()
    events: list[TraceEvent] = []
    server.trace = events.append
    server._emit(TraceKind.STATE, 0, "BIND", "IDLE")
    server._emit(TraceKind.ENTER, 3, "verify_request")
    server._emit(TraceKind.ACCEPT, 3, "accept", time=1.0)
    assert events == [
        TraceEvent(1.5, TraceKind.STATE, 0, "BIND", "IDLE"),
        TraceEvent(1.5, TraceKind.ENTER, 3, "verify_request", None),
        TraceEvent(1.0, TraceKind.ACCEPT, 3, "accept", None),
    ]


def test_a_trace_is_told_first_how_the_server_stands() -> None:
    server = MemoryServer(time=2.0, max_connections=3, request_timeout=5.0)
    server._happened(Event.BIND)
    server._ledger.take("key", "client", 1.0, 5.0)
    first: list[TraceEvent] = []
    second: list[TraceEvent] = []
    for events in (first, second):
        server.trace = events.append
        for event in (Event.SUSPEND, Event.RESUME):
            server._happened(event)
            server._emit(TraceKind.STATE, 0, event.name)
    assert first == second
    assert [event.what for event in first] == ["begin", "SUSPEND", "RESUME"]
    assert first[0] == TraceEvent(
        2.0,
        TraceKind.BEGIN,
        0,
        "begin",
        Standing(
            listener=State.BOUND,
            loop=State.IDLE,
            accepting=State.SUSPENDED,
            drain=State.NOT_DRAINING,
            loops=0,
            limits=LimitsInForce(Limits(max_connections=3, request_timeout=5.0), 3),
            backoff=AcceptBackoff(),
            numbered=1,
            requests=(OpenRequest(1, "client", 1.0, 6.0, cut=False),),
        ),
    )


def test_the_same_method_of_the_same_trace_is_no_other_trace() -> None:
    class Traced(MemoryServer):
        def __init__(self) -> None:
            super().__init__()
            self.events: list[TraceEvent] = []

        def trace(self, event: TraceEvent) -> None:
            self.events.append(event)

    server = Traced()
    for _ in range(2):
        server._emit(TraceKind.STATE, 0, "BIND")
    assert [event.what for event in server.events] == ["begin", "BIND", "BIND"]


def test_a_trace_is_told_of_limits_that_have_changed_before_they_decide() -> None:
    server = MemoryServer()
    events = server.traced()
    server._emit(TraceKind.STATE, 0, "SERVE")
    server.max_connections = 1
    server._emit(TraceKind.STATE, 0, "SUSPEND")
    for _ in range(2):
        server._emit(TraceKind.WAIT, 0, "full")
    server.max_connections = -1  # which the program is told of elsewhere
    server._emit(TraceKind.WAIT, 0, "full")
    assert [event.what for event in events] == ["SERVE", "SUSPEND", "limits", *3 * ["full"]]
    assert events[2].detail == LimitsInForce(Limits(max_connections=1), 1)


def test_a_trace_does_not_begin_with_limits_that_make_no_sense() -> None:
    server = MemoryServer()
    server.max_connections = -1
    events: list[TraceEvent] = []
    server.trace = events.append
    server._emit(TraceKind.STATE, 0, "SERVE")
    server._emit(TraceKind.WAIT, 0, "full")
    assert [event.what for event in events] == ["SERVE", "full"]


@pytest.mark.parametrize("wanted", [True, False])
def test_a_trace_is_given_the_bytes_that_moved_if_it_asks_for_them(wanted: bool) -> None:
    class Trace:
        payload = wanted

        def __call__(self, event: TraceEvent) -> None:
            events.append(event)

    events: list[TraceEvent] = []
    server = Bare()
    server.trace = Trace()
    server._emit_bytes(3, "in", bytearray(b"hello..."), 5)
    data = b"hello" if wanted else None
    assert events == [TraceEvent(1.5, TraceKind.BYTES, 3, "in", 5, data)]


def test_what_a_trace_raises_is_logged_and_no_more(caplog: pytest.LogCaptureFixture) -> None:
    def broken(event: TraceEvent) -> None:
        raise Failure("no disk")

    server = Bare()
    server.trace = broken
    with caplog.at_level(logging.ERROR, "sansio_server"):
        server._emit(TraceKind.STATE, 0, "BIND")
    [record] = caplog.records
    assert "broken" in record.getMessage()
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], Failure)


def test_a_place_is_released_and_told_of_once() -> None:
    server = Bare()
    events: list[TraceEvent] = []
    server.trace = events.append
    place = server._ledger.take("key", "client", 0.0)
    server._release(place)
    server._release(place)
    assert events == [TraceEvent(1.5, TraceKind.CLOSE, 1, "close", "client")]


def test_those_who_await_a_place_are_told_when_one_becomes_free() -> None:
    class Awaited(Bare):
        told = 0

        def _released(self) -> None:
            assert len(self._ledger) == 0
            self.told += 1

    for waiting, told in (((), 0), (("loop",), 1)):
        server = Awaited()
        server._awaiting.update(waiting)
        place = server._ledger.take("key", "client", 0.0)
        server._release(place)
        server._release(place)
        assert server.told == told


def test_by_default_nobody_is_told() -> None:
    server = Bare()
    server._awaiting.add("loop")
    server._release(server._ledger.take("key", "client", 0.0))
    assert len(server._ledger) == 0


def test_servers_report_to_the_logger_of_that_name() -> None:
    assert LOGGER.name == logging.getLogger("sansio_server").name
    assert LOGGER.handlers is logging.getLogger("sansio_server").handlers


def test_without_a_trace_a_place_is_released() -> None:
    server = Bare()
    place = server._ledger.take("key", "client", 0.0)
    server._release(place)
    assert attrs.asdict(server.counters)["closed"] == 1


@pytest.mark.parametrize(
    "name", ["counters", "limits", "plan", "now", "ledger", "lifecycle", "emit"]
)
def test_a_program_may_have_attributes_of_its_own_by_such_names(name: str) -> None:
    server = MemoryServer()
    setattr(server, name, "the program's")
    server.serve(Request())
    assert getattr(server, name) == "the program's"
    assert server._ledger.counters.closed == 1
