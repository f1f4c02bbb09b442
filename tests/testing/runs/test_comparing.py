"""Two invariants between runs, on runs that are made up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest

from sansio_server.testing.runs.comparing import (
    INDEPENDENT_OF_CUTS,
    INDEPENDENT_OF_OTHERS,
    Comparison,
)
from sansio_server.testing.runs.run import Finding, Run, Seen
from sansio_server.testing.scripts.actions import (
    ClientScript,
    CloseServer,
    Connect,
    HalfClose,
    Receive,
    ReceiveLine,
    ReceiveToEnd,
    Reset,
    Send,
)
from sansio_server.testing.scripts.faults import Fault
from sansio_server.testing.scripts.script import Script


def says(*pieces: bytes) -> ClientScript:
    return ClientScript((Connect(), *map(Send, pieces), HalfClose(), ReceiveToEnd()))


WHOLE = says(b"hello\n")
PIECES = says(b"hel", b"lo\n")
Answer = Callable[[Script, int], bytes]


@attrs.define
class Played:
    """Runs of a server whose replies a function makes up, and the scripts that were asked for."""

    answer: Answer
    scripts: list[Script] = attrs.Factory(list)

    def play(self, script: Script) -> Run:
        self.scripts.append(script)
        seen = [
            Seen((self.answer(script, number),)) if client.actions else Seen()
            for number, client in enumerate(script.clients, 1)
        ]
        return Run(script=script, clients=tuple(seen))

    def findings(self, script: Script, **options: Any) -> list[Finding]:
        run = self.play(script)
        self.scripts.clear()
        return list(Comparison(self.play, **options).findings(run))


def sends(script: Script, number: int) -> int:
    """Answer with how often the client sends: what no server should do."""
    return sum(isinstance(action, Send) for action in script.clients[number - 1].actions)


def by_cuts(script: Script, number: int) -> bytes:
    return b"%d" % sends(script, number)


def by_others(script: Script, number: int) -> bytes:
    return b"%d" % sum(bool(client.actions) for client in script.clients)


def by_bytes(script: Script, number: int) -> bytes:
    return script.clients[number - 1].sent.upper()


def test_what_depends_on_bytes_alone_is_right() -> None:
    played = Played(by_bytes)
    assert played.findings(Script((PIECES, WHOLE))) == []
    # Both say the same, but each has its own number, and so its own address.
    assert len(played.scripts) == 2
    for script in played.scripts:
        assert script.schedule is None
        assert sends(script, 1) + sends(script, 2) == 1


def test_what_depends_on_cuts_is_found() -> None:
    (finding,) = Played(by_cuts).findings(Script((PIECES, WHOLE)))
    assert finding.invariant == INDEPENDENT_OF_CUTS
    assert finding.message == "client 1 received b'2', but in whole messages b'1'"


def test_what_depends_on_others_is_found() -> None:
    found = Played(by_others).findings(Script((WHOLE, PIECES)))
    assert [each.invariant for each in found] == [INDEPENDENT_OF_OTHERS] * 2
    assert found[0].message == "client 1 received b'2' beside others, but alone b'1'"


def test_an_error_is_part_of_what_is_seen() -> None:
    run = Run(script=Script((WHOLE,)), clients=(Seen((b"x",), "ConnectionResetError"),))
    played = Played(lambda script, number: b"x")
    (finding,) = Comparison(played.play).findings(run)
    assert "received b'x' and then ConnectionResetError" in finding.message


def test_each_can_be_left_out() -> None:
    cut, crowded = Script((PIECES,)), Script((WHOLE, WHOLE))
    assert Played(by_cuts).findings(cut, cuts=False) == []
    assert Played(by_cuts).findings(cut, others=False)
    assert Played(by_others).findings(crowded, others=False) == []
    assert Played(by_others).findings(crowded, cuts=False)
    played = Played(by_cuts)
    assert played.findings(cut, cuts=False, others=False) == []
    assert played.scripts == []


def test_how_pieces_arrive_follows_from_the_schedule() -> None:
    """A client that is served differently beside others may only have been cut differently."""

    def by_schedule(script: Script, number: int) -> bytes:
        return b"late" if script.schedule in {4, 77} and sends(script, number) == 2 else b"early"

    played = Played(by_schedule)
    script = Script((PIECES, WHOLE), schedule=77)
    (finding,) = played.findings(script)
    assert finding.invariant == INDEPENDENT_OF_CUTS
    assert [each.schedule for each in played.scripts[:2]] == [None, 77]

    def by_others_once(script: Script, number: int) -> bytes:
        hurt = number == 1 and script.schedule == 77 and script.clients[1].actions
        return b"late" if hurt else b"early"

    (finding,) = Played(by_others_once).findings(script)
    assert finding.invariant == INDEPENDENT_OF_OTHERS


def test_faults_go_with_whom_they_happened_to() -> None:
    faults = (Fault("recv", "short", 1, "request 2"), Fault("send", "short", 1, "request 1"))
    script = Script((PIECES, WHOLE), faults=faults)
    played = Played(lambda script, number: by_others(script, number))
    run = attrs.evolve(played.play(script), served={1: 2, 2: 1})
    played.scripts.clear()
    list(Comparison(played.play).findings(run))
    # The first client's request was the second; alone it is the first.
    assert played.scripts[0].faults == ()
    assert played.scripts[1].faults == (Fault("recv", "short", 1, "request 1"),)


def test_what_a_client_receives_alone_is_found_out_once() -> None:
    played = Played(by_bytes)
    comparison = Comparison(played.play)
    for client in (PIECES, WHOLE, says(b"h", b"ello\n")):
        run = Played(by_bytes).play(Script((client,)))
        assert list(comparison.findings(run)) == []
    assert len(played.scripts) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"stuck": "a deadlock"},
        {"hit": frozenset({1})},
        {"script": Script((PIECES,), faults=(Fault("clock", "jump"),))},
        {"script": Script((PIECES,), faults=(Fault("recv", "mute"),))},
        {"script": Script((PIECES,), faults=(Fault("send", "slow-reader"),))},
    ],
)
def test_runs_that_went_otherwise_are_not_compared(change: dict[str, Any]) -> None:
    played = Played(by_cuts)
    run = attrs.evolve(played.play(Script((PIECES,))), **change)
    assert list(Comparison(played.play).findings(run)) == []


@pytest.mark.parametrize(
    "actions",
    [
        (Connect(), Send(b"a"), Send(b"b"), Receive(1)),
        (Connect(), Send(b"a"), Send(b"b"), ReceiveLine(timeout=1.0)),
        (Connect(), Send(b"a"), Send(b"b"), ReceiveLine(), Reset()),
        (Connect(), Send(b"a"), Send(b"b"), CloseServer(), ReceiveLine()),
        (Connect(), Send(b"a"), Send(b"b")),
    ],
)
def test_clients_whose_replies_depend_on_time_are_not_compared(actions: Any) -> None:
    assert Played(by_cuts).findings(Script((ClientScript(actions),))) == []
