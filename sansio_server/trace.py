"""One format for what happens on a server, whatever drives it.

A trace is a sequence of :class:`TraceEvent`. Set a server's ``trace`` attribute to any callable
that takes one; a list's ``append`` will do. It holds all that the core is told and all that it
decides, so that the decisions can be made again from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import Enum
from typing import Any

import attrs

from .lifecycle import State
from .limits import AcceptBackoff, Limits

__all__ = [
    "DrainProgress",
    "LimitsInForce",
    "OpenRequest",
    "Standing",
    "Trace",
    "TraceEvent",
    "TraceKind",
]


class TraceKind(str, Enum):
    """What a :class:`TraceEvent` tells."""

    BEGIN = "begin"
    """The trace begins; ``detail`` is the :class:`Standing` of the server."""
    LIMITS = "limits"
    """The limits have changed; ``detail`` is those in force now, :class:`LimitsInForce`."""
    ACCEPT = "accept"
    """A request came in; ``detail`` is the client's address."""
    ENTER = "enter"
    """A hook begins; ``what`` is its name, ``detail`` the step that runs it."""
    LEAVE = "leave"
    """A hook ended; ``detail`` is its outcome."""
    BYTES = "bytes"
    """``what`` is "in" or "out"; ``detail`` the number of bytes moved."""
    CLOSE = "close"
    """The request is over; its place is free."""
    ERROR = "error"
    """An exception came out of a hook; ``detail`` is it."""
    STATE = "state"
    """``what`` is an event of the server's lifecycle; ``detail`` the loop's state after it."""
    OVERLOAD = "overload"
    """``what`` is "shed", or "capacity", "connection-error" or "fatal", with the error that
    accepting raised as ``detail``."""
    WAIT = "wait"
    """The loop goes to sleep and listens to nobody; ``what`` is "full", "back-off" or
    "suspended", ``detail`` how many requests are open."""
    CUT = "cut"
    """The request was cut; ``detail`` says why."""
    DRAIN = "drain"
    """``what`` is "begin", "step" or "end" of a drain; ``detail`` is :class:`DrainProgress`."""


@attrs.frozen
class TraceEvent:
    """Something that happened.

    :ivar time: seconds on the server's clock.
    :ivar kind: what kind of thing.
    :ivar request: the number of the request it happened to, counted from 1; 0 for the server.
    :ivar what: a hook, a direction, an event: see :class:`TraceKind`.
    :ivar detail: the rest: see :class:`TraceKind`.
    :ivar data: the bytes that moved, if the trace has an attribute ``payload`` that is true.
    """

    time: float
    kind: TraceKind
    request: int
    what: str
    detail: Any = None
    data: bytes | None = attrs.field(default=None, repr=False)


@attrs.frozen
class LimitsInForce:
    """What a server takes on.

    :ivar limits: what its attributes say.
    :ivar capacity: the most requests open at once, which a backend may bound further; None for no
        limit.
    """

    limits: Limits
    capacity: int | None


@attrs.frozen
class OpenRequest:
    """A request that was open when a trace began; see :class:`~sansio_server.ledger.Place`."""

    number: int
    client_address: Any
    since: float
    deadline: float
    cut: bool


@attrs.frozen
class Standing:
    """How a server stands when its trace begins.

    :ivar listener: the state of this one of the :data:`~sansio_server.lifecycle.REGIONS`.
    :ivar loop: likewise.
    :ivar accepting: likewise.
    :ivar drain: likewise.
    :ivar loops: how many loops run.
    :ivar limits: what it takes on.
    :ivar backoff: how long the listener is left alone.
    :ivar numbered: the number that the last request was given; 0 before the first.
    :ivar requests: those that are open.
    """

    listener: State
    loop: State
    accepting: State
    drain: State
    loops: int
    limits: LimitsInForce
    backoff: AcceptBackoff
    numbered: int
    requests: tuple[OpenRequest, ...]


@attrs.frozen
class DrainProgress:
    """How far a drain has come.

    :ivar drain: tells one from another; counted from 1.
    :ivar requests: at its begin, the numbers of the requests waited for; at a step, of those that
        have ended since the last; at its end, of those left behind.
    :ivar timeout: at its begin, the seconds until those left are cut; None for ever.
    :ivar cut: at a step, the numbers of the requests to cut now; at its end, of all that were.
    :ivar until: at a step, when there is to be another at the latest.
    """

    drain: int
    requests: tuple[int, ...]
    timeout: float | None = None
    cut: tuple[int, ...] = ()
    until: float = math.inf


#: What a server's ``trace`` attribute holds.
Trace = Callable[[TraceEvent], object]
