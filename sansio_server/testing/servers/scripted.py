"""Servers for tests that are written by hand: no socket, no thread race, no wall clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from sansio_server.drain import DrainReport
from sansio_server.testing.scripts.faults import Fault, FaultRule
from sansio_server.testing.timeline.moments import Moment, render
from sansio_server.testing.timeline.trace_moments import moment_of
from sansio_server.testing.world.errors import LeftBehind
from sansio_server.testing.world.scheduler import PATIENCE, Actor
from sansio_server.testing.world.world import Faults, World
from sansio_server.trace import TraceEvent, TraceKind

from . import classes
from .adoption import in_memory
from .clients import Client, DatagramClient
from .variants import any_address, checked_handler, with_attributes

__all__ = ["ScriptedServer"]

_Self = TypeVar("_Self", bound="ScriptedServer")


class ScriptedServer:
    """A server in memory, and clients for it. Use it in a ``with`` statement.

    While the test runs its own lines, nothing else moves: the server does so while the test waits
    for something. The clock stands, unless the test waits with a timeout or calls :meth:`advance`.

    :param handler: the handler: a class, blocking or asynchronous, or any callable.
    :param server_class: a class of ``socketserver`` or of any backend, or derived from one, which
        is derived again from bases in memory; see :func:`~.adoption.in_memory`.
    :param address: where to serve; None for any address of the class's family.
    :param seed: what is drawn from it decides who moves next; None for first come, first served.
    :param faults: what goes wrong: faults and rules, which *seed* draws from, or what decides by
        itself; None for nothing.
    :param serve: whether ``serve_forever()`` is to run.
    :param patience: seconds of real time that something may compute without waiting.
    :param attributes: attributes of the server, such as ``max_connections=2``; they are set on a
        subclass, so that its constructor sees them.
    :raises TypeError: *handler* is a class of servers, or *server_class* none, or without such an
        attribute; *faults* has something else in it.

    :ivar server: the server.
    :ivar world: where it lives.
    :ivar trace: what the server's core told: a list of :class:`~sansio_server.trace.TraceEvent`.
    """

    def __init__(
        self,
        handler: Callable[..., Any] | None = None,
        server_class: type[Any] = classes.TCPServer,
        address: Any = None,
        *,
        seed: int | None = None,
        faults: Faults | Iterable[Fault | FaultRule] | None = None,
        serve: bool = True,
        patience: float = PATIENCE,
        **attributes: Any,
    ) -> None:
        self._class = with_attributes(in_memory(server_class), attributes)
        self._handler = checked_handler(handler)
        self._address = address
        self._serve = serve
        self.world = World(seed, faults=faults, patience=patience)
        self.server: Any = None
        self.trace: list[TraceEvent] = []
        self._clients: list[Client | DatagramClient] = []
        self._loop: Actor | None = None

    def __enter__(self: _Self) -> _Self:  # noqa: PYI019 - typing.Self came with Python 3.11
        self.world.__enter__()
        try:
            self.server = self._class(self._address or any_address(self._class), self._handler)
            self._own_trace = self.server.trace
            self.server.trace = self._tell
            if self._serve:
                self._loop = self.world.spawn("loop", self.server.serve_forever)
        except BaseException:
            self.world.__exit__()
            raise
        return self

    def _tell(self, event: TraceEvent) -> None:
        self.trace.append(event)
        moment = moment_of(event)
        if moment is not None:
            self.world.record(*moment)
        if self._own_trace is not None:
            self._own_trace(event)

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        left: list[str] = []
        try:
            self._stop(left)
        except BaseException:
            if error is None:
                raise
        finally:
            self.world.__exit__()
        if left and error is None:
            raise LeftBehind("left behind:\n" + "\n".join(left))

    def _stop(self, left: list[str]) -> None:
        """Stop all in order; add to *left* what is there all the same."""
        for client in self._clients:
            client.close()
        self.world.jumps = True
        self.server.shutdown()
        self.server.server_close()
        self.world.settle()
        if self._loop is not None and self._loop.failure is not None:
            raise self._loop.failure
        left += [
            f"{actor.name}, which waits for {actor.waits_for}\n{actor.stack()}"
            for actor in self.world.actors
        ]
        left += [repr(sock) for sock in self.world.network.sockets.values()]

    # Clients.

    def connect(self, timeout: float | None = None) -> Client:
        """Return a new client, connected to the server.

        It waits while the server's backlog is full.

        :raises OSError: the server does not listen.
        """
        client = Client(self.world, self._next_name(), self.server.address_family)
        self._clients.append(client)
        client.connect(self.server.server_address, timeout)
        return client

    def datagram_client(self) -> DatagramClient:
        """Return a new client for a server of datagrams."""
        family = self.server.address_family
        client = DatagramClient(self.world, self._next_name(), self.server.server_address, family)
        self._clients.append(client)
        return client

    def _next_name(self) -> str:
        return f"client {len(self._clients) + 1}"

    # Time.

    @property
    def now(self) -> float:
        """The time on the world's clock, in seconds since it began."""
        return self.world.now

    def advance(self, seconds: float) -> None:
        """Let *seconds* pass on the world's clock; all who can move meanwhile do.

        :raises ValueError: *seconds* is negative.
        """
        if not seconds >= 0:
            raise ValueError(f"seconds must be 0 or more, not {seconds!r}")
        self.world.settle()
        self.world.record("advance", f"{seconds:g} s")
        self.world.sleep(seconds, "the time to pass")
        self.world.settle()

    def run(self) -> None:
        """Let all move until nobody can; the clock stands."""
        self.world.settle()

    # The server.

    @property
    def timeline(self) -> list[Moment]:
        """All that happened, in order."""
        return self.world.timeline

    @property
    def errors(self) -> list[BaseException]:
        """What hooks and handlers raised, each once."""
        raised = (event.detail for event in self.trace if event.kind is TraceKind.ERROR)
        return list({id(error): error for error in raised}.values())

    def shutdown(self) -> None:
        """Stop the server's loop, and wait for it."""
        self.server.shutdown()

    def drain(self, timeout: float | None = None) -> DrainReport:
        """Stop the server's loop, then wait for the requests under way.

        :param timeout: seconds after which those left are cut; None to wait for ever.
        """
        self.server.shutdown()
        report: DrainReport = self.server.drain(timeout)
        return report

    def suspend(self) -> None:
        """Leave new clients in the queue until :meth:`resume`."""
        self.server.suspend()

    def resume(self) -> None:
        """Accept clients again."""
        self.server.resume()

    def __str__(self) -> str:
        return render(self.timeline)
