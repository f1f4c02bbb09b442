"""Each built-in invariant finds what it is for, and nothing in a run where all is well."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import pytest

from sansio_server import DrainReport, Outcome, Straggler, TraceEvent, TraceKind
from sansio_server.testing.runs.invariants import (
    BUILT_IN,
    Invariant,
    check_invariants,
    excuse_errors,
    name_of,
)
from sansio_server.testing.runs.run import Run, Seen
from sansio_server.testing.scripts.faults import Fault, injected
from sansio_server.testing.scripts.script import Script
from sansio_server.testing.world.errors import Unwound

K = TraceKind


def event(kind: TraceKind, request: int, what: str, detail: Any = None) -> TraceEvent:
    return TraceEvent(0.0, kind, request, what, detail)


GOOD = (
    event(K.STATE, 0, "SERVE", "SERVING"),
    event(K.ACCEPT, 1, "accept", "a"),
    event(K.ENTER, 1, "finish_request"),
    event(K.LEAVE, 1, "finish_request", Outcome.OK),
    event(K.ENTER, 1, "shutdown_request"),
    event(K.CLOSE, 1, "close", "a"),
    event(K.LEAVE, 1, "shutdown_request", Outcome.OK),
    event(K.STATE, 0, "SHUTDOWN", "STOPPING"),
    event(K.STATE, 0, "LEAVE", "IDLE"),
)
RUN = Run(script=Script(()), trace=GOOD, clients=(Seen((b"A",)),))


def raised(error: BaseException, hook: str = "finish_request", request: int = 1) -> TraceEvent:
    return event(K.ERROR, request, hook, error)


def report(*, ended: bool) -> DrainReport:
    return DrainReport((), (Straggler(1, "a", "", ended),), 1.0)


def test_nothing_is_found_where_all_is_well() -> None:
    assert check_invariants(RUN, BUILT_IN) == ()


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"stuck": "deadlock"}, ["ends: deadlock"]),
        ({"loop_error": "OSError: x"}, ["loop goes on: serve_forever() raised OSError: x"]),
        ({"trace": GOOD[:5]}, ["closed once: request 1 was never closed"]),
        ({"trace": (*GOOD, GOOD[4])}, ["closed once: request 1 was closed 2 times"]),
        (
            {"trace": (*GOOD, GOOD[2])},
            ["finished at most once: request 1 was finished 2 times"],
        ),
        (
            {
                "trace": (
                    GOOD[0],
                    GOOD[7],
                    *GOOD[1:7],
                    event(K.ACCEPT, 2, "accept", "b"),
                    event(K.CLOSE, 2, "close", "b"),
                    GOOD[8],
                )
            },
            ["none accepted after stop: request 2 was accepted after the stop"],
        ),
        ({"still_open": 2}, ["counts go back: 2 requests count as open at the end"]),
        ({"left": ("a socket", "a thread")}, ["nothing left: left over: a socket, a thread"]),
        (
            {"closing": 8.0, "closing_limit": 6.0},
            ["closes in time: server_close() took 8 s, its limits allow 6 s"],
        ),
        (
            {"close_error": "OSError: x"},
            ["closing raises nothing: server_close() raised OSError: x"],
        ),
        (
            {"trace": (*GOOD, raised(ConnectionResetError("x"), "handle_error"))},
            ["no errors: handle_error of request 1 raised ConnectionResetError: x"],
        ),
        (
            {"unhandled": ("OSError: x",)},
            ["threads raise nothing: a thread raised OSError: x"],
        ),
        (
            {"drain": report(ended=False)},
            ["closes in time: 1 requests did not end, even when they were cut"],
        ),
        (
            {"clients": (Seen((b"B",), unexpected="got b'B', not b'A'"),)},
            ["replies as expected: client 1 got b'B', not b'A'"],
        ),
        (
            {"trace": (*GOOD, raised(ValueError("x")), raised(ValueError("x"), "process_request"))},
            ["no errors: finish_request of request 1 raised ValueError: x"],
        ),
    ],
)
def test_what_is_found(changes: dict[str, Any], found: list[str]) -> None:
    findings = check_invariants(attrs.evolve(RUN, **changes), BUILT_IN)
    assert [str(finding) for finding in findings] == found


@pytest.mark.parametrize(
    "changes",
    [
        {"trace": (*GOOD, raised(ConnectionResetError()), raised(TimeoutError()))},
        {"trace": (*GOOD, event(K.CUT, 1, "cut"), raised(KeyboardInterrupt()))},
        {
            "trace": (*GOOD, raised(injected(OSError()), "process_request")),
            "script": Script((), faults=(Fault("fork", "EAGAIN"),)),
        },
        {"clients": (Seen((), unexpected="got b''"),), "hit": frozenset({1})},
        {"drain": report(ended=True), "closing": 1.0, "closing_limit": 1.0},
        {"trace": (GOOD[0], GOOD[7], *GOOD[1:7], GOOD[8])},  # it was just being let in
    ],
)
def test_what_is_no_fault(changes: dict[str, Any]) -> None:
    assert check_invariants(attrs.evolve(RUN, **changes), BUILT_IN) == ()


def test_a_run_that_does_not_end_says_nothing_of_what_it_leaves() -> None:
    run = attrs.evolve(RUN, trace=GOOD[:2], stuck="deadlock", left=("a socket",), still_open=1)
    assert [each.invariant for each in check_invariants(run, BUILT_IN)] == ["ends"]


def test_how_those_end_who_were_stuck_says_nothing_more() -> None:
    trace = (*GOOD, raised(Unwound()), raised(KeyError("x")))
    run = attrs.evolve(RUN, trace=trace, stuck="deadlock")
    assert [str(each) for each in check_invariants(run, BUILT_IN)] == [
        "ends: deadlock",
        "no errors: finish_request of request 1 raised KeyError: 'x'",
    ]


def test_the_failure_to_start_a_worker_is_excused_where_it_was_injected_alone() -> None:
    run = attrs.evolve(RUN, trace=(*GOOD, raised(injected(OSError()), "process_request")))
    assert [each.invariant for each in check_invariants(run, BUILT_IN)] == ["no errors"]
    faulty = attrs.evolve(run.script, faults=(Fault("thread", "fail"),))
    own = attrs.evolve(run, script=faulty, trace=(raised(OSError(), "process_request"),))
    assert [each.invariant for each in check_invariants(own, BUILT_IN)] == ["no errors"]


def test_errors_that_a_handler_means_to_raise() -> None:
    run = attrs.evolve(RUN, trace=(*GOOD, raised(KeyError("x")), raised(ValueError("y"))))
    found = check_invariants(run, [excuse_errors(KeyError)])
    assert [str(each) for each in found] == [
        "no errors: finish_request of request 1 raised ValueError: y"
    ]


def says_one(_: Run) -> str:
    return "one"


def says_two(_: Run) -> Iterator[str]:
    yield "one"
    yield "two"


def asserts(run: Run) -> None:
    assert run.seconds > 1, "too fast"


def asserts_without_words(run: Run) -> None:
    assert run.seconds > 1


@pytest.mark.parametrize(
    ("invariant", "messages"),
    [
        (says_one, ["one"]),
        (says_two, ["one", "two"]),
        (asserts, ["too fast"]),
        (lambda _: None, []),
        (lambda _: "", []),
    ],
)
def test_ways_to_say_it(invariant: Invariant, messages: list[str]) -> None:
    found = check_invariants(RUN, [invariant])
    assert [each.message.splitlines()[0] for each in found] == messages
    assert {each.invariant for each in found} <= {name_of(invariant)}


def test_an_assertion_without_words_is_a_finding_too() -> None:
    (found,) = check_invariants(RUN, [asserts_without_words])
    assert found.invariant == "asserts without words"
    assert found.message


def test_a_fault_of_an_invariant_is_not_the_servers() -> None:
    def divides(_: Run) -> str:
        return str(1 / 0)

    with pytest.raises(ZeroDivisionError):
        check_invariants(RUN, [divides])
