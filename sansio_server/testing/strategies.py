"""Strategies for Hypothesis: what clients do, what goes wrong, whole scripts.

This needs the extra ``testing``. What they draw shrinks as Hypothesis shrinks: towards one client
that sends little, says so, and receives what comes; without faults; first come, first served.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hypothesis import strategies as st

from .scripts.actions import (
    Action,
    ClientScript,
    Close,
    Connect,
    HalfClose,
    ReceiveDatagram,
    ReceiveToEnd,
    Reset,
    Send,
    SendDatagram,
    Wait,
)
from .scripts.faults import FAULT_KINDS, Fault
from .scripts.script import Script

__all__ = ["datagram_clients", "faults", "scripts", "stream_clients"]

#: The points that a fault of any strategy may be at, on a stream and on datagrams.
STREAM_POINTS = ("accept", "recv", "send", "fork", "thread", "clock")
DATAGRAM_POINTS = ("sendto", "recvfrom", "fork", "thread", "clock")

#: Seconds that pass between the pieces of a message.
_PAUSES = (0.0, 0.001, 0.01, 0.1, 1.0)

_messages = st.binary(max_size=64)


def faults(points: Iterable[str] = STREAM_POINTS, *, latest: int = 10) -> st.SearchStrategy[Fault]:
    """Return a strategy for one fault.

    :param points: where it may happen; keys of :data:`~.faults.FAULT_KINDS`.
    :param latest: the greatest ``nth``: how often its point is reached before it happens.
    :raises ValueError: there is no such point, or *latest* is less than 1.
    """
    kinds = []
    for point in points:
        if point not in FAULT_KINDS:
            raise ValueError(f"points must be of {', '.join(FAULT_KINDS)}, not {point!r}")
        kinds += [(point, kind) for kind in FAULT_KINDS[point]]
    if not kinds:
        raise ValueError("points must name at least one point")
    if latest < 1:
        raise ValueError(f"latest must be 1 or more, not {latest!r}")
    return st.builds(
        lambda where, nth: Fault(where[0], where[1], nth=nth),
        st.sampled_from(kinds),
        st.integers(1, latest),
    )


@st.composite
def stream_clients(
    draw: st.DrawFn,
    messages: st.SearchStrategy[bytes] = _messages,
    *,
    most: int = 5,
    cuts: bool = True,
    departures: bool = True,
) -> ClientScript:
    """Return a strategy for a client that connects, sends messages, and receives to the end.

    :param messages: what it may send.
    :param most: the most messages.
    :param cuts: whether messages may be sent in pieces, with or without a pause.
    :param departures: whether it may close or reset the connection instead of receiving.
    """
    actions: list[Action] = [Connect()]
    for message in draw(st.lists(messages, max_size=most)):
        actions += _pieces(draw, message) if cuts else [Send(message)]
    ends: list[tuple[Action, ...]] = [(HalfClose(), ReceiveToEnd(), Close())]
    if departures:
        ends += [(Close(),), (Reset(),), (HalfClose(), Reset())]
    actions += draw(st.sampled_from(ends))
    return ClientScript(actions, start=draw(_starts))


@st.composite
def datagram_clients(
    draw: st.DrawFn,
    messages: st.SearchStrategy[bytes] = _messages,
    *,
    most: int = 5,
    timeout: float = 1.0,
) -> ClientScript:
    """Return a strategy for a client that sends datagrams, and waits for a reply to each.

    :param messages: what it may send.
    :param most: the most datagrams.
    :param timeout: seconds that it waits for a reply.
    """
    actions: list[Action] = []
    for message in draw(st.lists(messages, min_size=1, max_size=most)):
        actions += [SendDatagram(message), ReceiveDatagram(timeout=timeout)]
    return ClientScript(actions, start=draw(_starts))


def scripts(
    clients: st.SearchStrategy[ClientScript] | None = None,
    *,
    most: int = 3,
    happening: st.SearchStrategy[Fault] | None = None,
    most_faults: int = 3,
) -> st.SearchStrategy[Script]:
    """Return a strategy for whole scripts, to be given to :func:`~.playing.play`.

    :param clients: what each client may do; those of :func:`stream_clients` if None.
    :param most: the most clients.
    :param happening: which faults may happen; those of :func:`faults` if None.
    :param most_faults: the most of them.
    :raises ValueError: *most* is less than 1, or *most_faults* negative.
    """
    if most < 1:
        raise ValueError(f"most must be 1 or more, not {most!r}")
    if most_faults < 0:
        raise ValueError(f"most_faults must be 0 or more, not {most_faults!r}")
    return st.builds(
        lambda who, what, when: Script(who, faults=what, schedule=when),
        st.lists(stream_clients() if clients is None else clients, min_size=1, max_size=most),
        st.lists(faults() if happening is None else happening, max_size=most_faults),
        st.none() | st.integers(0, 2**16),
    )


_starts = st.sampled_from((0.0, 0.01, 0.1, 1.0))


def _pieces(draw: st.DrawFn, message: bytes) -> Sequence[Action]:
    """Return *message* sent whole, or in a few pieces with a pause between them."""
    places = draw(st.lists(st.integers(1, max(1, len(message) - 1)), max_size=3, unique=True))
    pause = draw(st.sampled_from(_PAUSES))
    actions: list[Action] = []
    begin = 0
    for place in [*sorted(p for p in places if p < len(message)), len(message)]:
        if begin and pause:
            actions.append(Wait(pause))
        actions.append(Send(message[begin:place]))
        begin = place
    return actions
