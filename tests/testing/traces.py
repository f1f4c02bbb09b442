"""Traces to run again: of scripted requests in memory, and written by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from sansio_server.draining import Draining
from sansio_server.driver import run_blocking, start_request
from sansio_server.ledger import Place
from sansio_server.lifecycle import Event
from sansio_server.request import Step
from sansio_server.testing.recording.format import Record, as_line, as_record, as_records
from sansio_server.trace import TraceEvent, TraceKind
from tests.core.memory import MemoryServer
from tests.core.scripted import Process, ScriptedServer


def begin(server: MemoryServer, event: Event = Event.SERVE) -> list[TraceEvent]:
    """Begin a trace with an event of the server's life."""
    events: list[TraceEvent] = []
    server.trace = events.append
    happen(server, event)
    return events


def happen(server: MemoryServer, event: Event) -> None:
    """Let something happen, and tell of it as backends do."""
    server._happened(event)
    server._emit(TraceKind.STATE, 0, event.name, server._lifecycle.loop.name)


def scripted_trace(
    kind: type[ScriptedServer],
    process: Process,
    script: Mapping[str, str],
    entry: Step = Step.VERIFY,
) -> tuple[ScriptedServer, list[Record]]:
    """Serve one request by a script; return its server and its trace."""
    server = kind(script, process)
    events = begin(server)
    if entry is Step.SHED:
        server.max_connections, server.when_full = 1, "shed"
        server._ledger.take("somebody else", "client", 0.0)
        server._emit(TraceKind.ACCEPT, 1, "accept", "client")
        server._came_in()
    server.play(entry)
    return server, as_records(events)


class Server(Draining, MemoryServer):
    """Gives each request away; a test says when it ends."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.events = begin(self)

    def come(self, seconds: float = 0.0) -> int:
        """Let a request in after some seconds, by what the core says; return its number."""
        self.time += seconds
        request = _Request()
        run_blocking(start_request(self, request, "client", self._came_in()))
        request.number = self._ledger.numbered
        for place in self._ledger:
            if place.number == request.number:
                place.worker = request
        return request.number

    def process_request(self, request: Any, client_address: Any) -> None:
        pass

    def end(self, number: int, seconds: float = 0.0) -> None:
        """End a request after some seconds."""
        self.time += seconds
        for place in self._ledger:
            if place.number == number:
                place.worker = None
                self._release(place)

    def turn(self, seconds: float = 0.0) -> None:
        """Look for who is overdue, after some seconds."""
        self.time += seconds
        self._attend()

    def fail(self, error: OSError) -> None:
        """Fail to accept."""
        with suppress(OSError):
            self._accept_failed(error)

    def stop(self) -> None:
        """Stop, and leave the loop."""
        happen(self, Event.SHUTDOWN)
        happen(self, Event.LEAVE)

    def drain(self, timeout: float | None) -> None:
        """Drain; whoever is cut ends at once, others after a second each."""
        places = [place for place in self._ledger if place.worker is not None]
        run_blocking(self._end_requests(places, timeout, quietly=True))

    def _wait_for_end(self, places: Any, until: float) -> None:
        going = [place for place in places if self._goes_on(place)]
        if until < self.time + 1.0:
            self.time = until
        elif going:
            self.end(going[0].number, 1.0)

    def _end_early(self, place: Place) -> None:
        self.end(place.number)

    @property
    def records(self) -> list[Record]:
        """What happened, as records."""
        return as_records(self.events)


class _Request:
    number = 0

    def close(self) -> None:
        """There is nothing to close."""


def through_a_file(records: Sequence[Record]) -> list[Record]:
    """Return *records* as they are read again from a file."""
    return [
        as_record(as_line(each.event, each.server, each.process, each.thread)) for each in records
    ]


def three_at_once(**limits: object) -> Server:
    """Three come at 1, 2 and 3 s, and stay until 11, 12 and 13 s."""
    server = Server(**limits)
    numbers = [server.come(1.0) for _ in range(3)]
    server.time = 10.0
    for number in numbers:
        server.end(number, 1.0)
    return server
