"""Diagrams of the lifecycles, drawn from their tables as Mermaid or DOT text.

The same tables always give the same text, so that a copy in a document can be compared with it:
between the lines ``<!-- diagram: request -->`` and ``<!-- /diagram -->`` of a Markdown file stands
what :func:`refresh` puts there. A format may follow the name: ``<!-- diagram: server dot -->``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Any, Final

import attrs

from .lifecycle import REGIONS, SERVER_STATES
from .request import ENTRIES, HOOKS, REQUEST_STEPS
from .supervision import WORKER_STATES, WorkerState

__all__ = ["DIAGRAMS", "FORMATS", "diagram", "refresh"]

FORMATS: Final = ("mermaid", "dot")

_Table = Mapping[Any, Mapping[Any, Any]]


@attrs.frozen
class _Part:
    """States that lead to one another.

    :ivar name: what to call them; empty if they are all there is.
    :ivar labels: what to write on each state.
    :ivar entries: the states to begin with.
    :ivar table: for each state, where each event or outcome leads.
    """

    name: str
    labels: Mapping[Any, str]
    entries: tuple[IntEnum, ...]
    table: _Table

    def edges(self) -> Iterable[tuple[IntEnum, IntEnum, str]]:
        """Each pair of states that are joined, with all that leads from one to the other."""
        for state, row in self.table.items():
            causes: dict[IntEnum, list[str]] = {}
            for cause, successor in row.items():
                causes.setdefault(successor, []).append(cause.name.lower())
            for successor, names in causes.items():
                yield state, successor, ", ".join(names)

    def final(self) -> Iterable[IntEnum]:
        """The states that nothing leads out of."""
        return (state for state, row in self.table.items() if not row)


def _request() -> tuple[_Part, ...]:
    labels = {
        step: f"{step.name}: {HOOKS[step][0]}()" if step in HOOKS else step.name
        for step in REQUEST_STEPS
    }
    return (_Part("", labels, tuple(sorted(ENTRIES)), REQUEST_STEPS),)


def _server() -> tuple[_Part, ...]:
    return tuple(
        _Part(
            region,
            {state: state.name.replace("_", " ") for state in states},
            states[:1],
            {state: SERVER_STATES[state] for state in states},
        )
        for region, states in REGIONS.items()
    )


def _worker() -> tuple[_Part, ...]:
    labels = {state: state.name for state in WORKER_STATES}
    return (_Part("", labels, (WorkerState.STARTING,), WORKER_STATES),)


#: What can be drawn.
DIAGRAMS: Final = MappingProxyType({"request": _request, "server": _server, "worker": _worker})


def diagram(name: str, form: str = "mermaid") -> str:
    """Draw a diagram; return its text, which ends with a newline.

    :param name: one of :data:`DIAGRAMS`.
    :param form: ``"mermaid"`` for a Mermaid state diagram, ``"dot"`` for Graphviz.
    :raises ValueError: there is no such diagram or no such format.
    """
    if name not in DIAGRAMS:
        raise ValueError(f"there is no diagram {name!r}; there are {', '.join(DIAGRAMS)}")
    if form not in FORMATS:
        raise ValueError(f"there is no format {form!r}; there are {', '.join(FORMATS)}")
    draw = _mermaid if form == "mermaid" else _dot
    return "".join(f"{line}\n" for line in draw(name, DIAGRAMS[name]()))


def _mermaid(_name: str, parts: tuple[_Part, ...]) -> Iterable[str]:
    yield "stateDiagram-v2"
    for part in parts:
        if part.name:
            yield f"    state {part.name} {{"
            yield from _indented(2, _mermaid_part(part))
            yield "    }"
        else:
            yield from _indented(1, _mermaid_part(part))


def _mermaid_part(part: _Part) -> Iterable[str]:
    for state, label in part.labels.items():
        if label != state.name:
            yield f'state "{label}" as {state.name}'
    for state in part.entries:
        yield f"[*] --> {state.name}"
    for state, successor, causes in part.edges():
        yield f"{state.name} --> {successor.name}: {causes}"
    for state in part.final():
        yield f"{state.name} --> [*]"


def _dot(name: str, parts: tuple[_Part, ...]) -> Iterable[str]:
    yield f"digraph {name} {{"
    yield "    node [shape=box, style=rounded]"
    for part in parts:
        if part.name:
            yield f"    subgraph cluster_{part.name} {{"
            yield f'        label="{part.name}"'
            yield from _indented(2, _dot_part(part))
            yield "    }"
        else:
            yield from _indented(1, _dot_part(part))
    yield "}"


def _dot_part(part: _Part) -> Iterable[str]:
    final = set(part.final())
    for state, label in part.labels.items():
        yield f'{state.name} [label="{label}"{", peripheries=2" if state in final else ""}]'
    for state in part.entries:
        yield f"enter_{state.name} [shape=point]"
        yield f"enter_{state.name} -> {state.name}"
    for state, successor, causes in part.edges():
        yield f'{state.name} -> {successor.name} [label="{causes}"]'


def _indented(depth: int, lines: Iterable[str]) -> Iterable[str]:
    return (f"{'    ' * depth}{line}" for line in lines)


_OPEN: Final = re.compile(r"^<!-- diagram: *(?P<words>.*?) *-->$", re.MULTILINE)
_CLOSE: Final = re.compile(r"^<!-- /diagram -->$", re.MULTILINE)
_BLOCK: Final = re.compile(rf"({_OPEN.pattern}\n).*?(?={_CLOSE.pattern})", re.MULTILINE | re.DOTALL)


def refresh(text: str) -> str:
    """Return a Markdown *text* with what stands between its markers drawn anew.

    :raises ValueError: a marker names no diagram, or lacks its other half, or there is none at all.
    """
    fresh, drawn = _BLOCK.subn(_redraw, text)
    if not drawn == len(_OPEN.findall(text)) == len(_CLOSE.findall(text)):
        raise ValueError("a line <!-- diagram: NAME --> or <!-- /diagram --> lacks the other")
    if not drawn:
        raise ValueError("there is no line <!-- diagram: NAME -->")
    return fresh


def _redraw(block: re.Match[str]) -> str:
    name, _, form = block["words"].partition(" ")
    form = form or FORMATS[0]
    return f"{block[1]}```{form}\n{diagram(name, form)}```\n"
