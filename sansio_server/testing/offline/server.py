"""The core as a recording drives it: told what came in, it decides again what is to be done.

Its hooks wait until the recording says what became of them; then the driver goes on, and enters the
next by its table. Nothing is accepted, sent or closed.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Generator
from contextlib import suppress
from contextvars import copy_context
from typing import Any, ClassVar, Final

from sansio_server.draining import Draining
from sansio_server.driver import continue_request, drive
from sansio_server.hooks import LOGGER
from sansio_server.ledger import Place
from sansio_server.request import Step
from sansio_server.testing.recording.format import RecordedError
from sansio_server.trace import LimitsInForce, Standing, TraceEvent

__all__ = ["NOWHERE", "OfflineServer", "Walk"]


class RecordedFailure(Exception):
    """Stands for an Exception that a hook raised."""


class RecordedEscape(BaseException):
    """Stands for another BaseException that a hook raised."""


#: What is logged of a server by this name is dropped.
NOWHERE: Final = "a server that is not there"


def _is_real(record: logging.LogRecord) -> bool:
    return not (isinstance(record.args, tuple) and record.args[:1] == (NOWHERE,))


LOGGER.addFilter(_is_real)


class _Hook:
    """What a hook awaits: that the recording says what became of it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __await__(self) -> Generator[_Hook, bool, bool]:
        return (yield self)


class Walk:
    """The driver on its way through the table, for one request.

    :ivar expected: what the core has told its trace, and the recording not yet.
    :ivar hook: the hook it is in; empty if it is in none.
    :ivar thread: who walks, as recorded; 0 if that is not known.
    """

    def __init__(self, server: OfflineServer, place: Place, entry: Step, thread: int) -> None:
        self.expected: deque[TraceEvent] = deque()
        self.hook = ""
        self.thread = thread
        self._server = server
        self._context = copy_context()
        self._rest: Any = None
        self._resume(lambda: self._begin(place, entry))

    def _begin(self, place: Place, entry: Step) -> Any:
        address = place.client_address
        if entry in (Step.HERE, Step.FINISH):
            rest = continue_request(self._server, entry, place.key, address, "somebody")
        else:
            rest = drive(self._server, entry, place.key, address, place)
        self._rest = rest
        return None if rest is None else rest.send(None)

    def returned(self, result: bool) -> None:
        """Go on, since the hook has returned *result*."""
        self._resume(lambda: self._rest.send(result))

    def raised(self, error: RecordedError) -> None:
        """Go on, since the hook has raised *error*."""
        kind = RecordedFailure if error.is_exception else RecordedEscape
        self._resume(lambda: self._rest.throw(kind(str(error))))

    def _resume(self, go_on: Any) -> None:
        self._server.walk = self
        self.hook = ""
        # What comes out of the walk goes to an override, or out of the loop: the recording knows.
        with suppress(StopIteration, RecordedFailure, RecordedEscape):
            waits = self._context.run(go_on)
            self.hook = "" if waits is None else waits.name
        self._server.walk = None

    def abandon(self) -> None:
        """Leave the walk where it is; call this when the recording has ended."""
        if self._rest is not None:
            self._server.walk, self._server.ended = self, True
            self._context.run(self._rest.close)
            self._server.walk = None


class OfflineServer(Draining):
    """A server that is not there.

    :param standing: how it stands.
    :ivar now: the time.
    :ivar walk: who walks just now, to whom belongs what the core tells its trace.
    :ivar told: what it tells that belongs to no walk.
    :ivar listener_dead: whether the listener is seen to be dead.
    :ivar ended: whether the recording has: then no hook waits any more.
    """

    _bounded: ClassVar[bool] = True

    def __init__(self, standing: Standing) -> None:
        super().__init__("a recording", None)
        self.now = 0.0
        self.walk: Walk | None = None
        self.told: list[TraceEvent] = []
        self.listener_dead = False
        self.ended = False
        self._most: int | None = None
        self.take_on(standing.limits)
        self._stand(standing)
        self._traced = self.trace = self._hear

    def take_on(self, limits: LimitsInForce) -> None:
        """Let these limits be in force."""
        attributes = limits.limits
        self.max_connections = attributes.max_connections
        self.when_full = attributes.when_full
        self.request_timeout = attributes.request_timeout
        self.drain_timeout = attributes.drain_timeout
        self.cut_timeout = attributes.cut_timeout
        self._most = limits.capacity

    def close(self, place: Place) -> None:
        """Close a request, since somebody has, who is not the driver."""
        self._release(place)
        self.told.clear()

    def _hear(self, event: TraceEvent) -> None:
        (self.told if self.walk is None else self.walk.expected).append(event)

    # What the core asks for.

    def _now(self) -> float:
        return self.now

    def _name(self) -> str:
        return NOWHERE

    def _request_key(self, request: Any) -> Any:
        return request

    def _capacity(self) -> int | None:
        return self._most

    def _listener_is_dead(self) -> bool:
        return self.listener_dead

    def _tell_limits(self, trace: Any, time: float) -> None:
        """The recording tells of limits."""

    # The hooks.

    def _wait(self, name: str) -> Any:
        return self.ended or _Hook(name)

    def verify_request(self, request: Any, client_address: Any) -> Any:
        """Wait for the recording."""
        return self._wait("verify_request")

    def process_request(self, request: Any, client_address: Any) -> Any:
        """Wait for the recording."""
        return self._wait("process_request")

    def finish_request(self, request: Any, client_address: Any) -> Any:
        """Wait for the recording."""
        return self._wait("finish_request")

    def shed_request(self, request: Any, client_address: Any) -> Any:
        """Wait for the recording."""
        return self._wait("shed_request")

    def shutdown_request(self, request: Any) -> Any:
        """Wait for the recording."""
        return self._wait("shutdown_request")

    def handle_error(self, request: Any, client_address: Any) -> Any:
        """Wait for the recording."""
        return self._wait("handle_error")
