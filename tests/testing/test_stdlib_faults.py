"""The standard library's own faults show when its rules are played, and not when ours are."""

from __future__ import annotations

import socketserver
from collections import Counter
from typing import Any

import pytest

import sansio_server
from sansio_server import BaseRequestHandler
from sansio_server.testing import (
    ClientScript,
    CloseServer,
    Connect,
    Fault,
    FaultRule,
    HalfClose,
    ReceiveToEnd,
    Run,
    Script,
    ScriptedServer,
    Send,
    Simulation,
    TCPServer,
    ThreadingTCPServer,
    UnixDatagramServer,
)
from sansio_server.testing.sockets.base import AF_UNIX
from sansio_server.testing.sockets.datagram import DatagramSocket
from tests.testing.replayed import Mute, Raises, Upper
from tests.testing.stdlib_rules import StdlibRules, StdlibThreads

ONE = Script((ClientScript((Connect(), Send(b"a\n"))),))
RULES = pytest.mark.parametrize(("base", "at_fault"), [(StdlibRules, True), (TCPServer, False)])


def names(run: Run) -> set[str]:
    return {finding.invariant for finding in run.findings}


def no_spinning(run: Run) -> str:
    """Accepting is not tried more than ten times a second while it fails."""
    failed = Counter(int(each.time) for each in run.timeline if each.detail == "accept EMFILE")
    worst = max(failed.values(), default=0)
    return f"accepting failed {worst} times in one second" if worst > 10 else ""


@RULES
def test_a_full_machine_makes_it_spin(base: type, at_fault: bool) -> None:
    rules = [FaultRule("accept", "EMFILE", 1.0, at_most=200)]
    with Simulation(Upper, server_class=base, rules=rules, invariants=[no_spinning]) as simulation:
        script = Script((ClientScript((Connect(), HalfClose(), ReceiveToEnd())),))
        run = simulation.examine(script, with_rules=True)
    assert len(run.faults) == 200
    assert ("no spinning" in names(run)) is at_fault
    assert bool(run.findings) is at_fault


class Verifying:
    def verify_request(self, request: Any, client_address: Any) -> bool:
        raise ValueError("on purpose")


@RULES
def test_a_raising_verify_request_ends_the_loop_and_leaks(base: type, at_fault: bool) -> None:
    server_class = type("Server", (Verifying, base), {})
    with Simulation(Upper, server_class=server_class, without=["no errors"]) as simulation:
        run = simulation.examine(ONE)
    assert bool(run.loop_error) is at_fault
    assert ("nothing left" in names(run)) is at_fault
    assert bool(run.findings) is at_fault


class Reporting:
    def handle_error(self, request: Any, client_address: Any) -> None:
        raise KeyError("on purpose")


@RULES
def test_a_raising_handle_error_leaks(base: type, at_fault: bool) -> None:
    # It ends the loop of both, as is meant; but here the request is closed first.
    server_class = type("Server", (Reporting, base), {})
    with Simulation(Raises, server_class=server_class) as simulation:
        run = simulation.examine(ONE)
    assert run.loop_error == "KeyError: 'on purpose'"
    assert ("nothing left" in names(run)) is at_fault


class ClosingBadly:
    closes = 0

    def shutdown_request(self, request: Any) -> None:
        ClosingBadly.closes += 1
        request.close()
        raise ValueError("on purpose")


@RULES
def test_a_request_that_fails_to_close_is_closed_twice(base: type, at_fault: bool) -> None:
    server_class = type("Server", (ClosingBadly, base), {})
    ClosingBadly.closes = 0
    with Simulation(Upper, server_class=server_class) as simulation:
        simulation.play(ONE)
    assert ClosingBadly.closes == 1 + at_fault


class Stopping(BaseRequestHandler):
    def handle(self) -> None:
        self.server.shutdown()


@RULES
def test_a_handler_that_stops_its_server_waits_for_ever(base: type, at_fault: bool) -> None:
    with Simulation(Stopping, server_class=base) as simulation:
        run = simulation.examine(Script((ClientScript((Connect(),)),)))
    assert ("ends" in names(run)) is at_fault
    assert ("the loop to end" in run.stuck) is at_fault
    assert bool(run.findings) is at_fault


@pytest.mark.parametrize(("base", "at_fault"), [(StdlibThreads, True), (ThreadingTCPServer, False)])
def test_a_thread_that_does_not_start_keeps_it_from_being_closed(
    base: type, at_fault: bool
) -> None:
    script = Script(ONE.clients, faults=(Fault("thread", "fail"),))
    with Simulation(Upper, server_class=base) as simulation:
        run = simulation.examine(script)
    assert ("closing raises nothing" in names(run)) is at_fault
    assert bool(run.findings) is at_fault


@pytest.mark.parametrize(
    ("base", "attributes", "seconds"),
    [
        (StdlibThreads, {}, 300),
        (ThreadingTCPServer, {}, 300),  # the same by default
        (ThreadingTCPServer, {"drain_timeout": 2.0}, 2),
    ],
)
def test_a_mute_client_keeps_it_from_being_closed(
    base: type, attributes: dict[str, Any], seconds: float
) -> None:
    script = Script(
        (
            ClientScript((Connect(), Send(b"a"), ReceiveToEnd())),
            ClientScript((CloseServer(),), start=1.0),
        ),
        faults=(Fault("recv", "mute", 2),),
    )
    with Simulation(Mute, server_class=base, attributes=attributes) as simulation:
        run = simulation.examine(script)
    assert run.closing == pytest.approx(seconds, abs=2)
    assert run.findings == ()


@pytest.mark.parametrize(
    ("base", "at_fault"),
    [
        (socketserver.DatagramRequestHandler, True),
        (sansio_server.DatagramRequestHandler, False),
    ],
)
def test_a_reply_to_a_peer_without_a_name_raises(base: Any, at_fault: bool) -> None:
    # The standard library's handler itself, unmodified, in memory.
    with ScriptedServer(type("Handler", (base,), {}), UnixDatagramServer) as server:
        server.server.handle_error = lambda *_: None
        with DatagramSocket(server.world, AF_UNIX) as unnamed:
            unnamed.sendto(b"x", server.server.server_address)
            server.run()
        assert bool(server.errors) is at_fault
