"""Which faults happen in a run: those that are asked for, and those that a seed draws."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

from .faults import Fault, FaultRule

__all__ = ["Drawing"]

#: What takes something from a client, so that it need not receive what others do.
_TAKES: Final = frozenset({"reset", "eof", "mute", "ECONNABORTED", "lost", "doubled", "cut"})
#: What one draw is divided by: it has eight bytes.
_RANGE: Final = float(1 << 64)


class Drawing:
    """Decides about the faults of one run; see :class:`~.world.world.Faults`.

    What is drawn at a visit of a point depends on the seed, the point, who is there, and how often
    it has been there. So the same faults, given one by one, happen in the same places.

    :param faults: those that happen whatever is drawn.
    :param rules: what is drawn from *seed*.
    :ivar fired: those that have happened, in order, each with its actor and the actor's own count.
    :ivar hit: the clients, counted from 1, from whom one took something.
    """

    def __init__(
        self, faults: Iterable[Fault] = (), rules: Iterable[FaultRule] = (), seed: int = 0
    ) -> None:
        self.fired: list[Fault] = []
        self.hit: set[int] = set()
        self._seed = seed
        self._visits: Counter[tuple[str, str | None]] = Counter()
        self._drawn: Counter[FaultRule] = Counter()
        self._faults: dict[tuple[str, str | None, int], Fault] = {}
        for fault in faults:
            self._faults.setdefault((fault.point, fault.actor, fault.nth), fault)
        self._points = {fault.point for fault in self._faults.values()}
        self._rules: dict[str, list[FaultRule]] = {}
        for rule in rules:
            self._rules.setdefault(rule.point, []).append(rule)

    def at(self, point: str, actor: str, **context: Any) -> Fault | None:
        """Say what is to go wrong at *point*, which *actor* has just reached; None for nothing."""
        if point not in self._points and point not in self._rules:
            return None
        visits = self._visits
        visits[point, None] += 1
        visits[point, actor] += 1
        nth = visits[point, actor]
        fault = self._faults.get((point, actor, nth))
        if fault is None:
            fault = self._faults.get((point, None, visits[point, None]))
        if fault is None:
            fault = self._draw(point, actor, nth)
        if fault is None:
            return None
        self.fired.append(Fault(point, fault.kind, nth, actor, fault.amount))
        client = str(context.get("client", ""))
        if fault.kind in _TAKES and client.startswith("client "):
            self.hit.add(int(client.split()[1]))
        return fault

    def _draw(self, point: str, actor: str, nth: int) -> Fault | None:
        rules = self._rules.get(point)
        if not rules:
            return None
        key = f"{self._seed} {point} {actor} {nth}".encode()
        drawn = int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") / _RANGE
        for rule in rules:
            drawn -= rule.probability
            if drawn < 0:
                return self._by(rule, point, actor, nth)
        return None

    def _by(self, rule: FaultRule, point: str, actor: str, nth: int) -> Fault | None:
        if rule.actor not in {None, actor}:
            return None
        if rule.at_most is not None and self._drawn[rule] >= rule.at_most:
            return None
        self._drawn[rule] += 1
        return Fault(point, rule.kind, nth, actor, rule.amount)
