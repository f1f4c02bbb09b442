"""Writing results down: as text, as Markdown, as JSON."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from .budgets import BUDGETS
from .measure import Plan
from .results import Results, Row
from .works import NEIGHBOURS

__all__ = ["Table", "as_json", "as_markdown", "as_text", "facts", "tables"]

_UNITS = {"cpu_us": "CPU µs", "p99_us": "p99", "pss_kib": "PSS KiB", "stop_ms": "ms"}


@attrs.frozen
class Table:
    """A table under a title; *key* names it for those who look for one."""

    key: str
    title: str
    heads: Sequence[str]
    lines: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """Return the table as Markdown, without its title."""
        marks = ["---" if head in _WORDS else "---:" for head in self.heads]
        return "\n".join(f"| {' | '.join(line)} |" for line in (self.heads, marks, *self.lines))


#: Columns that hold words; the others hold numbers.
_WORDS = {"work", "server", "against", "figure", "verdict", "remarks", "why", "fact", "value"}


def _ratio(results: Results, row: Row) -> str:
    ratio = results.ratio(row)
    return "" if ratio is None else f"{ratio:.2f} ×"


def _number(value: float, form: str = ",.0f") -> str:
    return "never" if math.isinf(value) else format(value, form)


def _remarks(row: Row) -> str:
    remarks = [] if row.quiet else ["no quiet round"]
    remarks += [
        f"{figure} {row.best[figure]:.0f}"
        for figure in ("lost", "errors")
        if row.best.get(figure, 0.0)
    ]
    return ", ".join(remarks)


def _load_table(results: Results, rows: Sequence[Row], key: str, title: str) -> Table:
    heads = [
        *("server", "CPU µs/request", "median", "spread", "to its peer", "requests/s"),
        *("p50 µs", "p99 µs", "server busy", "load busy", "remarks"),
    ]
    lines = [
        [
            row.server,
            f"{row.figure('cpu_us'):,.1f}",
            f"{row.median('cpu_us'):,.1f}",
            f"{row.spread:.0%}",
            _ratio(results, row),
            f"{row.median('per_second'):,.0f}",
            f"{row.figure('p50_us'):,.0f}",
            f"{row.figure('p99_us'):,.0f}",
            f"{row.figure('server_busy'):.0%}",
            f"{row.figure('load_busy'):.0%}",
            _remarks(row),
        ]
        for row in rows
    ]
    return Table(key, title, heads, lines)


def _beside_table(results: Results, rows: Sequence[Row], key: str, title: str) -> Table:
    heads = [
        "server",
        "p50 µs",
        "p99 µs",
        "longest µs",
        "replies/s",
        "new client ms",
        "others' replies/s",
    ]
    lines = [
        [
            row.server,
            *(_number(row.figure(figure)) for figure in ("p50_us", "p99_us", "max_us")),
            f"{row.median('per_second'):,.0f}",
            _number(row.median("new_ms"), ",.1f"),
            f"{row.median('neighbour_lines'):,.0f}",
        ]
        for row in rows
    ]
    return Table(key, title, heads, lines)


def _idle_table(results: Results, rows: Sequence[Row], key: str, title: str) -> Table:
    heads = [
        *("server", "PSS KiB/connection", "spread", "to its peer", "RSS KiB/connection"),
        *("threads", "each served once, ms"),
    ]
    lines = [
        [
            row.server,
            f"{row.figure('pss_kib'):.1f}",
            _number(row.spread, ".0%"),
            _ratio(results, row),
            f"{row.figure('rss_kib'):.1f}",
            f"{row.figure('threads'):,.0f}",
            f"{row.median('served_ms'):,.0f}",
        ]
        for row in rows
    ]
    return Table(key, title, heads, lines)


def _stop_table(results: Results, rows: Sequence[Row], key: str, title: str) -> Table:
    heads = ["server", "median ms", "spread", "longest ms", "to its peer"]
    lines = [
        [
            row.server,
            f"{row.figure('stop_ms'):.2f}",
            f"{row.spread:.0%}",
            f"{row.figure('stop_max_ms'):.2f}",
            _ratio(results, row),
        ]
        for row in rows
    ]
    return Table(key, title, heads, lines)


def _budget_table(results: Results) -> Table:
    heads = ["work", "server", "against", "figure", "budget", "measured", "verdict"]
    lines = []
    for budget in BUDGETS:
        verdict = results.judge(budget)
        if verdict is None:
            continue
        mark = "×" if budget.peer else _UNITS[budget.figure]
        bound = f"≥ {budget.at_least:.2f}" if budget.peer else f"≤ {budget.at_most:.2f}"
        words = "kept" if verdict.kept else "MISSED"
        lines.append(
            [
                budget.work,
                budget.server,
                budget.peer or "-",
                _UNITS[budget.figure],
                f"{bound} {mark}",
                f"{verdict.value:.2f} {mark}",
                words if verdict.quiet else f"{words}, no quiet round",
            ]
        )
    return Table("budgets", "Budgets", heads, lines)


def _makers(mode: str) -> Any:
    special = {"idle": _idle_table, "stop": _stop_table}
    return _beside_table if mode in NEIGHBOURS else special.get(mode, _load_table)


def tables(results: Results) -> list[Table]:
    """Return all tables that have lines: one for each work, the budgets, what was not measured."""
    works = {row.work.name: row.work for row in results.rows.values()}
    made = []
    for name, work in works.items():
        rows = [row for row in results.rows.values() if row.work.name == name and row.rounds]
        rows.sort(key=lambda row: row.figure(row.work.figure))
        made.append(_makers(work.mode)(results, rows, name, name))
    problems = [
        [row.work.name, row.server, row.problem] for row in results.rows.values() if row.problem
    ]
    made += [
        _budget_table(results),
        Table("problems", "Not measured", ["work", "server", "why"], problems),
    ]
    return [table for table in made if table.lines]


def facts(plan: Plan, rows: Iterable[Row]) -> dict[str, Any]:
    """Return what is to be known of the run beside its figures."""
    counts = [len(row.rounds) for row in rows if row.rounds]
    return {
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": os.cpu_count(),
        "seconds of load in a round": plan.seconds,
        "rounds": f"{min(counts)} to {max(counts)}" if counts else "none",
    }


def as_text(results: Results) -> str:
    """Return the tables for a terminal."""
    parts = []
    for table in tables(results):
        widths = [max(map(len, column)) for column in zip(table.heads, *table.lines, strict=True)]
        rows = [
            "  ".join(
                cell.rjust(width) if cell[:1].isdecimal() else cell.ljust(width)
                for cell, width in zip(line, widths, strict=True)
            ).rstrip()
            for line in (table.heads, ["-" * width for width in widths], *table.lines)
        ]
        parts.append("\n".join([table.title, "", *rows]))
    return "\n\n".join(parts)


def as_markdown(results: Results, plan: Plan) -> str:
    """Return the tables as Markdown, under a line of facts about the run."""
    known = facts(plan, results.rows.values())
    parts = [", ".join(f"{name}: {value}" for name, value in known.items())]
    parts += [f"## {table.title}\n\n{table.markdown()}" for table in tables(results)]
    return "\n\n".join(parts) + "\n"


def as_json(results: Results, plan: Plan) -> str:
    """Return all rounds and verdicts, and facts about the run."""
    verdicts = [results.judge(budget) for budget in BUDGETS]
    document = {
        "run": facts(plan, results.rows.values()),
        "rows": [
            {
                "work": row.work.name,
                "server": row.server,
                "problem": row.problem,
                "best": row.best if row.rounds else None,
                "rounds": row.rounds,
            }
            for row in results.rows.values()
        ],
        "budgets": [attrs.asdict(verdict) for verdict in verdicts if verdict],
    }
    return json.dumps(document, indent=1) + "\n"
