"""Writing results down: as text, as Markdown, as JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from typing import Any

import attrs

from .budgets import BUDGETS
from .measure import Plan
from .results import Results, Row

__all__ = ["as_json", "as_markdown", "as_text"]

_UNITS = {"cpu_us": "CPU µs", "p99_us": "p99", "pss_kib": "PSS KiB", "stop_ms": "ms"}

_Table = tuple[str, list[str], list[list[str]]]


def _ratio(results: Results, row: Row) -> str:
    ratio = results.ratio(row)
    return "" if ratio is None else f"{ratio:.2f} ×"


def _remarks(row: Row) -> str:
    remarks = [] if row.quiet else ["no quiet round"]
    remarks += [
        f"{figure} {row.best[figure]:.0f}" for figure in ("lost", "errors") if row.best[figure]
    ]
    return ", ".join(remarks)


def _load_table(results: Results, rows: Sequence[Row]) -> _Table:
    heads = [
        *("work", "server", "requests/s", "CPU µs/request", "spread", "to its peer"),
        *("p50 µs", "p99 µs", "server busy", "load busy", "remarks"),
    ]
    lines = [
        [
            row.work.name,
            row.server,
            f"{row.figure('per_second'):,.0f}",
            f"{row.figure('cpu_us'):.1f}",
            f"{row.spread:.0%}",
            _ratio(results, row),
            f"{row.figure('p50_us'):,.0f}",
            f"{row.figure('p99_us'):,.0f}",
            f"{row.figure('server_busy'):.0%}",
            f"{row.figure('load_busy'):.0%}",
            _remarks(row),
        ]
        for row in rows
    ]
    return "Load", heads, lines


def _idle_table(results: Results, rows: Sequence[Row]) -> _Table:
    heads = ["work", "server", "PSS KiB/connection", "spread", "to its peer", "RSS KiB/connection"]
    lines = [
        [
            row.work.name,
            row.server,
            f"{row.figure('pss_kib'):.1f}",
            f"{row.spread:.0%}",
            _ratio(results, row),
            f"{row.figure('rss_kib'):.1f}",
        ]
        for row in rows
    ]
    return "Memory for each idle connection", heads, lines


def _stop_table(results: Results, rows: Sequence[Row]) -> _Table:
    heads = ["work", "server", "median ms", "spread", "longest ms", "to its peer"]
    lines = [
        [
            row.work.name,
            row.server,
            f"{row.figure('stop_ms'):.2f}",
            f"{row.spread:.0%}",
            f"{row.figure('stop_max_ms'):.2f}",
            _ratio(results, row),
        ]
        for row in rows
    ]
    return "Stop of an idle server", heads, lines


def _budget_table(results: Results) -> _Table:
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
    return "Budgets", heads, lines


def _tables(results: Results) -> list[_Table]:
    measured = [row for row in results.rows.values() if row.rounds]
    tables = [
        make(results, [row for row in measured if row.work.figure == figure])
        for figure, make in (
            ("cpu_us", _load_table),
            ("pss_kib", _idle_table),
            ("stop_ms", _stop_table),
        )
    ]
    problems = [
        [row.work.name, row.server, row.problem] for row in results.rows.values() if row.problem
    ]
    tables += [_budget_table(results), ("Not measured", ["work", "server", "why"], problems)]
    return [table for table in tables if table[2]]


def _facts(plan: Plan) -> dict[str, Any]:
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": os.cpu_count(),
        "server_cores": list(plan.cores.server),
        "client_cores": list(plan.cores.client),
        "warmup_s": plan.warmup,
        "seconds": plan.seconds,
    }


def as_text(results: Results) -> str:
    """Return the tables for a terminal."""
    parts = []
    for title, heads, lines in _tables(results):
        widths = [max(map(len, column)) for column in zip(heads, *lines, strict=True)]
        rows = [
            "  ".join(
                cell.rjust(width) if cell[:1].isdecimal() else cell.ljust(width)
                for cell, width in zip(line, widths, strict=True)
            ).rstrip()
            for line in (heads, ["-" * width for width in widths], *lines)
        ]
        parts.append("\n".join([title, "", *rows]))
    return "\n\n".join(parts)


def as_markdown(results: Results, plan: Plan) -> str:
    """Return the tables as Markdown, under a line of facts about the run."""
    parts = [", ".join(f"{name}: {value}" for name, value in _facts(plan).items())]
    for title, heads, lines in _tables(results):
        rows = [f"| {' | '.join(line)} |" for line in (heads, ["---"] * len(heads), *lines)]
        parts.append("\n".join([f"## {title}", "", *rows]))
    return "\n\n".join(parts) + "\n"


def as_json(results: Results, plan: Plan) -> str:
    """Return all rounds and verdicts, and facts about the run."""
    verdicts = [results.judge(budget) for budget in BUDGETS]
    document = {
        "run": _facts(plan),
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
    return json.dumps(document, indent=2) + "\n"
