"""Where the moments of a timeline stand in a picture: a lane for each actor, a row for each moment.

Time runs downwards. A client stands beside the request that serves it, so that what they send each
other has a short way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal, TypeAlias

import attrs

from sansio_server.request import HOOKS

from .moments import Moment

__all__ = ["Bar", "Kind", "Lane", "Mark", "Picture", "Row", "arrange"]

#: What sort of moment it is.
Kind: TypeAlias = Literal["hook", "bytes", "fault", "error", "life", "time"]

_BYTES: Final = frozenset({"send", "recv", "sendto", "recvfrom"})
_TROUBLE: Final = frozenset({"error", "cut", "reset", "deadlock"})
_HOOKS: Final = frozenset(name for name, _ in HOOKS.values())


def _kind(moment: Moment) -> Kind:
    if moment.what == "fault":
        return "fault"
    if moment.what in _TROUBLE:
        return "error"
    if moment.what in _BYTES:
        return "bytes"
    if moment.what in ("enter", "leave"):
        return "hook"
    return "time" if moment.what == "advance" else "life"


@attrs.frozen
class Lane:
    """The column of an actor.

    :ivar actor: its name.
    :ivar role: "client", "loop", "request" or "other".
    :ivar partner: which lane it exchanges bytes with; None for none.
    :ivar first: the first of its rows, and
    :ivar last: the last.
    """

    actor: str
    role: str
    partner: int | None
    first: int
    last: int


@attrs.frozen
class Mark:
    """A moment in its place.

    :ivar lane: the number of its lane.
    :ivar kind: what sort of moment it is.
    :ivar text: what is written there.
    :ivar more: what is shown of it on demand.
    :ivar depth: within how many hooks of its actor it is.
    :ivar flows: 1 if bytes leave the lane there, -1 if they come into it, 0 if none move.
    """

    lane: int
    kind: Kind
    text: str
    more: str
    depth: int
    flows: int = 0


@attrs.frozen
class Row:
    """A row of the picture.

    :ivar time: the virtual time.
    :ivar passed: the seconds since the row before.
    :ivar mark: what is in it.
    """

    time: float
    passed: float
    mark: Mark


@attrs.frozen
class Bar:
    """A hook at work, from one row to another.

    :ivar hook: its name.
    :ivar outcome: what became of it; empty if it had not ended.
    """

    lane: int
    hook: str
    first: int
    last: int
    depth: int
    outcome: str


@attrs.frozen
class Picture:
    """All that there is to draw."""

    lanes: tuple[Lane, ...]
    rows: tuple[Row, ...]
    bars: tuple[Bar, ...]


def arrange(moments: Iterable[Moment]) -> Picture:
    """Return the picture of *moments*."""
    moments = list(moments)
    order = _order(moments)
    numbers = {actor: number for number, (actor, _) in enumerate(order)}
    drawer = _Drawer(numbers)
    for position, moment in enumerate(moments):
        drawer.draw(moment, _has_one_row(moments, position))
    return drawer.picture([(actor, numbers.get(partner)) for actor, partner in order])


def _has_one_row(moments: Sequence[Moment], position: int) -> str:
    """Return the outcome of a hook in which its actor does nothing else; empty for any other."""
    moment = moments[position]
    if moment.what != "enter":
        return ""
    for following in moments[position + 1 :]:
        if following.actor == moment.actor:
            name, _, outcome = following.detail.partition(" ")
            return outcome if (following.what, name) == ("leave", moment.detail) else ""
    return ""


def _order(moments: Sequence[Moment]) -> list[tuple[str, str]]:
    """Return the actors in the order of their lanes, each with its partner's name or an empty one.

    The loop is first, then each client with the request that serves it, then the rest.
    """
    actors = list(dict.fromkeys(moment.actor for moment in moments))
    partners = _partners(moments)
    order: list[tuple[str, str]] = []
    for actor in sorted(actors, key=_rank):
        served_by = [request for request, client in partners.items() if client == actor]
        if actor in partners and partners[actor] in actors:
            continue  # beside its client
        order.append((actor, served_by[0] if served_by else ""))
        order += [(request, actor) for request in served_by]
    return order


def _rank(actor: str) -> int:
    role = _role(actor)
    return {"other": 0, "loop": 1, "client": 2, "request": 3}[role]


def _role(actor: str) -> str:
    word = actor.partition(" ")[0]
    return word if word in ("client", "request", "loop") else "other"


def _partners(moments: Sequence[Moment]) -> dict[str, str]:
    """Return the client of each request: whoever was accepted last before it began."""
    partners: dict[str, str] = {}
    accepted = ""
    for moment in moments:
        if moment.what == "accept":
            accepted = moment.detail
        elif moment.what == "recvfrom" and _role(moment.actor) != "client":
            accepted = " ".join(moment.detail.split(" ", 2)[:2])
        elif _role(moment.actor) == "request" and moment.actor not in partners and accepted:
            partners[moment.actor], accepted = accepted, ""
    return partners


class _Drawer:
    def __init__(self, numbers: dict[str, int]) -> None:
        self._numbers = numbers
        self._rows: list[Row] = []
        self._bars: list[Bar] = []
        self._open: dict[int, list[tuple[str, int]]] = {}
        self._skip: dict[int, str] = {}
        self._extent: dict[int, tuple[int, int]] = {}
        self._time: float | None = None

    def draw(self, moment: Moment, outcome: str) -> None:
        """Draw *moment*; with the *outcome* of a hook, both its beginning and its end."""
        lane = self._numbers[moment.actor]
        hooks = self._open.setdefault(lane, [])
        if moment.what == "leave":
            if self._skip.pop(lane, "") != moment.detail:
                self._leave(lane, hooks, moment)
            return
        if moment.what == "enter" and outcome:
            self._skip[lane] = f"{moment.detail} {outcome}"
            kind: Kind = "hook" if outcome in ("OK", "REFUSED") else "error"
            self._add(moment, lane, kind, f"{moment.detail} {_shown(outcome)}", len(hooks))
            self._bars.append(Bar(lane, moment.detail, self._last, self._last, len(hooks), outcome))
        elif moment.what == "enter":
            self._add(moment, lane, "hook", moment.detail, len(hooks))
            hooks.append((moment.detail, self._last))
        else:
            self._add(moment, lane, _kind(moment), _text(moment), len(hooks))

    @property
    def _last(self) -> int:
        return len(self._rows) - 1

    def _leave(self, lane: int, hooks: list[tuple[str, int]], moment: Moment) -> None:
        name, _, outcome = moment.detail.partition(" ")
        kind: Kind = "hook" if outcome in ("OK", "REFUSED", "") else "error"
        depth = max(0, len(hooks) - 1)
        self._add(moment, lane, kind, f"{_shown(outcome)} {name}".strip(), depth)
        for position in range(len(hooks) - 1, -1, -1):
            if hooks[position][0] == name:
                _, first = hooks.pop(position)
                self._bars.append(Bar(lane, name, first, self._last, position, outcome))
                return

    def _add(self, moment: Moment, lane: int, kind: Kind, text: str, depth: int) -> None:
        passed = 0.0 if self._time is None else moment.time - self._time
        self._time = moment.time
        flows = {"send": 1, "sendto": 1, "recv": -1, "recvfrom": -1}.get(moment.what, 0)
        self._rows.append(
            Row(moment.time, passed, Mark(lane, kind, text, str(moment).strip(), depth, flows))
        )
        first, _ = self._extent.get(lane, (self._last, 0))
        self._extent[lane] = first, self._last

    def picture(self, order: Sequence[tuple[str, int | None]]) -> Picture:
        """Return what was drawn; hooks that have not ended go on to the last row."""
        for lane, hooks in self._open.items():
            for depth, (hook, first) in enumerate(hooks):
                self._bars.append(Bar(lane, hook, first, self._last, depth, ""))
        lanes = tuple(
            Lane(actor, _role(actor), partner, *self._extent[number])
            for number, (actor, partner) in enumerate(order)
        )
        return Picture(lanes, tuple(self._rows), tuple(self._bars))


def _names_hook(detail: str) -> bool:
    return detail.partition(" ")[0] in _HOOKS


def _text(moment: Moment) -> str:
    if moment.what in _BYTES or moment.what == "fault":
        return moment.detail
    if moment.what == "error":
        return moment.detail.partition(" ")[2] if _names_hook(moment.detail) else moment.detail
    return " ".join(dict.fromkeys((moment.what, moment.detail))).strip()


def _shown(outcome: str) -> str:
    return {"OK": "✓", "REFUSED": "✓ refused"}.get(outcome, f"✗ {outcome.lower()}".rstrip())
