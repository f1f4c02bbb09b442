"""All that is planted: what is faulty, its twin, and what it is found by."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import attrs

from sansio_server.testing import (
    DATAGRAM_FAULTS,
    DEFAULT_FAULTS,
    ClientScript,
    FaultRule,
    ReceiveDatagram,
    Run,
    SendDatagram,
    clients_that_send,
)
from sansio_server.testing.runs.comparing import INDEPENDENT_OF_CUTS, INDEPENDENT_OF_OTHERS
from sansio_server.testing.runs.invariants import Invariant
from tests.testing.faulty import servers, streams
from tests.testing.replayed import Upper

LINES = (b"hello\n", b"and good bye\n")


@attrs.frozen
class Planted:
    """A fault, and how it is looked for."""

    name: str
    faulty: dict[str, Any]
    correct: dict[str, Any]
    found_by: str
    clients: Sequence[ClientScript] = clients_that_send(LINES)
    faults: Sequence[FaultRule] = DEFAULT_FAULTS
    invariants: Sequence[Invariant] = ()
    without: Sequence[str] = ()
    between_lines: bool = False
    # What the client of the happy-path test gets.
    reply: bytes = b"HELLO\nAND GOOD BYE\n"


def handlers(faulty: Callable[..., Any], correct: Callable[..., Any]) -> dict[str, Any]:
    return {"faulty": {"handler": faulty}, "correct": {"handler": correct}}


def classes(faulty: type, correct: type) -> dict[str, Any]:
    return {
        "faulty": {"handler": Upper, "server_class": faulty},
        "correct": {"handler": Upper, "server_class": correct},
    }


def tickets_are_unique(run: Run) -> Iterator[str]:
    tickets = [seen.received.partition(b"#")[2] for seen in run.clients]
    told = [ticket for ticket in tickets if ticket]
    if len(set(told)) < len(told):
        yield f"two clients were given one ticket: {told}"


def nobody_is_hurried_once_logged_in(run: Run) -> Iterator[str]:
    for number, seen in enumerate(run.clients, 1):
        if b"\ntoo slow" in seen.received:
            yield f"client {number} was told that it is too slow"


PLANTED = (
    Planted(
        "a read that assumes one recv per message",
        **handlers(streams.OneRecvFaulty, streams.OneRecvCorrect),
        found_by=INDEPENDENT_OF_CUTS,
    ),
    Planted(
        "a lost flush",
        **handlers(streams.LostFlushFaulty, streams.LostFlushCorrect),
        found_by=INDEPENDENT_OF_CUTS,
    ),
    Planted(
        "a reply sent twice",
        **handlers(streams.SentTwiceFaulty, streams.SentTwiceCorrect),
        found_by=INDEPENDENT_OF_CUTS,
    ),
    Planted(
        "a send taken to be whole",
        **handlers(streams.ShortSendFaulty, streams.ShortSendCorrect),
        found_by=INDEPENDENT_OF_CUTS,
    ),
    Planted(
        "a reply that depends on chunks",
        **handlers(streams.ByChunkFaulty, streams.ByChunkCorrect),
        found_by=INDEPENDENT_OF_CUTS,
    ),
    Planted(
        "state shared between clients",
        **handlers(streams.SharedBufferFaulty, streams.SharedBufferCorrect),
        found_by=INDEPENDENT_OF_OTHERS,
    ),
    Planted(
        "a loop that does not see the end",
        **handlers(streams.SpinAtEndFaulty, streams.SpinAtEndCorrect),
        found_by="ends",
    ),
    Planted(
        "a swallowed reset",
        **handlers(streams.SwallowsResetFaulty, streams.SwallowsResetCorrect),
        found_by="ends",
    ),
    Planted(
        "a missed unlock on error",
        **handlers(streams.MissedUnlockFaulty, streams.MissedUnlockCorrect),
        found_by="ends",
    ),
    Planted(
        "a last line without an end",
        **handlers(streams.BadTailFaulty, streams.BadTailCorrect),
        found_by="no errors",
    ),
    Planted(
        "a shared counter without a lock",
        **handlers(streams.TicketFaulty, streams.TicketCorrect),
        found_by="tickets are unique",
        invariants=(tickets_are_unique,),
        without=(INDEPENDENT_OF_OTHERS, INDEPENDENT_OF_CUTS),
        reply=b"HELLO\nAND GOOD BYE\n#0",
    ),
    Planted(
        "a race between two lines",
        **handlers(streams.RaceFaulty, streams.RaceCorrect),
        found_by="tickets are unique",
        invariants=(tickets_are_unique,),
        without=(INDEPENDENT_OF_OTHERS, INDEPENDENT_OF_CUTS),
        between_lines=True,
        reply=b"HELLO\nAND GOOD BYE\n#0",
    ),
    Planted(
        "a counter that children change",
        faulty={"handler": streams.TicketInChild, "server_class": servers.CountInChildFaulty},
        correct={"handler": streams.TicketInChild, "server_class": servers.CountInChildCorrect},
        found_by="tickets are unique",
        invariants=(tickets_are_unique,),
        without=(INDEPENDENT_OF_OTHERS, INDEPENDENT_OF_CUTS),
        reply=b"HELLO\nAND GOOD BYE\n#1",
    ),
    Planted(
        "a timeout that is never reset",
        **handlers(streams.TimeoutKeptFaulty, streams.TimeoutKeptCorrect),
        found_by="nobody is hurried once logged in",
        faults=(FaultRule("recv", "delay", 0.1, amount=3.0), FaultRule("recv", "mute", 0.05)),
        invariants=(nobody_is_hurried_once_logged_in,),
        without=(INDEPENDENT_OF_OTHERS, INDEPENDENT_OF_CUTS),
    ),
    Planted(
        "a leak on reset",
        **classes(servers.LeakOnResetFaulty, servers.LeakOnResetCorrect),
        found_by="nothing left",
        without=("no errors",),
    ),
    Planted(
        "a hook that raises",
        **classes(servers.RaisingHookFaulty, servers.RaisingHookCorrect),
        found_by="no errors",
    ),
    Planted(
        "a report that raises",
        **classes(servers.RaisingReportFaulty, servers.RaisingReportCorrect),
        found_by="no errors",
    ),
    Planted(
        "a close that waits for ever",
        **classes(servers.EndlessCloseFaulty, servers.EndlessCloseCorrect),
        found_by="ends",
    ),
    Planted(
        "a drain that waits for ever",
        **classes(servers.EndlessDrainFaulty, servers.EndlessDrainCorrect),
        found_by="ends",
    ),
    Planted(
        "a request served twice",
        **classes(servers.ServedTwiceFaulty, servers.ServedTwiceCorrect),
        found_by="no errors",
    ),
    Planted(
        "a slot lost where no thread starts",
        **classes(servers.SlotsFaulty, servers.SlotsCorrect),
        found_by="closing raises nothing",
    ),
    Planted(
        "datagrams taken to come in order",
        faulty={"handler": servers.InOrderFaulty, "server_class": servers.Packets},
        correct={"handler": servers.InOrderCorrect, "server_class": servers.Packets},
        found_by="no errors",
        clients=(
            ClientScript(
                (
                    SendDatagram(b"open hello"),
                    SendDatagram(b"read"),
                    ReceiveDatagram(timeout=1.0),
                    ReceiveDatagram(timeout=1.0),
                )
            ),
        ),
        faults=DATAGRAM_FAULTS,
        reply=b"HELLO",
    ),
)
