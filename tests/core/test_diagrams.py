"""The diagrams show every row of the tables, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import IntEnum
from typing import Any

import pytest

from sansio_server import REQUEST_STEPS, SERVER_STATES
from sansio_server.diagrams import DIAGRAMS, FORMATS, diagram, refresh
from sansio_server.lifecycle import REGIONS
from sansio_server.request import ENTRIES, FINAL_STEPS, HOOKS
from sansio_server.supervision import WORKER_STATES

TABLES: dict[str, Mapping[Any, Mapping[Any, Any]]] = {
    "request": REQUEST_STEPS,
    "server": SERVER_STATES,
    "worker": WORKER_STATES,
}
BEGINNINGS: dict[str, set[str]] = {
    "request": {step.name for step in ENTRIES},
    "server": {states[0].name for states in REGIONS.values()},
    "worker": {"STARTING"},
}
ENDS: dict[str, set[str]] = {
    "request": {step.name for step in FINAL_STEPS},
    "server": set(),
    "worker": {"GONE"},
}
EACH = pytest.mark.parametrize("name", DIAGRAMS)

Edge = tuple[str, str, str]


def rows(table: Mapping[IntEnum, Mapping[IntEnum, IntEnum]]) -> Iterator[Edge]:
    """Each row of a table: from where, by what, to where."""
    for state, row in table.items():
        for cause, successor in row.items():
            yield state.name, cause.name.lower(), successor.name


def single(found: list[tuple[str, str, str]]) -> Iterator[Edge]:
    """Each cause of each arrow of a diagram by itself."""
    for state, successor, causes in found:
        for cause in causes.split(", "):
            yield state, cause, successor


@EACH
def test_mermaid_shows_each_row_once(name: str) -> None:
    text = diagram(name)
    assert text.startswith("stateDiagram-v2\n")
    found = re.findall(r"^ +(\w+) --> (\w+): (.+)$", text, re.MULTILINE)
    assert sorted(single(found)) == sorted(rows(TABLES[name]))
    begins = re.findall(r"^ +\[\*\] --> (\w+)$", text, re.MULTILINE)
    assert sorted(begins) == sorted(BEGINNINGS[name])
    ends = re.findall(r"^ +(\w+) --> \[\*\]$", text, re.MULTILINE)
    assert sorted(ends) == sorted(ENDS[name])
    arrows = [line for line in text.splitlines() if "-->" in line]
    assert len(arrows) == len(found) + len(begins) + len(ends)


@EACH
def test_dot_shows_each_row_once(name: str) -> None:
    text = diagram(name, "dot")
    assert text.startswith(f"digraph {name} {{\n")
    found = re.findall(r'^ +(\w+) -> (\w+) \[label="(.+)"\]$', text, re.MULTILINE)
    assert sorted(single(found)) == sorted(rows(TABLES[name]))
    begins = re.findall(r"^ +enter_(\w+) -> (\w+)$", text, re.MULTILINE)
    assert sorted(begins) == sorted((each, each) for each in BEGINNINGS[name])
    ends = re.findall(r"^ +(\w+) \[.*peripheries=2\]$", text, re.MULTILINE)
    assert sorted(ends) == sorted(ENDS[name])
    assert text.count(" -> ") == len(found) + len(begins)


@pytest.mark.parametrize("form", FORMATS)
def test_steps_show_their_hooks(form: str) -> None:
    text = diagram("request", form)
    for step, (hook, _) in HOOKS.items():
        assert f'"{step.name}: {hook}()"' in text


def test_regions_are_parts_of_their_own() -> None:
    for form, head in ("mermaid", "state "), ("dot", "subgraph cluster_"):
        text = diagram("server", form)
        for region, states in REGIONS.items():
            opened = f"    {head}{region} {{\n"
            assert text.count(opened) == 1
            part = text.partition(opened)[2].partition("\n    }\n")[0]
            inside = set(re.findall(r"^ +([A-Z_]+) -", part, re.MULTILINE))
            assert inside == {state.name for state in states}
            assert form != "dot" or f'label="{region}"' in part


@pytest.mark.parametrize("form", FORMATS)
@EACH
def test_it_is_the_same_each_time(name: str, form: str) -> None:
    assert diagram(name, form) == diagram(name, form)


@pytest.mark.parametrize("form", FORMATS)
@EACH
def test_blocks_nest(name: str, form: str) -> None:
    depth = 0
    for line in diagram(name, form).splitlines():
        depth -= line.strip() == "}"
        extra = form == "mermaid" and line != "stateDiagram-v2"
        assert line.startswith("    " * (depth + extra))
        assert not line.startswith("    " * (depth + extra) + " ")
        depth += line.endswith("{")
    assert depth == 0


def test_what_there_is_not_is_named() -> None:
    with pytest.raises(ValueError, match="there is no diagram 'cat'; there are request, server"):
        diagram("cat")
    with pytest.raises(ValueError, match="there is no format 'png'; there are mermaid, dot"):
        diagram("request", "png")


def test_a_page_is_refreshed_between_its_markers_alone() -> None:
    page = (
        "before\n<!-- diagram: request -->\nold\n```\n<!-- /diagram -->\nbetween\n"
        "<!-- diagram: server dot -->\n<!-- /diagram -->"
    )
    fresh = refresh(page)
    assert fresh == (
        f"before\n<!-- diagram: request -->\n```mermaid\n{diagram('request')}```\n"
        "<!-- /diagram -->\nbetween\n"
        f"<!-- diagram: server dot -->\n```dot\n{diagram('server', 'dot')}```\n<!-- /diagram -->"
    )
    assert refresh(fresh) == fresh


@pytest.mark.parametrize(
    ("page", "why"),
    [
        ("", "there is no line <!-- diagram: NAME -->"),
        ("inside <!-- diagram: request --> a line\n", "there is no line"),
        ("<!-- diagram: request -->\n", "lacks the other"),
        ("<!-- /diagram -->\n", "lacks the other"),
        ("<!-- diagram: request -->\n<!-- diagram: server -->\n<!-- /diagram -->\n", "lacks the"),
        ("<!-- diagram: request -->\n<!-- /diagram -->\n<!-- /diagram -->\n", "lacks the other"),
        ("<!-- diagram: -->\n<!-- /diagram -->\n", "there is no diagram ''"),
        ("<!-- diagram: cat -->\n<!-- /diagram -->\n", "there is no diagram 'cat'"),
        ("<!-- diagram: request png -->\n<!-- /diagram -->\n", "there is no format 'png'"),
        ("<!-- diagram: request dot x -->\n<!-- /diagram -->\n", "there is no format 'dot x'"),
    ],
)
def test_a_page_with_wrong_markers_is_refused(page: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        refresh(page)
