"""Every hook × every outcome, in place and elsewhere, against a model; then all the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import product
from typing import Any

import pytest

from sansio_server.driver import continue_request, drive, place_of, run_blocking
from sansio_server.ledger import Counters, current
from sansio_server.request import Step
from sansio_server.trace import TraceEvent, TraceKind

from .memory import (
    AsyncMemoryServer,
    Escape,
    Failure,
    MemoryServer,
    Pause,
    Request,
    run_suspending,
)
from .scripted import (
    COLOURS,
    ELSEWHERE,
    IN_PLACE,
    OUTCOMES,
    Ending,
    Model,
    Process,
    Rest,
    ScriptedServer,
    Stage,
    gives,
    in_place,
)


def scripts(*hooks: str) -> Iterator[dict[str, str]]:
    """Every combination of what the hooks named, and those that end a request, may do."""
    names = (*hooks, "error", "shutdown", "report")
    for outcomes in product(OUTCOMES, repeat=len(names)):
        yield dict(zip(names, outcomes, strict=True))


def check(
    kind: type[ScriptedServer], process: Process, script: Mapping[str, str], *, traced: bool
) -> None:
    expected = Model(script, process).play()
    server = kind(script, process)
    events = server.traced() if traced else []
    assert server.play() == expected, script
    if traced:
        check_trace(events, expected)


def check_trace(events: list[TraceEvent], ending: Ending) -> None:
    """Hooks are entered and left in pairs, the inner before the outer."""
    assert events[0].kind is TraceKind.ACCEPT
    within: list[tuple[int, str]] = []
    for event in events[1:]:
        match event.kind:
            case TraceKind.ENTER:
                within.append((event.request, event.what))
            case TraceKind.LEAVE:
                assert within.pop() == (event.request, event.what)
            case TraceKind.ERROR:
                assert within[-1] == (event.request, event.what)
                assert isinstance(event.detail, (Failure, Escape))
            case kind:
                assert kind is TraceKind.CLOSE
    assert within == []
    closes = [event.request for event in events if event.kind is TraceKind.CLOSE]
    assert len(set(closes)) == len(closes)
    assert (1 in closes) != ending.is_open


COLOUR = pytest.mark.parametrize("kind", COLOURS.values(), ids=COLOURS)


@COLOUR
@pytest.mark.parametrize("traced", [False, True], ids=["untraced", "traced"])
@pytest.mark.parametrize("process", IN_PLACE, ids=lambda process: process.__name__)
def test_in_place(kind: type[ScriptedServer], process: Process, traced: bool) -> None:
    for script in scripts("finish", *["process"] * IN_PLACE[process]):
        check(kind, process, script, traced=traced)


async def unasked(stage: Stage, here: Rest, give: Rest, thread: Rest) -> None:
    await here()


@COLOUR
@pytest.mark.parametrize("traced", [False, True], ids=["untraced", "traced"])
def test_in_place_without_asking(kind: type[ScriptedServer], traced: bool) -> None:
    class Server(kind):  # type: ignore[valid-type, misc]
        def _only_continues(self, hook: object) -> bool:
            return hook == self.process_request

        def process_request(self, request: Any, client_address: Any) -> None:
            raise AssertionError("it was asked")

    for script in scripts("finish"):
        check(Server, unasked, script, traced=traced)


@COLOUR
@pytest.mark.parametrize("traced", [False, True], ids=["untraced", "traced"])
@pytest.mark.parametrize("process", ELSEWHERE, ids=lambda process: process.__name__)
def test_elsewhere(kind: type[ScriptedServer], process: Process, traced: bool) -> None:
    for script in scripts("finish", *["process"] * ELSEWHERE[process]):
        check(kind, process, script, traced=traced)


@COLOUR
@pytest.mark.parametrize("traced", [False, True], ids=["untraced", "traced"])
@pytest.mark.parametrize("verdict", ["refuse", "fail", "escape"])
def test_a_verdict_other_than_yes(kind: type[ScriptedServer], verdict: str, traced: bool) -> None:
    for script in scripts():
        check(kind, in_place, {**script, "verify": verdict}, traced=traced)


@COLOUR
def test_requests_that_there_is_no_room_for(kind: type[ScriptedServer]) -> None:
    for script in scripts("shed"):
        model, server = Model(script, in_place), kind(script, in_place)
        raised = ""
        try:
            model.elsewhere("shed")
        except (Failure, Escape) as error:
            raised = str(error)
        calls, reported = model.stage.calls, model.stage.reported
        expected = Ending(calls, reported, raised, "", model.is_open, model.errors)
        assert server.play(Step.SHED) == expected, script


def test_the_model_is_as_documented() -> None:
    """The model, too, might be wrong; so here is what it says of the cases that people meet."""

    def ending(process: Process, **script: str) -> Ending:
        return Model(script, process).play()

    calm = ["verify", "process", "finish", "shutdown"]
    assert ending(in_place) == Ending(calm, [], "", "", False, 0)
    assert ending(in_place, verify="no") == Ending(["verify", "shutdown"], [], "", "", False, 0)
    assert ending(in_place, verify="fail") == Ending(
        ["verify", "error", "shutdown"], ["verify 1"], "", "", False, 1
    )
    assert ending(in_place, finish="fail") == Ending(
        ["verify", "process", "finish", "error", "shutdown"], ["finish 1"], "", "", False, 1
    )
    assert ending(in_place, finish="escape") == Ending(calm, [], "finish 1", "", False, 1)
    assert ending(in_place, shutdown="fail") == Ending(
        [*calm, "report"], ["shutdown 1"], "", "", False, 1
    )
    assert ending(in_place, finish="fail", error="fail") == Ending(
        ["verify", "process", "finish", "error", "shutdown"], ["finish 1"], "error 1", "", False, 2
    )
    assert ending(gives, finish="escape") == Ending(
        ["verify", "finish", "shutdown"], [], "", "finish 1", False, 1
    )


# Verdicts.


@pytest.mark.parametrize("verdict", [False, None, 0, "", [], ()], ids=repr)
def test_whatever_is_false_refuses(verdict: object) -> None:
    server = MemoryServer(lambda *_: pytest.fail("served"))
    server.verify_request = lambda request, client_address: verdict  # type: ignore[method-assign]
    request = Request()
    server.serve(request)
    assert request.closed == 1
    assert server.counters == Counters(accepted=1, refused=1, closed=1)


@pytest.mark.parametrize("verdict", [True, 1, "yes", object()])
def test_whatever_is_true_accepts(verdict: object) -> None:
    served = []
    server = MemoryServer(lambda *args: served.append(args))
    server.verify_request = lambda request, client_address: verdict  # type: ignore[method-assign]
    server.serve(Request())
    assert len(served) == 1
    assert server.counters == Counters(accepted=1, closed=1)


def test_a_verdict_that_is_neither_is_an_error_of_its_hook() -> None:
    class Unsure:
        def __bool__(self) -> bool:
            raise Failure

    errors = []

    class Server(MemoryServer):
        def verify_request(self, request: Any, client_address: Any) -> Any:
            return Unsure()

        def handle_error(self, request: Any, client_address: Any) -> None:
            errors.append(client_address)

    request = Request()
    server = Server(lambda *_: pytest.fail("served"))
    server.serve(request)
    assert errors == ["client"]
    assert request.closed == 1
    assert server.counters == Counters(accepted=1, closed=1, errors=1)


# Taking in and going on.


def test_hooks_are_told_the_request_and_the_address() -> None:
    calls: list[tuple[Any, ...]] = []

    class Server(MemoryServer):
        def verify_request(self, request: Any, client_address: Any) -> bool:
            calls.append(("verify", request, client_address))
            return True

        def finish_request(self, request: Any, client_address: Any) -> None:
            calls.append(("finish", request, client_address))
            raise Failure

        def handle_error(self, request: Any, client_address: Any) -> None:
            calls.append(("error", request, client_address))

        def shutdown_request(self, request: Any) -> None:
            calls.append(("shutdown", request))

    request = Request()
    Server().serve(request, "address")
    assert calls == [
        ("verify", request, "address"),
        ("finish", request, "address"),
        ("error", request, "address"),
        ("shutdown", request),
    ]


def test_a_request_has_its_place_before_the_first_hook() -> None:
    class Server(MemoryServer):
        request_timeout = 2.0

        def verify_request(self, request: Any, client_address: Any) -> bool:
            place = self._ledger.find_exactly(self._request_key(request))
            assert place is current.get()
            assert place is not None
            assert (place.client_address, place.since, place.deadline) == ("client", 5.0, 7.0)
            return False

    server = Server(time=5.0)
    server.serve(Request())
    assert server.counters == Counters(accepted=1, refused=1, closed=1)


def test_a_request_in_place_is_in_the_hands_of_its_worker() -> None:
    class Server(MemoryServer):
        def finish_request(self, request: Any, client_address: Any) -> None:
            [place] = self._ledger
            assert (place.request, place.worker, place.in_place) == (request, "worker", True)
            raise Failure

        def handle_error(self, request: Any, client_address: Any) -> None:
            [place] = self._ledger
            assert (place.request, place.worker) == (None, None)

    server = Server()
    server.serve(Request())
    assert server.counters == Counters(accepted=1, closed=1, errors=1)


@pytest.mark.parametrize(("raised", "errors"), [(Escape, 0), (Failure, 1)])
def test_who_is_cut_and_goes_is_no_error(raised: type[BaseException], errors: int) -> None:
    class Server(MemoryServer):
        def finish_request(self, request: Any, client_address: Any) -> None:
            [place] = self._ledger
            self._cut(place, "drain")
            raise raised

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass

    server = Server()
    with suppress(Escape):
        server.serve(Request())
    assert server.counters == Counters(accepted=1, closed=1, errors=errors, cut=1)


def test_who_gave_a_request_away_may_have_said_who_works_at_it() -> None:
    class Server(MemoryServer):
        def finish_request(self, request: Any, client_address: Any) -> None:
            [place] = self._ledger
            assert (place.request, place.worker, place.in_place) == (request, "thread", False)

    server = Server()
    request = Request()
    place = server._ledger.take(server._request_key(request), "client", 0.0)
    place.worker = "thread"
    run_blocking(continue_request(server, Step.FINISH, request, "client", "another"))
    assert not place.open
    assert server.counters == Counters(accepted=1, closed=1)


def test_a_request_wrapped_on_the_way_keeps_its_place() -> None:
    class Wrapped(Request):
        def __init__(self, inner: Request) -> None:
            super().__init__()
            self.inner = inner

    class Server(MemoryServer):
        def process_request(self, request: Any, client_address: Any) -> Any:
            return super().process_request(Wrapped(request), client_address)

        def finish_request(self, request: Any, client_address: Any) -> None:
            assert isinstance(request, Wrapped)
            assert len(self._ledger) == 1

    server = Server()
    server.serve(Request())
    assert server.counters == Counters(accepted=1, closed=1)


def test_a_request_wrapped_where_it_was_given_to_keeps_its_place() -> None:
    """As a backend with threads has it: it says in the thread which place is in hand."""
    server = MemoryServer()
    server.process_request = lambda *_: None  # type: ignore[method-assign]
    request, wrapped = Request(), Request()
    server.serve(request)
    assert current.get() is None
    [place] = server._ledger
    current.set(place)
    run_blocking(continue_request(server, Step.FINISH, wrapped, "client", "thread"))
    assert server.counters == Counters(accepted=1, closed=1)


def test_a_request_handed_to_another_server_takes_a_place_there() -> None:
    """The other serves it in place, while the first has it in hand."""
    back = MemoryServer()

    class Front(MemoryServer):
        def process_request(self, request: Any, client_address: Any) -> Any:
            return back.process_request(request, client_address)

    front, request = Front(), Request()
    front.serve(request)
    assert request.closed == 1
    assert back.counters == Counters(closed=1)
    [place] = front._ledger
    assert place.open, "closed by nobody that the first server knows of"


def test_a_request_served_in_the_turn_of_another_keeps_its_own_place() -> None:
    """An override serves each request when the next has come."""

    class Server(MemoryServer):
        last: Any = None

        def process_request(self, request: Any, client_address: Any) -> Any:
            last, self.last = self.last, request
            if last is not None:
                super().process_request(last, client_address)
                assert [place.number for place in self._ledger] == [request.number]

    server = Server()
    for number in (1, 2, 3):
        request = Request()
        request.number = number
        server.serve(request)
    assert server.counters == Counters(accepted=3, closed=2)


def test_an_unknown_request_gets_a_place_of_its_own() -> None:
    """An override of the serve loop has brought it."""
    server = MemoryServer(time=5.0, request_timeout=2.0)
    place = place_of(server, Request(), "client")
    assert (place.since, place.deadline) == (5.0, 7.0)
    run_blocking(drive(server, Step.FINISH, Request(), "client", place))
    assert server.counters == Counters(closed=1)


def test_a_server_may_carry_its_handlers_elsewhere() -> None:
    carried = []

    class Server(AsyncMemoryServer):
        async def _carrier(self, hook: Any, *args: Any) -> Any:
            await Pause()
            carried.append((hook, args))
            return hook(*args)

    server, request = Server(), Request()
    assert run_suspending(server.start(request)) == (None, 1)
    assert carried == [(server.finish_request, (request, "client"))]
    assert server.counters == Counters(accepted=1, closed=1)


class Lends(MemoryServer):
    """Gives the request to somebody else, who is at work when this is interrupted."""

    error: type[BaseException] = Escape

    def process_request(self, request: Any, client_address: Any) -> None:
        place_of(self, request, client_address).lent = True
        raise self.error

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing."""


def test_what_escapes_while_somebody_else_serves_the_request_leaves_it_to_them() -> None:
    server, request = Lends(), Request()
    with pytest.raises(Escape):
        server.serve(request)
    assert (request.closed, len(server._ledger)) == (0, 1)


def test_a_failure_closes_the_request_all_the_same() -> None:
    server, request = Lends(error=Failure), Request()
    server.serve(request)
    assert (request.closed, len(server._ledger)) == (1, 0)


def test_what_escapes_when_somebody_else_has_closed_the_request_is_as_ever() -> None:
    # Whoever closed it may not yet have told that they are done.
    class LendsTooLong(Lends):
        def process_request(self, request: Any, client_address: Any) -> None:
            place = place_of(self, request, client_address)
            self.close_request(request)
            self._release(place)
            place.lent = True
            raise self.error

    server, request = LendsTooLong(), Request()
    with pytest.raises(Escape):
        server.serve(request)
    assert (request.closed, len(server._ledger)) == (2, 0)
