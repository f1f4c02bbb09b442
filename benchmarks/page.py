"""The page of the documentation that shows the figures: its tables and plots are written here."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from .measure import Plan
from .plots import draw_all
from .report import Table, facts, tables
from .results import Results

__all__ = ["RIVALS", "filled_in", "slower_table", "write_page"]

#: Whom each of our servers is to be compared with: those who serve in the same way.
RIVALS: Mapping[str, Sequence[str]] = {
    "sync-inline": ("stdlib-inline",),
    "sync-threads": ("stdlib-threads",),
    "sync-reused": ("stdlib-threads", "raw-threads"),
    "sync-pool": ("raw-threads", "stdlib-threads"),
    "sync-prefork": ("raw-prefork", "stdlib-forks"),
    "sync-forks": ("stdlib-forks",),
    "sync-udp": ("stdlib-udp",),
    "sync-async-inline": ("sync-inline",),
    "sync-async-threads": ("sync-threads",),
    "sync-async-udp": ("sync-udp",),
    "trio-async": (
        *("bare-trio", "anyio-trio", "anyio-asyncio", "asyncio-streams", "uvloop-streams"),
    ),
    "trio-threads": ("stdlib-threads",),
    "trio-greenlets": ("gevent-streamserver",),
    "trio-udp": ("bare-trio-udp", "asyncio-udp", "uvloop-udp"),
    "trio-udp-threads": ("stdlib-udp",),
    "trio-udp-greenlets": ("gevent-udp",),
}

#: A difference of less than this is none.
_ALIKE = 1.05

_BLOCK = re.compile(r"(<!-- measured: (\S+) -->\n).*?(<!-- /measured -->)", re.DOTALL)

_FIGURES = {"cpu_us": "CPU a request", "pss_kib": "memory a connection", "p99_us": "p99"}


def slower_table(results: Results) -> Table:
    """Return where one of our servers needs more than a rival."""
    lines = []
    for row in results.rows.values():
        if not row.rounds or row.work.mode == "stop":
            continue
        figure = row.work.figure
        for rival in RIVALS.get(row.server, ()):
            peer = results.measured(row.work.name, rival)
            if peer is None:
                continue
            ours, theirs = row.figure(figure), peer.figure(figure)
            if ours > _ALIKE * theirs:
                times = "never" if math.isinf(ours) else f"{ours / max(theirs, 0.01):.2f} ×"
                remark = "" if row.quiet and peer.quiet else "no quiet round"
                lines.append([row.work.name, row.server, rival, _FIGURES[figure], times, remark])
    heads = ["work", "server", "against", "figure", "times the peer's", "remarks"]
    return Table("slower", "Slower than a peer", heads, lines)


def _run_table(results: Results, plan: Plan) -> Table:
    known = facts(plan, results.rows.values())
    lines = [[name, str(value)] for name, value in known.items()]
    quiet = [bool(row.quiet) for row in results.rows.values() if row.rounds]
    if quiet:
        lines.append(["rows with a quiet round", f"{sum(quiet)} of {len(quiet)}"])
    return Table("run", "The run", ["fact", "value"], lines)


def filled_in(page: str, made: Sequence[Table]) -> str:
    """Return *page* with the tables in the blocks that name them; others stay as they are.

    A block begins with ``<!-- measured: KEY -->`` and ends with ``<!-- /measured -->``.

    :raises ValueError: there is no such block.
    """
    by_key = {table.key: table for table in made}

    def fill(block: re.Match[str]) -> str:
        table = by_key.get(block[2])
        return f"{block[1]}{table.markdown()}\n{block[3]}" if table else block[0]

    if not _BLOCK.search(page):
        raise ValueError("the page has no block <!-- measured: … -->")
    return _BLOCK.sub(fill, page)


def write_page(results: Results, plan: Plan, folder: Path) -> None:
    """Write what was measured into ``performance.md`` and ``plots/`` in *folder*.

    :raises OSError: a file can't be read or written.
    :raises ValueError: the page has no place for tables.
    :raises ImportError: matplotlib is not installed.
    """
    page = folder / "performance.md"
    made = [*tables(results), slower_table(results), _run_table(results, plan)]
    text = filled_in(page.read_text(encoding="utf-8"), made)
    draw_all(results, folder / "plots")
    page.write_text(text, encoding="utf-8")
