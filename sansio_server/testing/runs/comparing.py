"""What clients receive depends on nothing but what they send: two invariants between runs.

What a client gets in a run is compared with what it gets alone, in whole messages, without faults.
If it differs, runs of it alone tell why: the pieces in which its bytes came, or the other clients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import attrs

from sansio_server.testing.scripts.actions import ClientScript
from sansio_server.testing.scripts.generating import alone, in_whole_messages, is_comparable
from sansio_server.testing.scripts.script import Script
from sansio_server.testing.timeline.moments import shown

from .run import Finding, Run, Seen

__all__ = ["INDEPENDENT_OF_CUTS", "INDEPENDENT_OF_OTHERS", "Comparison"]

#: The names of the two.
INDEPENDENT_OF_CUTS: Final = "replies do not depend on cuts"
INDEPENDENT_OF_OTHERS: Final = "replies do not depend on others"

#: How many schedules are tried to find out what something depends on.
_SCHEDULES: Final = 10

#: Faults after which time is not what it was: whatever has a timeout may do something else.
_SHIFTS: Final = frozenset({"jump", "mute", "slow-reader"})


class Comparison:
    """Compares runs of one handler and server.

    :param play: plays a script without any faults but its own.
    :param cuts: whether replies are to be independent of how bytes were cut.
    :param others: whether they are to be independent of what other clients do.
    """

    def __init__(
        self, play: Callable[[Script], Run], *, cuts: bool = True, others: bool = True
    ) -> None:
        self._play = play
        self._cuts = cuts
        self._others = others
        self._known: dict[tuple[int, ClientScript], Seen] = {}

    def findings(self, run: Run) -> Iterator[Finding]:
        """Say what does not hold of *run*, if it was played to its end."""
        if not (self._cuts or self._others) or not _is_comparable(run):
            return
        for number, client in enumerate(run.script.clients, 1):
            if number in run.hit or not is_comparable(client):
                continue
            seen, expected = run.clients[number - 1], self._expected(run.script, number)
            if (seen.received, seen.error) != (expected.received, expected.error):
                yield from self._why(run, number, expected)

    def _expected(self, script: Script, number: int) -> Seen:
        """Return what a client sees alone; it is found out once."""
        key = (number, in_whole_messages(script.clients[number - 1]))
        if key not in self._known:
            self._known[key] = self._play(alone(script, number)).clients[number - 1]
        return self._known[key]

    def _why(self, run: Run, number: int, expected: Seen) -> Iterator[Finding]:
        told = f"client {number} received {_told(run.clients[number - 1])}"
        if self._depends_on_cuts(run, number, expected):
            if self._cuts:
                message = f"{told}, but in whole messages {_told(expected)}"
                yield Finding(INDEPENDENT_OF_CUTS, message)
        elif self._others:
            message = f"{told} beside others, but alone {_told(expected)}"
            yield Finding(INDEPENDENT_OF_OTHERS, message)

    def _depends_on_cuts(self, run: Run, number: int, expected: Seen) -> bool:
        """Play what the client did again, in pieces, with its faults, and alone."""
        if not any(c.actions for n, c in enumerate(run.script.clients, 1) if n != number):
            return True
        requests = sorted(request for request, client in run.served.items() if client == number)
        actors = {f"request {request}": f"request {n}" for n, request in enumerate(requests, 1)}
        clients = [
            client if index == number else ClientScript(())
            for index, client in enumerate(run.script.clients, 1)
        ]
        faults = [
            attrs.evolve(fault, actor=actors[fault.actor])
            for fault in run.faults
            if fault.actor in actors
        ]
        # How its pieces arrive follows from the schedule, which others have a share in.
        for schedule in (run.script.schedule, *range(_SCHEDULES)):
            lone = self._play(
                attrs.evolve(run.script, clients=clients, faults=faults, schedule=schedule)
            )
            if lone.clients[number - 1].received != expected.received:
                return True
        return False


def _told(seen: Seen) -> str:
    return shown(seen.received) + (f" and then {seen.error}" if seen.error else "")


def _is_comparable(run: Run) -> bool:
    if run.stuck or any(client.operates for client in run.script.clients):
        return False
    return not any(fault.kind in _SHIFTS for fault in run.faults)
