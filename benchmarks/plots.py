"""Drawing results, as SVG: matplotlib is imported when something is drawn."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .results import Results, Row
from .servers import OURS, SERVERS, family
from .works import GROWTH_ALL, GROWTH_OPEN, NEIGHBOURS, Work

__all__ = ["draw_all"]

_BLUE, _GREEN, _GREY, _DARK = "#2166ac", "#1b9e77", "#b8bcc2", "#30343a"

#: Bars longer than this many times the median are not drawn, but said.
_TOO_LONG = 6.0

#: One colour for each server that growth is drawn for, so that both panels agree; ours are thick.
_LINES = {
    "trio-async": "#2166ac",
    "trio-greenlets": "#67a9cf",
    "trio-threads": "#00441b",
    "sync-threads": "#1b9e77",
    "bare-trio": "#d6604d",
    "asyncio-streams": "#b2182b",
    "uvloop-streams": "#f4a582",
    "gevent-streamserver": "#984ea3",
    "stdlib-threads": "#8c510a",
    "epoll-python": "#878787",
    "epoll-c": "#1a1a1a",
}

_TITLES = {
    "echo:1": "1 connection",
    "echo:64": "64 connections",
    "echo:1000": "1,000 connections",
    "echo:64:p16": "64 connections, 16 lines in flight on each",
    "echo:64:free": "64 connections, server and client on both cores",
    "churn:16": "a connection for each line, 16 at a time",
    "udp:16": "datagrams, 16 clients",
    "bulk:8": "a mebibyte there and back, 8 connections",
    "idle:5000": "5,000 idle connections",
    "mute:64": "64 that say nothing",
    "deaf:64": "64 that read nothing",
    "reset:16": "16 that reset",
    "flood:64": "64 that flood",
}


def draw_all(results: Results, folder: Path) -> list[Path]:
    """Draw what the run has figures for; return the files.

    :raises ImportError: matplotlib is not installed.
    """
    matplotlib = importlib.import_module("matplotlib")
    matplotlib.use("svg")
    pyplot = importlib.import_module("matplotlib.pyplot")
    style = {
        "font.family": ["DejaVu Sans", "sans-serif"],
        "font.size": 9,
        "axes.titlesize": 10,
        "axes.titleweight": "bold",
        "axes.edgecolor": _DARK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "svg.fonttype": "none",  # a tenth of the size of drawn letters
        "svg.hashsalt": "sansio-server",  # the same figures give the same file
    }
    drawings: dict[str, Callable[[Any, Results], Any]] = {
        "cpu": _draw_cpu,
        "latency": _draw_latency,
        "memory": _draw_memory,
        "neighbours": _draw_neighbours,
        "growth": _draw_growth,
    }
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    with matplotlib.rc_context(style):
        for name, draw in drawings.items():
            figure = draw(pyplot, results)
            if figure is not None:
                file = folder / f"{name}.svg"
                figure.savefig(file, metadata={"Date": None, "Creator": None}, facecolor="white")
                pyplot.close(figure)
                files.append(file)
    return files


def _rows(results: Results, work: str) -> list[Row]:
    rows = [row for (name, _), row in results.rows.items() if name == work and row.rounds]
    return sorted(rows, key=lambda row: row.figure(row.work.figure), reverse=True)


def _panels(pyplot: Any, results: Results, works: Sequence[str], columns: int) -> Any:
    """Return a figure, and a list of panels with the rows of each; None if there are no rows."""
    shown = {work: rows for work in works if (rows := _rows(results, work))}
    if not shown:
        return None, []
    lines = math.ceil(len(shown) / columns)
    columns = min(columns, len(shown))
    tallest = max(map(len, shown.values()))
    size = (5.0 * columns, (0.9 + 0.2 * tallest) * lines)
    figure, axes = pyplot.subplots(
        lines, columns, figsize=size, squeeze=False, layout="constrained"
    )
    spare = list(axes.flat)[len(shown) :]
    for axis in spare:
        axis.remove()
    return figure, list(zip(axes.flat, shown.items(), strict=False))


def _colour(server: str) -> str:
    if family(server) not in OURS:
        return _GREY
    return _BLUE if family(server) == "trio" else _GREEN


def _name_servers(axis: Any, rows: Sequence[Row]) -> None:
    axis.set_yticks(range(len(rows)), [row.server for row in rows])
    axis.tick_params(axis="y", length=0)
    for label, row in zip(axis.get_yticklabels(), rows, strict=True):
        label.set_color(_DARK if family(row.server) not in OURS else _colour(row.server))
        label.set_fontweight("normal" if family(row.server) not in OURS else "bold")


def _draw_bars(axis: Any, rows: Sequence[Row], title: str, unit: str) -> None:
    values = [row.figure(row.work.figure) for row in rows]
    limit = _TOO_LONG * sorted(values)[len(values) // 2]
    kept = [row for row, value in zip(rows, values, strict=True) if value <= limit]
    left_out = [
        f"{row.server} {value:,.0f}"
        for row, value in zip(rows, values, strict=True)
        if value > limit
    ]
    figure = kept[0].work.figure
    shown = [row.figure(figure) for row in kept]
    axis.barh(range(len(kept)), shown, color=[_colour(row.server) for row in kept], height=0.72)
    for index, (row, value) in enumerate(zip(kept, shown, strict=True)):
        axis.plot([value, row.median(figure)], [index, index], color=_DARK, linewidth=1)
        at = max(value, row.median(figure))
        axis.annotate(
            f"{value:,.1f}", (at, index), (3, 0), textcoords="offset points", va="center", size=8
        )
    _name_servers(axis, kept)
    axis.set_title(title, loc="left")
    axis.set_xlabel(unit + (f"\n(not drawn: {', '.join(left_out)})" if left_out else ""))
    axis.margins(x=0.12, y=0.01)
    axis.set_xlim(left=0)


def _draw_cpu(pyplot: Any, results: Results) -> Any:
    works = (
        *("echo:1", "echo:64", "echo:1000", "echo:64:free"),
        *("echo:64:p16", "churn:16", "udp:16", "bulk:8"),
    )
    figure, panels = _panels(pyplot, results, works, 2)
    for axis, (work, rows) in panels:
        _draw_bars(axis, rows, _TITLES[work], "CPU µs a request, server's side")
    return figure


def _draw_memory(pyplot: Any, results: Results) -> Any:
    figure, panels = _panels(pyplot, results, ("idle:5000",), 1)
    for axis, (work, rows) in panels:
        _draw_bars(axis, rows, _TITLES[work], "KiB a connection (PSS)")
    return figure


def _draw_ranges(axis: Any, rows: Sequence[Row], title: str) -> None:
    axis.set_xscale("log")
    finite = [row.figure("p99_us") for row in rows if math.isfinite(row.figure("p99_us"))]
    far = 2 * max(finite, default=1.0)
    for index, row in enumerate(rows):
        low, high = row.figure("p50_us"), row.figure("p99_us")
        colour = _colour(row.server)
        if math.isinf(high):
            axis.annotate("no answer in 10 s", (far, index), ha="right", va="center", size=8)
            axis.plot([far], [index], alpha=0)
            continue
        axis.plot([low, high], [index, index], color=colour, linewidth=3, solid_capstyle="round")
        axis.plot([low], [index], "o", color="white", markeredgecolor=colour, markersize=6)
        axis.plot([high], [index], "o", color=colour, markersize=6)
    _name_servers(axis, rows)
    axis.set_title(title, loc="left")
    axis.set_xlabel("µs from a line to its reply: ○ median, ● 99 of 100")
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axis.xaxis.set_minor_formatter(lambda value, _: "")
    axis.grid(axis="x", color="#e4e6e9", linewidth=0.8)
    axis.set_axisbelow(True)


def _by_p99(row: Row) -> float:
    return row.figure("p99_us")


def _draw_latency(pyplot: Any, results: Results) -> Any:
    works = ("echo:1", "echo:64", "echo:1000", "churn:16")
    figure, panels = _panels(pyplot, results, works, 2)
    for axis, (work, rows) in panels:
        _draw_ranges(axis, sorted(rows, key=_by_p99, reverse=True), _TITLES[work])
    return figure


def _draw_neighbours(pyplot: Any, results: Results) -> Any:
    works = [work for mode in NEIGHBOURS for work in _TITLES if work.startswith(f"{mode}:")]
    figure, panels = _panels(pyplot, results, works, 2)
    for axis, (work, rows) in panels:
        _draw_ranges(axis, rows, f"Beside {_TITLES[work]}")
    return figure


def _draw_growth(pyplot: Any, results: Results) -> Any:
    kinds = {"All of them speak": GROWTH_ALL, "10 of them speak": GROWTH_OPEN}
    servers = [name for name in SERVERS if name in _LINES]
    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4.6), sharey=True, layout="constrained")
    drawn = {}
    for axis, (title, works) in zip(axes, kinds.items(), strict=True):
        for server in servers:
            points = [
                (Work.parse(work).connections, row.figure("cpu_us"))
                for work in works
                if (row := results.measured(work, server)) is not None
            ]
            if len(points) > 1:
                ours = family(server) in OURS
                (drawn[server],) = axis.plot(
                    *zip(*points, strict=True),
                    marker="o",
                    markersize=5 if ours else 3.5,
                    linewidth=2.2 if ours else 1.2,
                    linestyle="-" if ours else "--",
                    color=_LINES[server],
                )
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_title(title, loc="left")
        axis.set_xlabel("connections open")
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.yaxis.set_minor_formatter(
            lambda value, _: f"{value:g}" if f"{value:e}"[0] in "25" else ""
        )
        axis.grid(color="#e4e6e9", linewidth=0.8)
    axes[0].set_ylabel("CPU µs a request, server's side")
    if not drawn:
        pyplot.close(figure)
        return None
    figure.legend(drawn.values(), drawn, loc="outside right upper", frameon=False)
    return figure
