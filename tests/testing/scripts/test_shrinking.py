"""Scripts that fail become short, whatever it is that they fail by."""

from __future__ import annotations

import attrs
import pytest

from sansio_server.testing.scripts.actions import (
    Action,
    ClientScript,
    Connect,
    HalfClose,
    ReceiveToEnd,
    Reset,
    Send,
    SendDatagram,
    Wait,
)
from sansio_server.testing.scripts.faults import Fault
from sansio_server.testing.scripts.generating import clients_that_send, generate
from sansio_server.testing.scripts.script import Script
from sansio_server.testing.scripts.shrinking import shrink, size_of

LARGE = attrs.evolve(
    generate(7, clients_that_send([b"hello\n", b"world\n"])),
    clients=(
        *generate(8, clients_that_send([b"hello\n", b"world\n"])).clients,
        ClientScript((Connect(), Send(b"ab"), Wait(5.0), Send(b"cde"), HalfClose())),
        ClientScript((SendDatagram(b"xyz"),), start=0.5),
    ),
    faults=tuple(Fault("recv", "short", nth, amount=2) for nth in range(1, 20)),
    schedule=7,
)


def sends(script: Script, data: bytes) -> bool:
    return any(data in client.sent for client in script.clients)


def test_to_the_bytes_that_matter() -> None:
    assert shrink(LARGE, lambda script: sends(script, b"c")) == Script(
        (ClientScript((Connect(), Send(b"c"))),)
    )


def test_pieces_that_do_not_matter_become_one_in_a_few_steps() -> None:
    message = b"a message of many pieces"
    pieces = [each for byte in message for each in (Send(bytes([byte])), Wait(0.001))]
    script = Script((ClientScript((Connect(), *pieces, HalfClose())),))
    assert shrink(script, lambda script: sends(script, message), most=10) == Script(
        (ClientScript((Connect(), Send(message))),)
    )


def test_who_reads_to_the_end_still_says_that_it_sends_no_more() -> None:
    """Or no server would ever end it."""
    ends = ClientScript((Connect(), Send(b"ab"), HalfClose(), ReceiveToEnd()))
    (client,) = shrink(Script((ends,)), lambda script: ReceiveToEnd() in actions_of(script)).clients
    assert client.actions == (Connect(), HalfClose(), ReceiveToEnd())
    # Who did not from the beginning need not now: its server says when it is over.
    waits = ClientScript((Connect(), Send(b"ab"), ReceiveToEnd()))
    (client,) = shrink(
        Script((waits,)), lambda script: ReceiveToEnd() in actions_of(script)
    ).clients
    assert client.actions == (Connect(), ReceiveToEnd())


def actions_of(script: Script) -> tuple[Action, ...]:
    return tuple(action for client in script.clients for action in client.actions)


def test_to_a_datagram() -> None:
    assert shrink(LARGE, lambda script: sends(script, b"y")) == Script(
        (ClientScript((SendDatagram(b"y"),)),)
    )


def test_to_the_fault_that_matters() -> None:
    def fails(script: Script) -> bool:
        return any(fault.nth >= 3 for fault in script.faults)

    assert shrink(LARGE, fails).faults == (Fault("recv", "short", 3),)


def test_to_the_schedule_that_matters() -> None:
    assert shrink(LARGE, lambda script: script.schedule is not None).schedule == 0
    assert shrink(LARGE, lambda script: script.schedule in {5, 7}).schedule == 5


def test_to_turns_where_handlers_wait() -> None:
    script = attrs.evolve(LARGE, between_lines=True)
    assert not shrink(script, lambda each: each.schedule is not None).between_lines


def test_to_two_clients_where_it_takes_two() -> None:
    small = shrink(LARGE, lambda script: sum(b"d" in c.sent for c in script.clients) >= 2)
    assert [client.actions for client in small.clients] == [(Connect(), Send(b"d"))] * 2


def test_to_sends_that_are_joined_and_waits_that_are_short() -> None:
    def fails(script: Script) -> bool:
        return sends(script, b"abcde") and any(
            isinstance(action, Wait) for client in script.clients for action in client.actions
        )

    (client,) = shrink(LARGE, fails).clients
    assert sorted(type(action).__name__ for action in client.actions) in (
        ["Connect", "Send", "Wait"],
        ["Connect", "Send", "Send", "Wait"],
    )
    assert Wait(1.0) in client.actions


def test_nothing_simpler_fails() -> None:
    assert shrink(LARGE, lambda script: script == LARGE) == LARGE


def test_it_always_ends() -> None:
    asked = []

    def fails(script: Script) -> bool:
        asked.append(script)
        return True

    small = shrink(LARGE, fails)
    assert small == Script((ClientScript(()),))
    assert len(set(asked)) == len(asked)
    assert all(size_of(small) <= size_of(script) for script in asked)


def test_it_asks_no_more_often_than_it_may() -> None:
    asked = []

    def fails(script: Script) -> bool:
        asked.append(script)
        return False

    assert shrink(LARGE, fails, most=10) == LARGE
    assert len(asked) == 10
    with pytest.raises(ValueError, match="most must be 1 or more, not 0"):
        shrink(LARGE, fails, most=0)


def test_candidates_make_sense() -> None:
    def fails(script: Script) -> bool:
        return any(isinstance(a, Reset) for client in script.clients for a in client.actions)

    script = Script((ClientScript((Connect(), Send(b"a"), Reset())),))
    assert shrink(script, fails) == Script((ClientScript((Connect(), Reset())),))
