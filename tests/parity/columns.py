"""The columns of the comparison: the stdlib, and what must behave as it does.

A column is a module with the interface of `socketserver`; to compare another one, add a row.
"""

from __future__ import annotations

import socket
import socketserver
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import attrs

import sync_backend
import trio_backend.blocking
from tests.parity.instrument import NO_FORKS, WAYS
from tests.parity.memory import MEMORY, WITHOUT_SOCKETS
from tests.parity.pools import POOL, PREFORK, WITHOUT_POOL, WITHOUT_PREFORK
from tests.parity.recorder import PATIENCE, Recorder
from tests.parity.scenario import Scenario
from tests.parity.scenarios.async_handlers import twin_of
from tests.parity.tasks import ASYNCIO, TRIO, WITHOUT, WITHOUT_ASYNC, WITHOUT_BASE


def nothing_to_watch(_server: Any, _recorder: Recorder) -> None:
    """Leave the server as it is."""


@attrs.frozen
class Column:
    """One implementation under comparison."""

    name: str
    module: ModuleType
    # The ways of serving that it has.
    ways: Sequence[str] = tuple(WAYS)
    # Called with each server that was built.
    watch: Callable[[Any, Recorder], None] = nothing_to_watch
    # How its traces are compared, by the way of serving, if not by "actors"; see stage.play().
    forms: Mapping[str, str] = attrs.field(factory=dict)
    # Scenarios that are not played on it, and why not.
    without: Mapping[str, str] = attrs.field(factory=dict)
    # Names that its servers have beside those of the others; and attributes that they are given.
    names: Sequence[str] = ()
    attributes: Mapping[str, object] = attrs.field(factory=dict)
    # Whether its handlers are: the twins of the scenarios' own.
    asynchronous: bool = False
    # Whether it is played in a world, where there are no sockets.
    in_memory: bool = False
    # Its words for what the stdlib's traces have other words for.
    alike: Mapping[str, str] = attrs.field(factory=dict)

    def ways_of(self, scenario: Scenario) -> list[str]:
        """Return the ways in which a scenario is played on it: one is enough where tasks serve."""
        if self.asynchronous and twin_of(scenario.handler) is None:
            return []
        ways = [way for way in self.ways if way in scenario.ways]
        return ways[:1] if self.forms in (BY_TASKS, BY_ASYNC_TASKS, BY_POOL) else ways


class StopWatch(threading.Event):
    """What the stdlib's shutdown() waits on, so that a deadlock is recorded, not suffered.

    shutdown() asks the loop to stop, then waits for this event. In the loop's own thread, or while
    nothing serves, nobody would ever set it. In any other thread it takes until the loop's next
    turn; where that is far off, this makes it come by knocking at the server's door.
    """

    def __init__(self, server: Any, recorder: Recorder) -> None:
        super().__init__()
        self._server = server
        self._recorder = recorder
        self._serving: int | None = None
        self._turn = 0.0

    def clear(self) -> None:
        super().clear()
        self._serving = threading.get_ident()
        # How often the loop looks whether it should stop: an argument of its caller.
        self._turn = sys._getframe(1).f_locals["poll_interval"]

    def set(self) -> None:
        super().set()
        self._serving = None

    def wait(self, timeout: float | None = None) -> bool:
        if not self.is_set() and self._serving in {None, threading.get_ident()}:
            self._recorder.record("shutdown() would wait for ever")
            return False
        if self._turn > PATIENCE:
            self._recorder.record("shutdown() would wait for the next turn of the loop")
            self._knock()
        return super().wait(timeout)

    def _knock(self) -> None:
        listener = self._server.socket
        with socket.socket(listener.family, listener.type) as client:
            client.connect(listener.getsockname())
            if listener.type == socket.SOCK_DGRAM:
                client.send(b"")


def watch_the_stop(server: Any, recorder: Recorder) -> None:
    """Replace the event of a server of the stdlib."""
    server._BaseServer__is_shut_down = StopWatch(server, recorder)


# Where tasks serve, all requests are served at once; only what threads don't play is played inline.
BY_TASKS = {"threads": "tasks", "inline": "tasks"}
BY_ASYNC_TASKS = {"threads": "asynchronous", "inline": "asynchronous"}
BY_POOL = {"threads": "pool", "inline": "pool"}

STDLIB = Column("stdlib", socketserver, watch=watch_the_stop)
COLUMNS = (
    Column("sync", sync_backend),
    Column("trio-blocking", trio_backend.blocking, NO_FORKS, names=("blocking_handlers",)),
    Column(
        "trio-blocking-greenlets",
        trio_backend.blocking,
        NO_FORKS,
        names=("blocking_handlers",),
        attributes={"blocking_handlers": "greenlets"},
        forms={"threads": "requests"},  # for tasks share a thread
        without={
            "five datagrams of one client": "requests that look alike",
            "service_actions raises": "the handlers end with the loop: T7",
            "hooks not recorded, fails": "nothing recorded by which requests could be told apart",
            **dict.fromkeys(
                ("threads are left alone", "daemon threads are left alone"),
                "the loop does not leave handlers alone: T7",
            ),
            **dict.fromkeys(
                (
                    f"process_request raises {error} when its thread has ended"
                    for error in ("ValueError", "KeyboardInterrupt")
                ),
                "the loop waits for a handler that has the same thread: T6",
            ),
        },
        alike={"BridgedRequest": "socket", "GreenRequest": "socket"},
    ),
    Column(
        "memory",
        MEMORY,
        NO_FORKS,
        in_memory=True,
        names=("world",),
        without=WITHOUT_SOCKETS,
        alike={"StreamSocket": "socket"},
    ),
    Column("pool", POOL, ("threads", "inline"), without=WITHOUT_POOL, forms=BY_POOL),
    Column("prefork", PREFORK, ("threads", "inline"), without=WITHOUT_PREFORK, forms=BY_POOL),
    Column("trio-threads", TRIO, ("threads", "inline"), without=WITHOUT, forms=BY_TASKS),
    Column(
        "trio-greenlets",
        TRIO,
        ("threads", "inline"),
        without=WITHOUT,
        forms=BY_TASKS,
        attributes={"blocking_handlers": "greenlets"},
        alike={"BridgedRequest": "socket", "GreenRequest": "socket"},
    ),
    Column(
        "trio-async",
        TRIO,
        ("threads", "inline"),
        without={**WITHOUT, **WITHOUT_ASYNC},
        forms=BY_ASYNC_TASKS,
        asynchronous=True,
    ),
    Column(
        "asyncio-async",
        ASYNCIO,
        ("threads", "inline"),
        without={**WITHOUT, **WITHOUT_ASYNC, **WITHOUT_BASE},
        forms=BY_ASYNC_TASKS,
        asynchronous=True,
    ),
    Column(
        "asyncio-threads",
        ASYNCIO,
        ("threads", "inline"),
        without={**WITHOUT, **WITHOUT_BASE},
        forms=BY_TASKS,
    ),
)


def column_named(name: str) -> Column:
    """Return a column by its name."""
    return next(column for column in (STDLIB, *COLUMNS) if column.name == name)
