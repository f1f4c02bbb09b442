"""What the rounds of a run come to: one row for each server at each work, and the budgets."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Mapping

import attrs

from .budgets import Budget
from .measure import Figures
from .servers import SERVERS
from .works import Work

__all__ = ["QUIET", "Results", "Row", "Verdict", "load_rounds"]

#: A round is quiet if others had no more than this share of the server's core meanwhile.
QUIET = 0.05

_LATENCIES = frozenset({"p50_us", "p99_us", "max_us"})


@attrs.define
class Row:
    """All rounds of one server at one work.

    :ivar problem: why there are no further rounds, or "".
    """

    work: Work
    server: str
    rounds: list[Figures] = attrs.field(factory=list)
    problem: str = ""

    @property
    def quiet(self) -> list[Figures]:
        """The rounds that nobody else disturbed."""
        return [figures for figures in self.rounds if figures.get("others_busy", 0.0) <= QUIET]

    @property
    def counted(self) -> list[Figures]:
        """The rounds to go by: the quiet ones, or all if none was quiet."""
        return self.quiet or self.rounds

    @property
    def best(self) -> Figures:
        """The round with the least of the figure by which servers are compared."""
        return min(self.counted, key=lambda figures: figures[self.work.figure])

    @property
    def spread(self) -> float:
        """How far the rounds lie apart: (worst - best) / best."""
        values = [figures[self.work.figure] for figures in self.counted]
        least, most = min(values), max(values)
        if least == most:
            return 0.0
        return (most - least) / least if least > 0 else math.inf

    def figure(self, name: str) -> float:
        """Return a figure of this row: that of the best round, or for latencies the median."""
        return self.median(name) if name in _LATENCIES else self.best[name]

    def median(self, name: str) -> float:
        """Return the median of a figure over the rounds to go by."""
        return statistics.median(figures[name] for figures in self.counted)


@attrs.frozen
class Verdict:
    """A budget, and what the run says to it; *value* is a ratio or the figure itself."""

    budget: Budget
    value: float
    kept: bool
    quiet: bool


@attrs.frozen
class Results:
    """The rows of a run, in the order in which they were asked for."""

    rows: Mapping[tuple[str, str], Row]

    def measured(self, work: str, server: str) -> Row | None:
        """Return a row that has figures, or None."""
        row = self.rows.get((work, server))
        return row if row is not None and row.rounds else None

    def ratio(self, row: Row) -> float | None:
        """Return the figure of the row's peer, divided by the row's; None if there is no peer."""
        peer = self.measured(row.work.name, SERVERS[row.server].peer)
        if peer is None:
            return None
        return _divided(peer.figure(row.work.figure), row.figure(row.work.figure))

    def judge(self, budget: Budget) -> Verdict | None:
        """Hold the run against *budget*; None if it did not measure what that needs."""
        ours = self.measured(budget.work, budget.server)
        if ours is None:
            return None
        value = ours.figure(budget.figure)
        if not budget.peer:
            return Verdict(budget, value, value <= budget.at_most, bool(ours.quiet))
        peer = self.measured(budget.work, budget.peer)
        if peer is None:
            return None
        ratio = _divided(peer.figure(budget.figure), value)
        return Verdict(budget, ratio, ratio >= budget.at_least, bool(ours.quiet and peer.quiet))


def _divided(theirs: float, ours: float) -> float:
    """Return how many times ours goes into theirs; either may be infinite or nothing."""
    if theirs == ours:
        return 1.0
    return theirs / ours if ours > 0 else math.inf


def load_rounds(rows: Iterable[Row], document: str) -> None:
    """Add the rounds of an earlier run, as `report.as_json` wrote them, to those rows that it had.

    :raises ValueError: *document* is none of those.
    """
    try:
        earlier = {
            (row["work"], row["server"]): row["rounds"] for row in json.loads(document)["rows"]
        }
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"not the results of a run: {error!r}") from error
    for row in rows:
        row.rounds += earlier.get((row.work.name, row.server), [])
