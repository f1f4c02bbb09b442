"""Timelines as a page to look at: one HTML file with nothing outside it, and no script in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import accumulate
from typing import Any, Final

import attrs

from .lanes import Bar, Lane, Picture, Row, arrange
from .moments import Moment

__all__ = ["Section", "page", "timeline_page"]

_ROW: Final = 24
_GAP: Final = 34
_GUTTER: Final = 96
_LANE: Final = 216
_NARROW: Final = 152
_INDENT: Final = 9
_TOP: Final = 14


@attrs.frozen
class Section:
    """A part of a page: a run, as a rule.

    :ivar title: its heading.
    :ivar moments: what to draw; none for no picture.
    :ivar trouble: what was found wrong, shown first.
    :ivar notes: other lines of text.
    :ivar code: text to show as it is, below the picture: a script, say.
    """

    title: str
    moments: Sequence[Moment] = ()
    trouble: Sequence[str] = ()
    notes: Sequence[str] = ()
    code: str = ""


def timeline_page(moments: Sequence[Moment], title: str = "A run", **more: Any) -> str:
    """Return the page of one timeline.

    :param more: other attributes of :class:`Section`.
    """
    return page(title, [Section("", moments, **more)])


def page(title: str, sections: Sequence[Section]) -> str:
    """Return a page of several parts.

    :param title: of the whole.
    """
    body = "\n".join(part for section in sections for part in _section(section))
    return (
        "<!DOCTYPE html>\n"
        '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{_STYLE}</style>\n</head>\n<body>\n"
        f"<header><h1>{escape(title)}</h1>\n{_LEGEND}</header>\n<main>\n{body}\n</main>\n"
        "</body>\n</html>\n"
    )


def _section(section: Section) -> Iterator[str]:
    yield "<section>"
    if section.title:
        yield f"<h2>{escape(section.title)}</h2>"
    if section.trouble:
        items = "".join(f"<li>{escape(line)}</li>" for line in section.trouble)
        yield f'<ul class="trouble">{items}</ul>'
    for line in section.notes:
        yield f'<p class="note">{escape(line)}</p>'
    if section.moments:
        yield from _chart(arrange(section.moments))
    if section.code:
        yield f'<pre class="code">{escape(section.code)}</pre>'
    yield "</section>"


# The picture.


def _chart(picture: Picture) -> Iterator[str]:
    tops = list(_tops(picture.rows))
    grid = _Grid(picture.lanes)
    height, width = tops[-1] + _ROW + _TOP, grid.width
    yield f'<div class="chart"><div class="inside" style="width:{width}px">'
    yield '<div class="actors"><span class="time">time</span>' + "".join(
        f'<span class="actor {lane.role}" style="width:{_width(lane)}px">'
        f"{escape(lane.actor)}</span>"
        for lane in picture.lanes
    )
    yield "</div>"
    yield f'<div class="rows" style="height:{height}px">'
    yield f'<svg width="{width}" height="{height}" aria-hidden="true">{_ARROWHEAD}'
    for number, lane in enumerate(picture.lanes):
        yield _lifeline(grid.x(number), lane, tops)
    for bar in sorted(picture.bars, key=lambda bar: bar.depth):
        yield _bar(grid.x(bar.lane, bar.depth), bar, tops)
    for top, row in zip(tops, picture.rows, strict=True):
        yield from _arrow(row, top, grid)
    yield "</svg>"
    for top, row in zip(tops, picture.rows, strict=True):
        yield from _row(row, top, grid, first=row is picture.rows[0])
    yield "</div></div></div>"


def _tops(rows: Sequence[Row]) -> Iterator[int]:
    """Where each row begins; where time has passed there is a gap before it."""
    top = _TOP
    for row in rows:
        top += _GAP if row.passed > 0 else 0
        yield top
        top += _ROW


def _width(lane: Lane) -> int:
    return _LANE if lane.role in ("client", "request") else _NARROW


class _Grid:
    """Where the lanes are, from left to right."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self.lanes = lanes
        self._edges = list(accumulate(map(_width, lanes), initial=_GUTTER))

    @property
    def width(self) -> int:
        return self._edges[-1]

    def x(self, lane: int, depth: int = 0) -> int:
        return self._edges[lane] + 16 + _INDENT * depth


def _lifeline(x: int, lane: Lane, tops: Sequence[int]) -> str:
    first, last = tops[lane.first] + _ROW // 2, tops[lane.last] + _ROW // 2
    return f'<line class="line {lane.role}" x1="{x}" y1="{first}" x2="{x}" y2="{last}"/>'


def _bar(x: int, bar: Bar, tops: Sequence[int]) -> str:
    top, bottom = tops[bar.first] + 3, tops[bar.last] + _ROW - 3
    tone = "bad" if bar.outcome in ("FAILED", "ESCAPED") else _TONES.get(bar.hook, "other")
    return (
        f'<rect class="bar {tone}" x="{x - 4}" y="{top}" width="8" height="{bottom - top}" rx="3">'
        f"<title>{escape(f'{bar.hook} {bar.outcome}'.strip())}</title></rect>"
    )


def _arrow(row: Row, top: int, grid: _Grid) -> Iterator[str]:
    mark = row.mark
    partner = grid.lanes[mark.lane].partner
    if not mark.flows or partner is None:
        return
    y, here = top + _ROW - 3, grid.x(mark.lane)
    far = (here + grid.x(partner)) // 2
    start, end = (here, far) if mark.flows > 0 else (far, here)
    yield f'<line class="flow" x1="{start}" y1="{y}" x2="{end}" y2="{y}" marker-end="url(#head)"/>'


def _row(row: Row, top: int, grid: _Grid, *, first: bool) -> Iterator[str]:
    mark = row.mark
    if first or row.passed > 0:
        if not first:
            passed = _seconds(row.passed)
            yield f'<div class="gap" style="top:{top - _GAP}px"><b>+{passed}</b></div>'
        yield f'<time style="top:{top}px">{_seconds(row.time)}</time>'
    left = grid.x(mark.lane, mark.depth) + 9
    wide = _width(grid.lanes[mark.lane]) - 34 - _INDENT * mark.depth
    dot = "<i></i>" if mark.kind == "life" and not mark.depth else ""
    yield (
        f'<div class="mark {mark.kind}" style="top:{top}px;left:{left}px;max-width:{wide}px" '
        f'title="{escape(mark.more)}">{dot}<span>{escape(mark.text)}</span></div>'
    )


def _seconds(value: float) -> str:
    if 0 < value < 0.001:
        return f"{1_000_000 * value:.0f} µs"
    return f"{value:.3f}".rstrip("0").rstrip(".") + " s"


_TONES: Final = {
    "verify_request": "verify",
    "process_request": "process",
    "finish_request": "finish",
    "shed_request": "shed",
    "shutdown_request": "shutdown",
    "handle_error": "bad",
}

_ARROWHEAD: Final = (
    '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
    'orient="auto"><path class="head" d="M0 0.8 L7.5 4 L0 7.2 z"/></marker></defs>'
)

_LEGEND: Final = (
    '<p class="legend">'
    '<span><i class="key verify"></i>verify</span><span><i class="key process"></i>process</span>'
    '<span><i class="key finish"></i>finish: the handler</span>'
    '<span><i class="key shutdown"></i>shutdown</span><span><i class="key bad"></i>an error</span>'
    '<span><b class="mark bytes sample"><span>b&#x27;…&#x27;</span></b>bytes</span>'
    '<span><b class="mark fault sample"><span>fault</span></b>injected</span>'
    "<span>time runs downwards; point at anything for all of it</span></p>\n"
)

_STYLE: Final = """\
:root { color-scheme: light dark; --paper: #fff; --ink: #1c2430; --soft: #66707f; --line: #e3e7ed;
  --panel: #f6f8fa; --client: #2563c9; --request: #0f8a7e; --loop: #7a4fd0; --rest: #6b7482;
  --verify: #94a0b3; --process: #7b8ce8; --finish: #2bb5a2; --shutdown: #b6a5dd; --shed: #e0a030;
  --bad: #d93a4a; --bytes: #eaf1fe; --bytes-ink: #1d4fa5; --fault: #d93a4a; }
@media (prefers-color-scheme: dark) { :root { --paper: #14181e; --ink: #e3e8ef; --soft: #98a3b3;
  --line: #2b323d; --panel: #1b212a; --client: #7fb0ff; --request: #4fd1c1; --loop: #b79cff;
  --rest: #a2acba; --bytes: #1f2f4d; --bytes-ink: #b7d0ff; --verify: #6d7a90; --process: #6476d8;
  --finish: #1f9686; --shutdown: #8472b5; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 14px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
header, section { padding: 0 28px; }
header { padding-top: 22px; }
h1 { font-size: 22px; font-weight: 650; letter-spacing: -0.01em; margin: 0 0 6px; }
h2 { font-size: 16px; font-weight: 650; margin: 30px 0 8px; }
.legend { display: flex; flex-wrap: wrap; gap: 6px 18px; margin: 0 0 14px; color: var(--soft);
  font-size: 12.5px; }
.legend span { display: inline-flex; align-items: center; gap: 6px; }
.key { width: 8px; height: 15px; border-radius: 3px; }
.note { margin: 2px 0; color: var(--soft); }
.trouble { margin: 8px 0 12px; padding: 10px 14px 10px 30px; border-left: 4px solid var(--bad);
  border-radius: 4px; background: color-mix(in srgb, var(--bad) 9%, var(--paper)); }
.trouble li { white-space: pre-wrap; overflow-wrap: anywhere; }
.code { padding: 14px 16px; border: 1px solid var(--line); border-radius: 8px; overflow: auto;
  background: var(--panel); font: 12.5px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
.chart { border: 1px solid var(--line); border-radius: 10px; overflow: auto; max-height: 92vh;
  margin: 10px 0 18px; }
.inside { min-width: 100%; }
.actors { position: sticky; top: 0; z-index: 3; height: 40px; background: var(--panel);
  border-bottom: 1px solid var(--line); display: flex; align-items: center; }
.actors .time { width: 96px; padding-left: 16px; color: var(--soft); font-size: 12px; }
.actor { padding-left: 11px; font-weight: 620; }
.actor::before { content: ""; display: inline-block; width: 9px; height: 9px; margin-right: 8px;
  border-radius: 50%; background: currentColor; }
.actor.client { color: var(--client); } .actor.request { color: var(--request); }
.actor.loop { color: var(--loop); } .actor.other { color: var(--rest); }
.rows { position: relative; }
.rows svg { position: absolute; inset: 0; }
.line { stroke-width: 1.5; stroke: var(--rest); opacity: 0.45; }
.line.client { stroke: var(--client); } .line.request { stroke: var(--request); }
.line.loop { stroke: var(--loop); }
.bar, .key { fill: var(--rest); background: var(--rest); }
.verify { fill: var(--verify); background: var(--verify); }
.process { fill: var(--process); background: var(--process); }
.finish { fill: var(--finish); background: var(--finish); }
.shutdown { fill: var(--shutdown); background: var(--shutdown); }
.shed { fill: var(--shed); background: var(--shed); }
.bad { fill: var(--bad); background: var(--bad); }
.flow { stroke: var(--bytes-ink); stroke-width: 1.3; opacity: 0.75; }
.head { fill: var(--bytes-ink); }
time { position: absolute; left: 16px; height: 24px; line-height: 24px; color: var(--soft);
  font-size: 12px; font-variant-numeric: tabular-nums; }
.gap { position: absolute; left: 0; right: 0; height: 34px; }
.gap::before { content: ""; position: absolute; left: 0; right: 0; top: 17px;
  border-top: 1px dashed var(--line); }
.gap b { position: absolute; left: 16px; top: 7px; padding: 0 8px; border-radius: 10px;
  background: var(--panel); border: 1px solid var(--line); color: var(--soft); font-size: 11.5px;
  font-weight: 600; line-height: 18px; }
.mark { position: absolute; height: 24px; display: flex; align-items: center; gap: 6px;
  font-size: 12.5px; white-space: nowrap; }
.mark span { overflow: hidden; text-overflow: ellipsis; }
.mark:hover { z-index: 2; max-width: none !important; }
.mark:hover span { background: var(--panel); outline: 1px solid var(--line); outline-offset: 3px;
  border-radius: 3px; }
.mark.hook { color: var(--soft); }
.mark i { position: absolute; left: -12px; width: 6px; height: 6px; border-radius: 50%;
  background: var(--rest); }
.mark.bytes span { padding: 0 7px; border-radius: 5px; background: var(--bytes);
  color: var(--bytes-ink); font: 11.5px/18px ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
.mark.fault span { padding: 0 8px; border-radius: 5px; background: var(--fault); color: #fff;
  font-weight: 620; line-height: 18px; }
.mark.error { color: var(--bad); font-weight: 600; }
.mark.time { color: var(--soft); font-style: italic; }
.mark.sample { position: static; height: auto; font-weight: 400; }
@media print { .chart { max-height: none; overflow: visible; } }
"""
