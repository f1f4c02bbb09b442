"""The trace events of a drain: what the drain was told, and what it decided."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .drain import DrainReport, DrainStep
from .hooks import ServerHooks
from .ledger import Place
from .trace import DrainProgress, TraceKind

__all__ = ["DrainTeller"]


class DrainTeller:
    """Tells a server's trace of one drain.

    :param server: whose trace.
    :param number: tells this drain from the server's others.
    :param begun: when it began, in seconds on the server's clock.
    :param places: the requests that it waits for.
    :param timeout: seconds until those left are cut; None for ever.
    """

    def __init__(
        self,
        server: ServerHooks,
        number: int,
        begun: float,
        places: tuple[Place, ...],
        timeout: float | None,
    ) -> None:
        self._server = server
        self._number = number
        self._left = places
        self._tell("begin", begun, _numbers(places), timeout=timeout)

    def step(self, now: float, left: tuple[Place, ...], step: DrainStep | None) -> None:
        """Tell what there is to do at time *now*, with *left* still under way."""
        going = frozenset(left)
        ended = _numbers(place for place in self._left if place not in going)
        self._left = left
        if step is None:
            self._tell("step", now, ended)
        else:
            self._tell("step", now, ended, cut=_numbers(step.cut), until=step.until)

    def end(self, report: DrainReport) -> None:
        """Tell how it went."""
        cut = tuple(straggler.number for straggler in report.cut)
        self._tell("end", None, tuple(straggler.number for straggler in report.left), cut=cut)

    def _tell(self, what: str, time: float | None, requests: tuple[int, ...], **more: Any) -> None:
        progress = DrainProgress(self._number, requests, **more)
        self._server._emit(TraceKind.DRAIN, 0, what, progress, time=time)


def _numbers(places: Iterable[Place]) -> tuple[int, ...]:
    return tuple(place.number for place in places)
