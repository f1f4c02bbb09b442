"""What a server's core tells, as moments of a timeline."""

from __future__ import annotations

from typing import Final

from sansio_server.trace import TraceEvent, TraceKind

__all__ = ["moment_of"]

#: What a timeline does not know by itself.
_TOLD: Final = {
    TraceKind.ENTER: "enter",
    TraceKind.LEAVE: "leave",
    TraceKind.ERROR: "error",
    TraceKind.STATE: "state",
    TraceKind.OVERLOAD: "overload",
    TraceKind.CUT: "cut",
}


def moment_of(event: TraceEvent) -> tuple[str, str, str | None] | None:
    """Return what happened, its detail, and whose request it was; None for no moment of its own."""
    what = _TOLD.get(event.kind)
    if what is None:
        return None
    detail = event.what
    if event.kind is TraceKind.ERROR:
        detail += f" {type(event.detail).__name__}: {event.detail}"
    elif event.kind is TraceKind.LEAVE:
        detail += f" {event.detail.name}"
    return what, detail, f"request {event.request}" if event.request else None
