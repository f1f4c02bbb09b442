"""One run of a script in memory."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import attrs

from sansio_server.hooks import LOGGER
from sansio_server.testing.runs.run import Run, Seen
from sansio_server.testing.scripts.actions import ClientScript
from sansio_server.testing.scripts.drawing import Drawing
from sansio_server.testing.scripts.faults import FaultRule
from sansio_server.testing.scripts.script import Script
from sansio_server.testing.servers import classes
from sansio_server.testing.servers.adoption import in_memory
from sansio_server.testing.servers.variants import any_address, checked_handler, with_attributes
from sansio_server.testing.timeline.trace_moments import moment_of
from sansio_server.testing.world.baton import Crew
from sansio_server.testing.world.errors import Deadlock, Stuck, Unwound
from sansio_server.testing.world.preemption import preempted
from sansio_server.testing.world.scheduler import PATIENCE, Actor
from sansio_server.testing.world.world import World
from sansio_server.trace import TraceEvent, TraceKind

from .script_clients import MemoryClient

__all__ = ["LONGEST", "MOST_MOMENTS", "play"]

#: Seconds of the world's time, and moments, after which a run counts as one that does not end.
LONGEST: Final = 3600.0
MOST_MOMENTS: Final = 5000

#: What a request's client is not compared after: its request did not go as others do.
_SPOILS: Final = frozenset({TraceKind.ERROR, TraceKind.CUT})


def play(
    script: Script,
    handler: Callable[..., Any],
    *,
    server_class: type | None = None,
    rules: Iterable[FaultRule] = (),
    attributes: Mapping[str, Any] | None = None,
    crew: Crew | None = None,
    patience: float = PATIENCE,
) -> Run:
    """Play *script* in memory; return what became of it.

    :param handler: as for a server.
    :param server_class: a class of servers, of any backend or of ``socketserver``, or one derived
        from these; None for one that serves each request concurrently.
    :param rules: faults that may happen beside those of the script, as the script's schedule draws
        them.
    :param attributes: set on the server class.
    :param crew: threads to use; they outlive this.
    :param patience: seconds of real time that something may compute without waiting.
    :raises TypeError: *handler* is a class of servers; *server_class* is none, cannot be in memory,
        or has none of the *attributes*.
    """
    handler = checked_handler(handler)
    made = _server_class(script, server_class, attributes or {})
    drawing = Drawing(script.faults, rules, script.schedule or 0)
    world = _QuietWorld(script.schedule, faults=drawing, jumps=True, crew=crew, patience=patience)
    with _quietly():
        stage = _Stage(script, world, drawing)
        try:
            with world:
                stage.play(made, handler)
        except Stuck as error:  # while the world was closed
            stage.stuck = stage.stuck or str(error)
        return stage.run()


class _QuietWorld(World):
    """A world that prints nothing: what it would is in the run. It does not go on for ever."""

    def _horizon(self) -> float:
        return min(LONGEST, super()._horizon())

    def record(self, what: str, detail: str = "", actor: str | None = None) -> None:
        super().record(what, detail, actor)
        # Once only: those who are ended by it have more to tell.
        if len(self.timeline) == MOST_MOMENTS and not self.closing:
            error = Stuck(
                f"{self.current.label} still moves after {MOST_MOMENTS} moments: it goes round in "
                f"circles\n{self.current.stack()}"
            )
            if self.current is self.main:
                raise error
            self.throw(self.main, error)
            raise Unwound

    def _tell_excepthook(self, error: BaseException) -> None:
        """Tell nobody: what is unhandled is in the run."""


@contextmanager
def _quietly() -> Iterator[None]:
    """Let servers log nothing: what they would is in the trace."""
    LOGGER.addFilter(_nothing)
    try:
        yield
    finally:
        LOGGER.removeFilter(_nothing)


def _nothing(_: logging.LogRecord) -> bool:
    return False


def _server_class(script: Script, given: type | None, attributes: Mapping[str, Any]) -> type[Any]:
    if given is None:
        datagrams = any(client.uses_datagrams for client in script.clients)
        given = classes.ThreadingUDPServer if datagrams else classes.ThreadingTCPServer
    adopted = in_memory(given)
    namespace = {"trace": None, **attributes}  # a class of its own, to be told by
    if script.between_lines:
        namespace["finish_request"] = _between_lines(adopted)
    return with_attributes(adopted, namespace, quiet=True)


def _between_lines(adopted: type[Any]) -> Callable[..., Any]:
    def finish_request(self: Any, request: Any, client_address: Any) -> Any:
        with preempted(self.world):
            return adopted.finish_request(self, request, client_address)

    return finish_request


class _Stage:
    """A server, its loop, and its clients."""

    def __init__(self, script: Script, world: World, drawing: Drawing) -> None:
        self.stuck = ""
        self._script = script
        self._world = world
        self._drawing = drawing
        self._trace: list[TraceEvent] = []
        self._seen = [Seen() for _ in script.clients]
        self._addresses: dict[Any, int] = {}
        self._served: dict[int, int] = {}
        self._spoilt: set[int] = set()
        self._is_closing = False
        self._closing = 0.0
        self._close_error = ""
        self._left: tuple[str, ...] = ()
        self._loop: Actor | None = None
        self.server: Any = None

    def play(self, made: type[Any], handler: Callable[..., Any]) -> None:
        """Serve, let all clients do what they do, stop and close, and see what is left."""
        world = self._world
        made.trace = staticmethod(self._tell)
        try:
            self.server = server = made(any_address(made), handler)
            self._loop = world.spawn("loop", server.serve_forever)
            clients = [
                world.spawn(f"client {number}", self._client(number, client))
                for number, client in enumerate(self._script.clients, 1)
                if client.actions
            ]
            for client in clients:
                self._join(client)
            self.close()
            self._join(self._loop)
            self._left = self._left_over()
        except (Deadlock, Stuck) as error:
            self.stuck = str(error)

    def _join(self, actor: Actor) -> None:
        try:
            self._world.join(actor)
        except Deadlock:
            # A loop that was stopped leaves clients in the queue until the server is closed.
            if self._loop is None or not self._loop.is_over or self._is_closing:
                raise
            self.close()
            self._world.join(actor)
        failure = actor.failure
        if failure is not None and actor is not self._loop:
            raise failure

    def _client(self, number: int, script: ClientScript) -> Callable[[], None]:
        def work() -> None:
            client = MemoryClient(script, self, number)
            self._seen[number - 1] = client.play()

        return work

    def address_of(self, number: int, address: Any) -> None:
        """Note that client *number* has *address*."""
        self._addresses[address] = number

    def shutdown(self) -> None:
        """Stop the server's loop, and wait for it."""
        self.server.shutdown()

    def close(self) -> None:
        """Stop and close the server, once."""
        if not self._is_closing:
            self._is_closing = True
            self.server.shutdown()
            begun = self._world.now
            try:
                self.server.server_close()
            except (Deadlock, Stuck):
                raise
            except Exception as error:  # noqa: BLE001 - told in the run
                self._world.record("error", f"server_close {type(error).__name__}: {error}")
                self._close_error = f"{type(error).__name__}: {error}"
            finally:
                self._closing = self._world.now - begun

    def _tell(self, event: TraceEvent) -> None:
        self._trace.append(event)
        number = event.request
        if event.kind is TraceKind.ACCEPT:
            client = self._addresses.get(event.detail) or self._accepted()
            if client:
                self._served[number] = client
        elif event.kind in _SPOILS or event.what == "shed_request":
            self._spoilt.add(number)
        moment = moment_of(event)
        if moment is not None:
            self._world.record(*moment)

    def _accepted(self) -> int:
        """Return who was accepted last, by name: clients on Unix sockets have no address."""
        kind, _, number = self._world.network.accepted.partition(" ")
        return int(number) if kind == "client" else 0

    def _left_over(self) -> tuple[str, ...]:
        """Return what has not ended though the server is closed and all clients are gone."""
        world = self._world
        try:
            while world.actors:
                world.join(next(iter(world.actors)))
        except Deadlock:
            pass
        actors = [f"{actor.name}, which waits for {actor.waits_for}" for actor in world.actors]
        sockets = world.network.sockets.values()
        return (*actors, *(_described(sock) for sock in sockets))

    def run(self) -> Run:
        """Return what became of it."""
        server = self.server
        limit = None
        if server.drain_timeout is not None:
            limit = server.drain_timeout + server.cut_timeout
        spoilt = {self._served[number] for number in self._spoilt if number in self._served}
        told = [event.detail for event in self._trace if event.kind is TraceKind.ERROR]
        failure = None if self._loop is None else self._loop.failure
        return Run(
            script=attrs.evolve(self._script, faults=tuple(self._drawing.fired)),
            clients=tuple(self._seen),
            trace=tuple(self._trace),
            timeline=tuple(self._world.timeline),
            counters=server._ledger.counters,
            served=dict(self._served),
            hit=frozenset(self._drawing.hit | spoilt),
            stuck=self.stuck,
            computes=bool(self._world.lost),
            loop_error="" if failure is None else f"{type(failure).__name__}: {failure}",
            close_error=self._close_error,
            unhandled=tuple(
                f"{type(error).__name__}: {error}"
                for error in self._world.unhandled
                if not any(error is each for each in told)
            ),
            left=self._left,
            still_open=len(server._ledger),
            drain=server.drain_report,
            closing=self._closing,
            closing_limit=limit,
            seconds=self._world.now,
        )


def _described(sock: Any) -> str:
    return f"a socket of {sock.peer_label or sock.label or 'the server'}"
