"""``ForkingMixIn`` in memory: a child is an actor that has a copy of the server.

What the server has as attributes is copied, as far as :mod:`copy` can. What a program has in its
modules is not: a child that changes a global changes its parent's too.
"""

from __future__ import annotations

import copy
import errno
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import attrs

from sansio_server.ledger import Ledger, Place
from sansio_server.request import Step
from sansio_server.testing.scripts.faults import injected
from sansio_server.testing.sockets.base import MemorySocket
from sansio_server.testing.sockets.datagram import DatagramSocket
from sansio_server.testing.sockets.stream import StreamSocket
from sansio_server.testing.world.channels import os_error
from sansio_server.testing.world.errors import Unwound
from sansio_server.testing.world.scheduler import Actor, Signal
from sansio_server.trace import Trace, TraceEvent, TraceKind
from sync_backend import forks

from .base import BaseServer

if TYPE_CHECKING:
    from sansio_server.testing.world.world import World

__all__ = ["ForkingMixIn"]

#: What a child has in common with its parent: not its own, or not to be copied.
_SHARED = frozenset({"world", "socket", "RequestHandlerClass", "trace", "_traced", "_told_limits"})

_FIRST_PID = 100_000


class _Children:
    """The children of one server: what :class:`sync_backend.children.Children` is for real ones."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.exited = Signal()
        self.actors: dict[int, Actor] = {}

    def watch(self, pid: int) -> None:
        """Every child is watched."""

    def unwatch(self, pid: int) -> None:
        """Forget a child that was reaped."""
        self.actors.pop(pid, None)

    def maybe_exited(self, pids: Iterable[int]) -> list[int]:
        """Return those of *pids* that have exited."""
        return [pid for pid in pids if pid not in self.actors or self.actors[pid].is_over]

    def all_watched(self, pids: Iterable[int]) -> bool:
        """Say whether each of *pids* is watched."""
        return True

    def wait(self, pids: Iterable[int], timeout: float) -> None:
        """Wait until one of *pids* has exited, or *timeout* seconds have passed."""
        if not self.maybe_exited(pids):
            self._world.wait(
                self.exited, until=self._world.now + timeout, why="a child process to exit"
            )

    def close(self) -> None:
        """Nothing is held."""


if TYPE_CHECKING:

    class _Mixed(BaseServer):
        """What :class:`sync_backend.ForkingMixIn` brings, on a server in memory."""

        active_children: set[int] | None

        def _served_by_child(self, pid: int, request: Any, place: Place) -> None: ...
else:
    _Mixed = forks.ForkingMixIn


class ForkingMixIn(_Mixed):
    """Serve each request in an actor that has a copy of the server, as others do in a child.

    See :class:`sync_backend.ForkingMixIn`. The trace of the parent is told of what happens in the
    child, too, but for the request's close, of which the parent tells when it reaps the child. A
    child that is killed is unwound by an exception where it waits.
    """

    @property
    def _children(self) -> Any:
        children: _Children | None = self.__dict__.get("_watched")
        if children is None:
            children = self.__dict__.setdefault("_watched", _Children(self.world))
        return children

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a request in a child.

        :raises OSError: a fault keeps it from being forked.
        """
        place = self._place_of(request, client_address)
        fault = self.world.fault("fork")
        if fault is not None:
            raise injected(os_error(getattr(errno, fault.kind)))
        pid = self.world.new_number("pid", _FIRST_PID)
        lent, own = _as_in_child(request)
        child = self._copy_for_child(place, lent)
        if own is not None:
            self._give_to(child, own)

        def work() -> None:
            try:
                child.continue_request(Step.FINISH, lent, client_address)
            except Unwound:
                raise
            except BaseException as error:  # noqa: BLE001 - a real child exits with status 1
                self.world.report(self.world.me(), error, in_thread=False)
            finally:
                if own is not None:
                    own.abandon()  # as the system does with what a process leaves open

        actor = self.world.spawn(f"request {place.number}", work)
        actor.pid = pid
        actor.on_end = self._child_exited
        self._children.actors[pid] = actor
        self._served_by_child(pid, request, place)

    def _give_to(self, child: Any, own: MemorySocket) -> None:
        """Let *child* have *own* in place of its parent's."""
        if isinstance(own, DatagramSocket):
            child.socket = own  # it replies by the server's
        elif self.trace is not None:
            child._observed(own)

    def _child_exited(self) -> None:
        self.world.tell(self._children.exited)
        self.world.tell(self._wakeup)
        self.world.tell(self._progress)

    def _copy_for_child(self, place: Place, request: Any) -> Any:
        """Return what a child has of the server: the request of *place*, and no other."""
        child: Any = copy.copy(self)
        # What is the world's is not copied, wherever among a program's attributes it is met.
        memo: dict[int, Any] = {id(self): child, id(self.world): self.world}
        for sock in self.world.network.sockets.values():
            memo[id(sock)] = sock
        for name, value in vars(self).items():
            if name not in _SHARED:
                child.__dict__[name] = _copied(value, memo)
        child._lifecycle = attrs.evolve(self._lifecycle)
        child._lifecycle.forget_loops()
        child._ledger = _ledger_with(self._ledger, place, child, request)
        child._wakeup, child._progress, child._loop_left = Signal(), Signal(), Signal()
        child._loops, child._drains, child._awaiting = [], [], set()
        child.__dict__.pop("_watched", None)
        child.active_children = None
        if self.trace is not None:
            child.trace = child._traced = _without_closes(self.trace)
        listener = getattr(self, "socket", None)
        if isinstance(listener, StreamSocket):
            child.socket = listener.closed_copy()
        return child

    def _has_exited(self, pid: int, options: int) -> bool:
        actor = self._children.actors.get(pid)
        if actor is None or actor.is_over:
            return True
        if options == os.WNOHANG:
            return False
        self.world.join(actor, f"child process {pid} to exit")
        return True

    def _kill(self, place: Place, number: int) -> None:
        actor = self._children.actors.get(place.worker)
        if actor is not None and not actor.is_over:
            self.world.throw(actor, Unwound())

    def _where(self, place: Place) -> str:
        actor = self._children.actors.get(place.worker)
        where = super()._where(place)
        return where if actor is None else f"{where}\n{actor.stack()}"


def _as_in_child(request: Any) -> tuple[Any, MemorySocket | None]:
    """Return *request* as a child has it, and the socket in it that is the child's own."""
    if isinstance(request, StreamSocket):
        own: MemorySocket = request.dup()
        return own, own
    if isinstance(request, tuple) and request and isinstance(request[-1], DatagramSocket):
        own = request[-1].dup()
        return (*request[:-1], own), own
    return request, None


def _copied(value: Any, memo: dict[int, Any]) -> Any:
    if isinstance(value, (MemorySocket, Signal, Actor)):
        return value
    try:
        return copy.deepcopy(value, memo)
    except Exception:  # noqa: BLE001 - whatever it cannot be copied for, it is shared then
        return value


def _ledger_with(ledger: Ledger, place: Place, child: Any, request: Any) -> Ledger:
    """Return the ledger of a child: what *ledger* has counted, and a copy of *place*."""
    own = Place(child._request_key(request), place.number, place.client_address, place.since)
    copied = copy.copy(ledger)
    copied._release = child._release
    copied._places = {own.key: own}
    copied._aliases = {}
    copied.deadlines = []
    copied._counters = attrs.evolve(ledger._counters)
    return copied


def _without_closes(trace: Trace) -> Trace:
    def tell(event: TraceEvent) -> None:
        if event.kind is not TraceKind.CLOSE:
            trace(event)

    return tell
