"""From a seed to a script: which clients come, how their bytes are cut, what they break off.

All choices are made with ``random.Random(seed).random()``, whose numbers are the same on every
Python and machine.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Sequence
from typing import Final, TypeVar

import attrs

from .actions import (
    RECEIVING,
    Action,
    ClientScript,
    Close,
    CloseServer,
    Connect,
    HalfClose,
    Receive,
    ReceiveDatagram,
    ReceiveToEnd,
    Reset,
    Resume,
    Send,
    SendDatagram,
    Shutdown,
    Suspend,
    Wait,
)
from .script import Script

__all__ = [
    "Variety",
    "alone",
    "clients_that_send",
    "generate",
    "in_whole_messages",
    "is_comparable",
]

_T = TypeVar("_T")

#: Seconds between two pieces of a message: most often none, so that they may arrive as one.
_PAUSES: Final = (0.0, 0.0, 0.001, 0.01, 0.1)


@attrs.frozen(kw_only=True)
class Variety:
    """What a seed may draw.

    :param most: the most clients in one run.
    :param cuts: whether messages are sent in pieces.
    :param departures: the probability that a client breaks off: half-closes, closes or resets its
        connection before it has done all it was to do.
    :param operators: the probability that the server is suspended, stopped or closed meanwhile.
    :raises ValueError: *most* is less than 1, or a probability is not from 0 to 1.
    """

    most: int = attrs.field(default=3, validator=attrs.validators.ge(1))
    cuts: bool = True
    departures: float = attrs.field(
        default=0.2, validator=(attrs.validators.ge(0), attrs.validators.le(1))
    )
    operators: float = attrs.field(
        default=0.1, validator=(attrs.validators.ge(0), attrs.validators.le(1))
    )


def clients_that_send(
    messages: Iterable[bytes], *, datagrams: bool = False
) -> tuple[ClientScript, ...]:
    """Return one client that sends *messages*, says that this was all, and receives to the end.

    :param datagrams: whether each is a datagram, whose reply is waited for, for a second at most.
    """
    actions: list[Action] = []
    if datagrams:
        for message in messages:
            actions += [SendDatagram(message), ReceiveDatagram(timeout=1.0)]
    else:
        actions = [Connect(), *map(Send, messages), HalfClose(), ReceiveToEnd(), Close()]
    return (ClientScript(actions),)


def generate(
    seed: int,
    clients: Sequence[ClientScript],
    variety: Variety | None = None,
    *,
    between_lines: bool = False,
    handler: str | None = None,
    server: str | None = None,
) -> Script:
    """Return the script of *seed*.

    :param seed: of what is drawn here, and of the script's schedule.
    :param clients: what clients may do; each run has one or several, some perhaps twice.
    :param between_lines: as in :class:`~.script.Script`, like *handler* and *server*.
    :raises ValueError: there are no *clients*.
    """
    if not clients:
        raise ValueError("clients must name at least one client")
    variety = Variety() if variety is None else variety
    draw = _Draw(seed)
    drawn = [draw.client(draw.of(clients), variety) for _ in range(1 + draw.below(variety.most))]
    if draw.happens(variety.operators):
        drawn.append(draw.operator())
    return Script(drawn, schedule=seed, between_lines=between_lines, handler=handler, server=server)


class _Draw:
    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed).random  # noqa: S311 - no secret

    def happens(self, probability: float) -> bool:
        return self._random() < probability

    def below(self, limit: int) -> int:
        return int(self._random() * limit)

    def of(self, choices: Sequence[_T]) -> _T:
        return choices[self.below(len(choices))]

    def client(self, base: ClientScript, variety: Variety) -> ClientScript:
        actions = list(base.actions)
        on_stream = any(isinstance(action, Connect) for action in actions)
        if self.happens(variety.departures) and on_stream:
            actions = self.departure(actions)
        if variety.cuts and on_stream and self.happens(0.8):
            actions = self.pieces(actions)
        start = base.start + (0.0 if self.happens(0.7) else self._random() * 0.1)
        return ClientScript(actions, start=round(start, 4))

    def departure(self, actions: list[Action]) -> list[Action]:
        """Return the beginning of *actions*, and a farewell."""
        first = next(i for i, action in enumerate(actions) if isinstance(action, Connect))
        kept = actions[: first + 1 + self.below(len(actions) - first)]
        while kept and isinstance(kept[-1], (Close, Reset, HalfClose)):
            kept.pop()
        if isinstance(kept[-1], Send) and len(kept[-1].data) > 1:
            data = kept[-1].data
            kept[-1] = Send(data[: 1 + self.below(len(data) - 1)])
        farewells: tuple[Action, ...] = (HalfClose(), Close(), Reset())
        farewell = self.of(farewells)
        closed = _is_half_closed(kept)
        if isinstance(farewell, HalfClose) and not closed:
            return [*kept, farewell, ReceiveToEnd()]
        return [*kept, Close() if isinstance(farewell, HalfClose) else farewell]

    def pieces(self, actions: list[Action]) -> list[Action]:
        """Return *actions* with what is sent cut into pieces, with or without pauses."""
        style = self.of(("halves", "bytes", "some", "some"))
        pause = self.of(_PAUSES)
        result: list[Action] = []
        for action in actions:
            if not isinstance(action, Send) or len(action.data) < 2:
                result.append(action)
                continue
            for index, piece in enumerate(self.cut(action.data, style)):
                if index and pause:
                    result.append(Wait(pause))
                result.append(Send(piece))
        return result

    def cut(self, data: bytes, style: str) -> list[bytes]:
        if style == "bytes" and len(data) <= 64:
            return [data[index : index + 1] for index in range(len(data))]
        wanted = 1 if style == "halves" else 1 + self.below(4)
        places = sorted({1 + self.below(len(data) - 1) for _ in range(wanted)})
        bounds = [0, *places, len(data)]
        return [data[a:b] for a, b in itertools.pairwise(bounds)]

    def operator(self) -> ClientScript:
        start = round(self._random() * 0.2, 4)
        return ClientScript(
            self.of(
                (
                    (CloseServer(),),
                    (Suspend(), Wait(0.2), Resume()),
                    (Shutdown(), Wait(0.1), CloseServer()),
                )
            ),
            start=start,
        )


def _is_half_closed(actions: Iterable[Action]) -> bool:
    half_closed = False
    for action in actions:
        if isinstance(action, HalfClose):
            half_closed = True
        elif isinstance(action, Connect):
            half_closed = False
    return half_closed


def in_whole_messages(client: ClientScript) -> ClientScript:
    """Return *client* with all it sends between two receptions sent at once, without a pause."""
    result: list[Action] = []
    gathered = b""
    for action in client.actions:
        if isinstance(action, Send):
            gathered += action.data
            continue
        if isinstance(action, Wait) and gathered:
            continue
        if gathered:
            result.append(Send(gathered))
            gathered = b""
        result.append(action)
    if gathered:
        result.append(Send(gathered))
    return ClientScript(result, start=client.start)


def alone(script: Script, number: int) -> Script:
    """Return *script* with client *number* alone, in whole messages, without faults.

    The others are there and do nothing, so that it keeps its name and its address.
    """
    clients = [
        in_whole_messages(client) if index == number else ClientScript(())
        for index, client in enumerate(script.clients, 1)
    ]
    return attrs.evolve(script, clients=clients, faults=(), schedule=None)


def is_comparable(client: ClientScript) -> bool:
    """Say whether what *client* receives does not depend on how fast anybody is, by its script."""
    if client.operates or any(isinstance(action, Reset) for action in client.actions):
        return False
    receptions = [action for action in client.actions if isinstance(action, RECEIVING)]
    return bool(receptions) and not any(
        isinstance(action, Receive) or action.timeout is not None for action in receptions
    )
