"""The lifecycle of a server: its states, its events, and the table that joins them.

A server is in four states at once, one of each *region*, since they change independently: programs
serve on sockets they bound by hand, close a server while it serves, suspend it before it starts.

=============  =======================================================
listener       new, bound, active, closed
loop           idle, stop kept, serving, waiting, stopping
accepting      open, suspended
drain          not draining, grace, cutting, drained, abandoned
=============  =======================================================

:class:`Lifecycle` holds the four and answers what a backend may do. It does no I/O and is not
thread-safe: a backend whose events come from several threads brings its own order to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Final

import attrs

from .exceptions import IllegalTransition

__all__ = [
    "LOOP_ENTRIES",
    "REGIONS",
    "RUNNING",
    "SERVER_STATES",
    "STOPS",
    "Event",
    "Lifecycle",
    "State",
]


class State(IntEnum):
    """What a server can be in; :data:`REGIONS` says which exclude each other."""

    NEW = 0
    """There is a server; nothing is bound."""
    BOUND = 1
    """``server_bind()`` succeeded."""
    ACTIVE = 2
    """``server_activate()`` succeeded: clients can connect."""
    CLOSED = 3
    """``server_close()`` was called."""

    IDLE = 4
    """Nothing serves."""
    STOP_KEPT = 5
    """Nothing serves, and a stop was asked for: it ends the next serve at once."""
    SERVING = 6
    """``serve_forever()`` runs."""
    WAITING = 7
    """``handle_request()`` waits for its request."""
    STOPPING = 8
    """Somebody asked the running loop to stop; no further request is accepted."""

    OPEN = 9
    """Requests are accepted as they come."""
    SUSPENDED = 10
    """Requests stay in the listener's queue until ``resume()``."""

    NOT_DRAINING = 11
    """Nobody waits for the requests under way to end."""
    GRACE = 12
    """Requests under way may end by themselves."""
    CUTTING = 13
    """Grace is over: what is left was cut and is expected to end."""
    DRAINED = 14
    """No request is left."""
    ABANDONED = 15
    """Requests are left that did not end even when cut."""


class Event(IntEnum):
    """What happens to a server."""

    BIND = 0
    """``server_bind()`` succeeded."""
    ACTIVATE = 1
    """``server_activate()`` succeeded."""
    CLOSE = 2
    """``server_close()`` was called."""
    SERVE = 3
    """``serve_forever()`` begins."""
    WAIT = 4
    """``handle_request()`` begins."""
    REQUEST = 5
    """The wait of ``handle_request()`` is over: a request can be accepted."""
    TIMEOUT = 6
    """The wait of ``handle_request()`` is over: its time has passed."""
    SHUTDOWN = 7
    """Somebody asked for a stop."""
    LEAVE = 8
    """A loop ended: it saw the stop, or an exception left it."""
    SUSPEND = 9
    """Accept no more for now."""
    RESUME = 10
    """Accept again."""
    DRAIN = 11
    """Somebody began to wait for the requests under way."""
    EMPTY = 12
    """The last request under way ended."""
    DEADLINE = 13
    """The time of a step of the drain has passed."""


_S, _E = State, Event

#: The states that exclude each other, by region; the first of each is where a server begins.
REGIONS: Final[Mapping[str, tuple[State, ...]]] = MappingProxyType(
    {
        "listener": (_S.NEW, _S.BOUND, _S.ACTIVE, _S.CLOSED),
        "loop": (_S.IDLE, _S.STOP_KEPT, _S.SERVING, _S.WAITING, _S.STOPPING),
        "accepting": (_S.OPEN, _S.SUSPENDED),
        "drain": (_S.NOT_DRAINING, _S.GRACE, _S.CUTTING, _S.DRAINED, _S.ABANDONED),
    }
)

#: The table. An event is put to every region that knows it; a region that knows an event but has
#: no row for it in its present state refuses it. LEAVE, REQUEST and TIMEOUT are put to the table
#: for the last of several concurrent loops only.
SERVER_STATES: Final[Mapping[State, Mapping[Event, State]]] = MappingProxyType(
    {
        # Binding again after a close is what programs do that swap another socket in.
        _S.NEW: {_E.BIND: _S.BOUND, _E.ACTIVATE: _S.ACTIVE, _E.CLOSE: _S.CLOSED},
        _S.BOUND: {_E.BIND: _S.BOUND, _E.ACTIVATE: _S.ACTIVE, _E.CLOSE: _S.CLOSED},
        _S.ACTIVE: {_E.BIND: _S.BOUND, _E.ACTIVATE: _S.ACTIVE, _E.CLOSE: _S.CLOSED},
        _S.CLOSED: {_E.BIND: _S.BOUND, _E.ACTIVATE: _S.ACTIVE, _E.CLOSE: _S.CLOSED},
        _S.IDLE: {
            _E.SERVE: _S.SERVING,
            _E.WAIT: _S.WAITING,
            _E.SHUTDOWN: _S.STOP_KEPT,
            _E.CLOSE: _S.IDLE,
        },
        _S.STOP_KEPT: {
            _E.SERVE: _S.STOPPING,
            _E.WAIT: _S.STOPPING,
            _E.SHUTDOWN: _S.STOP_KEPT,
            _E.CLOSE: _S.STOP_KEPT,
        },
        _S.SERVING: {
            _E.SERVE: _S.SERVING,
            _E.WAIT: _S.SERVING,
            _E.REQUEST: _S.IDLE,
            _E.TIMEOUT: _S.IDLE,
            _E.SHUTDOWN: _S.STOPPING,
            _E.CLOSE: _S.STOPPING,
            _E.LEAVE: _S.IDLE,
        },
        _S.WAITING: {
            _E.SERVE: _S.SERVING,
            _E.WAIT: _S.WAITING,
            _E.REQUEST: _S.IDLE,
            _E.TIMEOUT: _S.IDLE,
            _E.SHUTDOWN: _S.STOPPING,
            _E.CLOSE: _S.STOPPING,
            _E.LEAVE: _S.IDLE,
        },
        _S.STOPPING: {
            _E.SERVE: _S.STOPPING,
            _E.WAIT: _S.STOPPING,
            _E.SHUTDOWN: _S.STOPPING,
            _E.CLOSE: _S.STOPPING,
            _E.LEAVE: _S.IDLE,
        },
        _S.OPEN: {_E.SUSPEND: _S.SUSPENDED, _E.RESUME: _S.OPEN},
        _S.SUSPENDED: {_E.SUSPEND: _S.SUSPENDED, _E.RESUME: _S.OPEN},
        _S.NOT_DRAINING: {_E.DRAIN: _S.GRACE},
        _S.GRACE: {_E.DRAIN: _S.GRACE, _E.EMPTY: _S.DRAINED, _E.DEADLINE: _S.CUTTING},
        # A drain that an exception ended left its state behind; the next begins with its own grace.
        _S.CUTTING: {_E.DRAIN: _S.GRACE, _E.EMPTY: _S.DRAINED, _E.DEADLINE: _S.ABANDONED},
        _S.DRAINED: {_E.DRAIN: _S.GRACE},
        _S.ABANDONED: {_E.DRAIN: _S.GRACE},
    }
)

_REGION_EVENTS: Final = {
    region: frozenset(event for state in states for event in SERVER_STATES[state])
    for region, states in REGIONS.items()
}
#: What a loop begins with.
LOOP_ENTRIES: Final = frozenset({Event.SERVE, Event.WAIT})
#: What asks the loops to end.
STOPS: Final = frozenset({Event.SHUTDOWN, Event.CLOSE})
#: The states of a loop in which it may go on.
RUNNING: Final = frozenset({State.SERVING, State.WAITING})
_LOOP_EXITS: Final = frozenset({Event.REQUEST, Event.TIMEOUT, Event.LEAVE})


@attrs.define(eq=False)
class Lifecycle:
    """The state of one server.

    Call :meth:`put` with each event as it happens, then look at the attributes. Several loops may
    run on one server (threads that each call ``handle_request()``); :attr:`loops` counts them.
    """

    listener: State = State.NEW
    loop: State = State.IDLE
    accepting: State = State.OPEN
    drain: State = State.NOT_DRAINING
    loops: int = 0

    def put(self, event: Event) -> None:
        """Let *event* happen.

        Call this when a hook has succeeded, a loop begins or ends, or somebody asks for a stop.

        :raises IllegalTransition: no row of the table allows *event* now; nothing has changed.
        """
        if event in _LOOP_EXITS:
            self._leave(event)
            return
        loops = self.loops + 1 if event in LOOP_ENTRIES else self.loops
        after = [
            self._after(region, event) if event in events else getattr(self, region)
            for region, events in _REGION_EVENTS.items()
        ]
        # Nothing is called from here on: a signal's handler that raises finds all of it or nothing.
        self.listener, self.loop, self.accepting, self.drain = after
        self.loops = loops

    def _leave(self, event: Event) -> None:
        state = self._after("loop", event)
        self.loops -= 1
        if self.loops == 0:
            self.loop = state

    def _after(self, region: str, event: Event) -> State:
        state: State = getattr(self, region)
        try:
            return SERVER_STATES[state][event]
        except KeyError:
            raise IllegalTransition(
                f"{event.name} cannot happen to a server that is {state.name} ({region})"
            ) from None

    @property
    def running(self) -> bool:
        """Whether a loop may go on: look at this before each accept and each wait."""
        return self.loop in RUNNING

    @property
    def may_accept(self) -> bool:
        """Whether the next request may be accepted, as far as the server's state is concerned."""
        return self.running and self.accepting is State.OPEN

    def forget_loops(self) -> None:
        """Let nothing run, without an event.

        Call this in a forked child, where the loops of the parent are not; a stop that was kept
        stays so.
        """
        self.loops = 0
        if self.loop is not State.STOP_KEPT:
            self.loop = State.IDLE
