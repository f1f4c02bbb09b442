"""One format for what happens on a server, whatever drives it.

A trace is a sequence of :class:`TraceEvent`. Set a server's ``trace`` attribute to any callable
that takes one; a list's ``append`` will do.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

import attrs

__all__ = ["Trace", "TraceEvent", "TraceKind"]


class TraceKind(str, Enum):
    """What a :class:`TraceEvent` tells."""

    ACCEPT = "accept"
    """A request came in; ``detail`` is the client's address."""
    ENTER = "enter"
    """A hook begins; ``what`` is its name."""
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
    """``what`` is "shed", "capacity" or "connection-error"; ``detail`` says more."""
    CUT = "cut"
    """The request was cut; ``detail`` says why."""


@attrs.frozen
class TraceEvent:
    """Something that happened.

    :ivar time: seconds on the server's clock.
    :ivar kind: what kind of thing.
    :ivar request: the number of the request it happened to, counted from 1; 0 for the server.
    :ivar what: a hook, a direction, an event: see :class:`TraceKind`.
    :ivar detail: the rest: see :class:`TraceKind`.
    """

    time: float
    kind: TraceKind
    request: int
    what: str
    detail: Any = None


#: What a server's ``trace`` attribute holds.
Trace = Callable[[TraceEvent], object]
