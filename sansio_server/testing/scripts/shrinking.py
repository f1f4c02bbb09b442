"""From a script that fails to the shortest one that still does.

This knows nothing of servers: it makes a script simpler in one way after the other, as long as a
predicate says that the simpler one fails too (delta debugging, after Zeller and Hildebrandt,
"Simplifying and Isolating Failure-Inducing Input", IEEE TSE 28(2), 2002).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import attrs

from .actions import (
    Action,
    ClientScript,
    Connect,
    HalfClose,
    ReceiveToEnd,
    Send,
    SendDatagram,
    Wait,
)
from .faults import Fault
from .generating import in_whole_messages
from .script import Script

__all__ = ["shrink", "size_of"]

_T = TypeVar("_T")


def size_of(script: Script) -> tuple[int, int, int, int, float]:
    """Return how large *script* is: clients, faults, actions, bytes, and all else."""
    actions = [action for client in script.clients for action in client.actions]
    schedule = 0 if script.schedule is None else 1 + abs(script.schedule)
    rest = sum(client.start for client in script.clients)
    rest += sum(action.seconds for action in actions if isinstance(action, Wait))
    rest += script.between_lines
    rest += sum(fault.nth - 1 + (fault.amount is not None) for fault in script.faults)
    return (
        len(script.clients),
        len(script.faults),
        len(actions),
        sum(len(client.sent) for client in script.clients),
        rest + schedule,
    )


def shrink(script: Script, fails: Callable[[Script], bool], *, most: int = 500) -> Script:
    """Return the simplest script found that *fails* is true of.

    :param script: one that fails; it is returned if nothing simpler does.
    :param fails: says whether a script fails; it must always say the same of the same script.
    :param most: how often to ask it, at most.
    :raises ValueError: *most* is less than 1.
    """
    if most < 1:
        raise ValueError(f"most must be 1 or more, not {most!r}")
    return _Shrinking(script, fails, most).run()


class _Shrinking:
    def __init__(self, script: Script, fails: Callable[[Script], bool], most: int) -> None:
        self._best = script
        self._fails = fails
        self._left = most
        self._known = {script}

    def run(self) -> Script:
        passes = (_clients, _faults, _schedules, _actions, _data, _times)
        size = None
        while size != size_of(self._best) and self._left:
            size = size_of(self._best)
            for candidates in passes:
                while self._improve(candidates):
                    pass
        return self._best

    def _improve(self, candidates: Callable[[Script], Iterator[Script]]) -> bool:
        for candidate in candidates(self._best):
            if candidate in self._known:
                continue
            if not self._left:
                return False
            self._left -= 1
            self._known.add(candidate)
            if self._fails(candidate):
                self._best = candidate
                return True
        return False


def _without_some(items: Sequence[_T], least: int = 0) -> Iterator[tuple[_T, ...]]:
    """Yield *items* without a run of them: long runs first, those at the end first."""
    length = len(items) - least
    while length >= 1:
        for end in range(len(items), length - 1, -length):
            yield (*items[: end - length], *items[end:])
        length //= 2


def _clients(script: Script) -> Iterator[Script]:
    for clients in _without_some(script.clients, least=1):
        yield attrs.evolve(script, clients=clients)


def _faults(script: Script) -> Iterator[Script]:
    for faults in _without_some(script.faults):
        yield attrs.evolve(script, faults=faults)


def _schedules(script: Script) -> Iterator[Script]:
    if script.between_lines:
        yield attrs.evolve(script, between_lines=False)
    if script.schedule is not None:
        yield attrs.evolve(script, schedule=None)
        for schedule in range(min(10, abs(script.schedule))):
            yield attrs.evolve(script, schedule=schedule)


def _actions(script: Script) -> Iterator[Script]:
    for index, client in enumerate(script.clients):
        # Many fewer at once, if it does not matter how what is sent was cut.
        yield from _with_client(script, index, in_whole_messages(client).actions)
        yield from _with_client(script, index, _joined(client.actions))
    for index, client in enumerate(script.clients):
        for actions in _without_some(client.actions):
            yield from _with_client(script, index, actions)


def _data(script: Script) -> Iterator[Script]:
    for index, client in enumerate(script.clients):
        for place, action in enumerate(client.actions):
            if isinstance(action, (Send, SendDatagram)):
                for data in _without_some(action.data, least=0):
                    shorter = attrs.evolve(action, data=bytes(data))
                    actions = (*client.actions[:place], shorter, *client.actions[place + 1 :])
                    yield from _with_client(script, index, actions)


def _times(script: Script) -> Iterator[Script]:
    for index, client in enumerate(script.clients):
        if client.start:
            yield from _with_client(script, index, client.actions, start=0.0)
        for place, action in enumerate(client.actions):
            if isinstance(action, Wait) and action.seconds != 1.0:
                actions = (*client.actions[:place], Wait(1.0), *client.actions[place + 1 :])
                if action.seconds > 1.0:
                    yield from _with_client(script, index, actions, start=client.start)
    for index, fault in enumerate(script.faults):
        for simpler in _simpler_faults(fault):
            faults = (*script.faults[:index], simpler, *script.faults[index + 1 :])
            yield attrs.evolve(script, faults=faults)


def _simpler_faults(fault: Fault) -> Iterator[Fault]:
    if fault.nth > 1:
        yield attrs.evolve(fault, nth=1)
        yield attrs.evolve(fault, nth=fault.nth - 1)
    if fault.amount is not None:
        yield attrs.evolve(fault, amount=None)


def _with_client(
    script: Script, index: int, actions: Iterable[Action], start: float | None = None
) -> Iterator[Script]:
    """Yield *script* with other actions of one client, if they make sense."""
    old = script.clients[index]
    try:
        client = ClientScript(tuple(actions), start=old.start if start is None else start)
    except ValueError:
        return  # such as a Send without its Connect
    if _waits_in_vain(client) and not _waits_in_vain(old):
        return  # it would show how no server ends it, which is another thing
    yield attrs.evolve(
        script, clients=(*script.clients[:index], client, *script.clients[index + 1 :])
    )


def _waits_in_vain(client: ClientScript) -> bool:
    """Say whether *client* receives to the end without saying that it sends no more."""
    half_closed = False
    for action in client.actions:
        if isinstance(action, ReceiveToEnd) and not half_closed:
            return True
        half_closed = isinstance(action, HalfClose) or (
            half_closed and not isinstance(action, Connect)
        )
    return False


def _joined(actions: Iterable[Action]) -> tuple[Action, ...]:
    """Return *actions* with neighbouring Sends made one."""
    joined: list[Action] = []
    for action in actions:
        last = joined[-1] if joined else None
        if isinstance(action, Send) and isinstance(last, Send):
            joined[-1] = Send(last.data + action.data)
        else:
            joined.append(action)
    return tuple(joined)
