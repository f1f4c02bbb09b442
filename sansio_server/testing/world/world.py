"""A world: an order, a clock, a network, and what happened there."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any, Protocol, TypeVar, runtime_checkable

from sansio_server.testing.scripts.drawing import Drawing
from sansio_server.testing.scripts.faults import Fault, FaultRule
from sansio_server.testing.timeline.moments import Moment

from .baton import Crew
from .membership import WORLDS, find_world
from .network import Network
from .patches import patched
from .scheduler import PATIENCE, Actor, Scheduler

__all__ = ["Faults", "World", "current_world"]

_Self = TypeVar("_Self", bound="World")


@runtime_checkable
class Faults(Protocol):
    """What decides about faults."""

    def at(self, point: str, actor: str, **context: Any) -> Fault | None:
        """Say what is to go wrong at *point*, which *actor* has just reached; None for nothing.

        :param context: more about it: ``client``, the label of the client's socket, at the points
            of a connection and of a datagram; ``blocking``, whether the socket waits.
        """


class World(Scheduler):
    """Where servers and clients live that have no sockets. Use it in a ``with`` statement.

    :param faults: what goes wrong: faults and rules, which *seed* draws from, or what decides by
        itself; None for nothing.
    :raises TypeError: *faults* is or has something else.

    The others as for :class:`~.scheduler.Scheduler`.
    """

    def __init__(
        self,
        seed: int | None = None,
        *,
        faults: Faults | Iterable[Fault | FaultRule] | None = None,
        jumps: bool = False,
        crew: Crew | None = None,
        patience: float = PATIENCE,
    ) -> None:
        super().__init__(seed, jumps=jumps, crew=crew, patience=patience)
        self.faults = _decider(faults, seed)
        self.timeline: list[Moment] = []
        #: What threads raised that nobody deals with.
        self.unhandled: list[BaseException] = []
        self.network = Network(self)
        self._patched = ExitStack()
        self._numbers: dict[str, int] = {}
        if self.faults is not None:
            self.on_time = self._jump

    def record(self, what: str, detail: str = "", actor: str | None = None) -> None:
        """Add a moment to the timeline.

        :param actor: whose; None for the actor who moves.
        """
        who = self.current.label if actor is None else actor
        self.timeline.append(Moment(self.now, who, what, detail))

    def fault(self, point: str, actor: str | None = None, **context: Any) -> Fault | None:
        """Return what is to go wrong at *point*, and note it; None for nothing."""
        if self.faults is None:
            return None
        who = self.current.label if actor is None else actor
        fault = self.faults.at(point, who, **context)
        if fault is not None:
            self.record("fault", f"{point} {fault.kind}", who)
        return fault

    def new_number(self, kind: str, first: int) -> int:
        """Return a number that nothing else of this *kind* has had: *first*, or the next."""
        number = self._numbers.get(kind, first)
        self._numbers[kind] = number + 1
        return number

    def report(self, actor: Actor, error: BaseException, *, in_thread: bool = True) -> None:
        """Note an exception that ended *actor*.

        :param in_thread: whether it was a thread, which tells of it, and may end by SystemExit;
            children end without a word.
        """
        self.record("error", f"{type(error).__name__}: {error}", actor.label)
        if in_thread:
            self._tell_excepthook(error)
            if isinstance(error, SystemExit):
                return
        # Without its frames, which hold on to what else would be closed now.
        self.unhandled.append(error.with_traceback(None))

    def _tell_excepthook(self, error: BaseException) -> None:
        told = (type(error), error, error.__traceback__, threading.current_thread())
        threading.excepthook(threading.ExceptHookArgs(told))

    def _begin(self, actor: Actor) -> None:
        super()._begin(actor)
        WORLDS[threading.get_ident()] = self

    def _jump(self) -> float:
        fault = self.fault("clock", "world")
        return 0.0 if fault is None else fault.amount or 60.0

    def __enter__(self: _Self) -> _Self:  # noqa: PYI019 - typing.Self came with Python 3.11
        ident = threading.get_ident()
        if ident in WORLDS:
            raise RuntimeError("a world runs in this thread already: one at a time")
        if ident != self.main.thread:
            raise RuntimeError("a world belongs to the thread that made it")
        self._patched.enter_context(patched())
        WORLDS[ident] = self
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.close()
        finally:
            WORLDS.pop(threading.get_ident(), None)
            self._patched.close()

    def _finish(self, actor: Actor) -> None:
        super()._finish(actor)
        WORLDS.pop(threading.get_ident(), None)


def _decider(
    faults: Faults | Iterable[Fault | FaultRule] | None, seed: int | None
) -> Faults | None:
    if faults is None or isinstance(faults, Faults):
        return faults
    given, rules = list[Fault](), list[FaultRule]()
    for each in faults:
        if isinstance(each, Fault):
            given.append(each)
        elif isinstance(each, FaultRule):
            rules.append(each)
        else:
            raise TypeError(f"faults must be of Fault and FaultRule, not {each!r}")
    return Drawing(given, rules, seed or 0) if given or rules else None


def current_world() -> World:
    """Return the world that the calling thread is part of.

    :raises RuntimeError: there is none.
    """
    world = find_world()
    if world is None:
        raise RuntimeError(
            "no world is running here: make servers in memory inside `with World():`, or with "
            "ScriptedServer"
        )
    return world
