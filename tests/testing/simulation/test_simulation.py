"""Simulations: what they find, how they say it, and that they always say the same."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from sansio_server import BaseRequestHandler
from sansio_server.testing import (
    ClientScript,
    Connect,
    Expect,
    Receive,
    ReceiveToEnd,
    Run,
    Script,
    Send,
    Simulation,
    Variety,
    check,
    simulate,
)
from sansio_server.testing.runs.comparing import INDEPENDENT_OF_CUTS, INDEPENDENT_OF_OTHERS
from sansio_server.testing.simulation.simulation import DETERMINISTIC
from tests.testing import replayed
from tests.testing.replayed import STREAM

LINES = [b"hello\n", b"world\n"]


class Numbered(BaseRequestHandler):
    """Tells each client how many have come before."""

    def handle(self) -> None:
        count = vars(self.server).setdefault("count", 0)
        self.server.count = count + 1
        while self.request.recv(100):
            pass
        self.request.sendall(b"%d" % count)


class Random(BaseRequestHandler):
    def handle(self) -> None:
        self.request.sendall(b"%d" % random.randrange(10**9))


class Spins(BaseRequestHandler):
    """Computes until the test is over, once there is a client."""

    over: threading.Event

    def handle(self) -> None:
        while not self.over.is_set():
            pass


def test_who_computes_for_ever_is_neither_shrunk_nor_followed_by_another() -> None:
    calls: list[int] = []

    def progress(done: int, failed: int) -> None:
        calls.append(done)
        if failed:
            Spins.over.set()

    Spins.over = threading.Event()
    try:
        with Simulation(Spins, twice=True, patience=0.5) as simulation:
            script = Script((ClientScript((Connect(), Send(b"hello"), ReceiveToEnd())),))
            run = simulation.examine(script)
            assert run.computes
            assert run.findings[0].invariant == "ends"
            assert simulation.shorten(run) is run
            Spins.over.set()
        Spins.over.clear()
        report = simulate(Spins, send=LINES, patience=0.5, progress=progress)
    finally:
        Spins.over.set()
    assert report.failed == (calls[-1] - 1,)
    assert report.failures[0].short_run is report.failures[0].run
    assert report.runs == len(calls) < 1000


def test_a_good_handler_passes() -> None:
    calls: list[tuple[int, int]] = []

    def progress(done: int, failed: int) -> None:
        calls.append((done, failed))

    report = simulate(replayed.Upper, send=LINES, seeds=range(100), twice=True, progress=progress)
    assert report.failed == ()
    assert report.failures == ()
    assert report.invariants == ()
    assert report.runs == 100
    assert calls == [(n, 0) for n in range(1, 101)]
    assert str(report).startswith("100 seeds, 0 failed, ")
    report.raise_failures()
    assert report.reached.faults["recv", "short"] > 0


def test_datagrams_pass() -> None:
    report = simulate(
        replayed.UpperDatagram,
        send=[b"a", b"b"],
        server_class=replayed.UnixPackets,
        seeds=range(30),
    )
    assert report.failed == ()
    assert report.reached.faults["recvfrom", "lost"] > 0


def test_replies_that_depend_on_cuts_are_found_and_shown_shortly() -> None:
    report = simulate(replayed.OneRecv, send=[b"hello"], seeds=range(50))
    (failure,) = report.failures
    assert report.invariants == (INDEPENDENT_OF_CUTS,)
    assert len(failure.script.clients) == 1
    assert len(failure.script.clients[0].sent) <= 2
    assert str(failure).startswith(f"seed {failure.seed}: {INDEPENDENT_OF_CUTS}: client ")
    with pytest.raises(AssertionError, match=r"from tests\.testing\.replayed import OneRecv"):
        report.raise_failures()
    # It does what it says.
    namespace: dict[str, Any] = {}
    exec(failure.regression_test, namespace)
    (test,) = [value for name, value in namespace.items() if name.startswith("test_")]
    with pytest.raises(AssertionError, match=INDEPENDENT_OF_CUTS):
        test()


def test_replies_that_depend_on_others_are_found() -> None:
    report = simulate(Numbered, send=[b"x"], seeds=range(30), faults=())
    assert report.invariants == (INDEPENDENT_OF_OTHERS,)
    assert len(report.failures[0].script.clients) == 2
    allowed = simulate(
        Numbered, send=[b"x"], seeds=range(30), faults=(), without=[INDEPENDENT_OF_OTHERS]
    )
    assert allowed.failed == ()


def test_what_is_not_the_same_twice_is_found() -> None:
    report = simulate(
        Random,
        send=[b"x"],
        seeds=range(5),
        faults=(),
        twice=True,
        without=[INDEPENDENT_OF_OTHERS, INDEPENDENT_OF_CUTS],
        stop_at=1,
    )
    assert report.runs == 1
    (finding,) = report.failures[0].findings
    assert finding.invariant == DETERMINISTIC
    assert "request 1    send b'" in finding.message


def test_what_a_handler_raises_is_found_unless_it_is_meant() -> None:
    def no_errors(run: Run) -> Iterator[str]:
        yield from ()

    report = simulate(replayed.Raises, send=[b"x"], seeds=range(3), faults=())
    assert report.invariants == ("no errors",)
    assert simulate(
        replayed.Raises, send=[b"x"], seeds=range(3), faults=(), invariants=[no_errors]
    ).failed == ()  # fmt: skip


def test_own_invariants() -> None:
    def nobody_sends_hello(run: Run) -> None:
        assert b"HELLO\n" not in [seen.received[:6] for seen in run.clients], "hello was sent"

    report = simulate(replayed.Upper, send=LINES, seeds=range(5), invariants=[nobody_sends_hello])
    assert report.invariants == ("nobody sends hello",)
    assert report.failures[0].short_run.findings[0].message.startswith("hello was sent")


def test_a_regression_test_passes_once_all_is_well() -> None:
    run = check(STREAM, replayed.Upper)
    assert run.findings == ()
    wrong = Script((ClientScript((Connect(), Send(b"a\n"), Expect(b"B\n"))),))
    with pytest.raises(AssertionError, match="replies as expected: client 1 got b'A"):
        check(wrong, replayed.Upper)


def test_what_cannot_be_compared_is_not() -> None:
    clients = [ClientScript((Connect(), Send(b"ab"), Receive(2)))]
    variety = Variety(departures=0, operators=0)
    report = simulate(
        replayed.OneRecv, clients=clients, seeds=range(30), variety=variety, faults=()
    )
    assert report.failed == ()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "give clients, or messages to send, but not both"),
        ({"send": [b"a"], "clients": STREAM.clients}, "give clients, or messages to send"),
        ({"send": [b"a"], "stop_at": 0}, "stop_at must be 1 or more, or None for never, not 0"),
        ({"send": [b"a"], "without": ["ens"]}, "without must name invariants, .*; not 'ens'"),
    ],
)
def test_what_cannot_be_asked_for(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        simulate(replayed.Upper, **arguments)


def test_a_simulation_can_be_used_by_hand() -> None:
    with Simulation(replayed.Upper) as simulation:
        run = simulation.examine(STREAM)
        assert run.findings == ()
        assert simulation.play(STREAM).signature() == run.signature()
