"""A stop, a drain, a pause at each step of two clients: nobody waits for ever, nothing is left.

In memory, so that each step is met, and always the same; that real loops are woken whatever they
sleep in is in the tests of the backends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import sync_backend
from sansio_server.testing import (
    Action,
    ClientScript,
    CloseServer,
    Connect,
    Drain,
    HalfClose,
    ReceiveExactly,
    ReceiveToEnd,
    Resume,
    Script,
    Send,
    Shutdown,
    Simulation,
    Suspend,
    Wait,
)
from tests.testing.replayed import Upper, UpperAsync

#: Seconds between two steps of a client; the operator comes in between.
STEP = 0.1

TALKS = ClientScript(
    (
        Wait(STEP), Connect(), Wait(STEP), Send(b"one\n"), Wait(STEP), ReceiveExactly(4),
        Send(b"half a"), Wait(STEP), Send(b" line\n"), Wait(STEP), ReceiveExactly(12), HalfClose(),
        Wait(STEP), ReceiveToEnd(),
    )
)  # fmt: skip
STEPS = 1 + sum(isinstance(action, Wait) for action in TALKS.actions)
STAYS = ClientScript((Wait(STEP), Connect(), Send(b"two\n"), ReceiveToEnd()))

STOPS: dict[str, tuple[Action, ...]] = {
    "close": (CloseServer(),),
    "stop, then close": (Shutdown(), Wait(STEP), CloseServer()),
    "drain without time": (Drain(0.0),),
    "drain with time": (Drain(3 * STEP),),
    "suspend, then drain": (Suspend(), Wait(STEP), Drain(0.0)),
    "suspend, then resume": (Suspend(), Wait(STEP), Resume(), Wait(20.0), Drain(0.0)),
}


@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize(
    ("handler", "server_class"),
    [
        (Upper, sync_backend.TCPServer),
        (UpperAsync, sync_backend.TCPServer),
        (Upper, sync_backend.ThreadingTCPServer),
        (UpperAsync, sync_backend.ThreadingUnixStreamServer),
        (Upper, sync_backend.ForkingTCPServer),
    ],
)
def test_it_ends(handler: Callable[..., Any], server_class: type, stop: str) -> None:
    # Who stays is never done by itself: a limit is what ends the server that waits for it.
    attributes = {"request_timeout": 10.0}
    with Simulation(handler, server_class=server_class, attributes=attributes) as simulation:
        for step in range(STEPS):
            operator = ClientScript(STOPS[stop], start=(step + 0.5) * STEP)
            for schedule in (None, 1, 2):
                script = Script((TALKS, STAYS, operator), schedule=schedule)
                run = simulation.examine(script)
                assert run.findings == (), f"at step {step}\n{run.report()}"
                assert run.counters.accepted == run.counters.closed
                # The operator has done it all; no client is left to wait.
                assert run.clients[2].error == ""
                assert run.seconds < 60.0
