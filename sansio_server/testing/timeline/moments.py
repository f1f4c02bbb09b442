"""What happened in a world, in order: moments, and how they are printed."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

__all__ = ["Moment", "render", "shown"]

#: How many bytes of data a moment shows.
_SHOWN = 40


@attrs.frozen
class Moment:
    """Something that happened in a world.

    :ivar time: when, in virtual seconds since the world began.
    :ivar actor: who did it: "loop", "client 1", "request 3", "test", "world".
    :ivar what: a word for it: "connect", "recv", "enter", "fault", …
    :ivar detail: the rest, printable, and the same on every Python and in every run.
    """

    time: float
    actor: str
    what: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.time:9.3f}  {self.actor:<12} {self.what} {self.detail}".rstrip()


def render(moments: Iterable[Moment]) -> str:
    """Return *moments* as text, one a line."""
    return "\n".join(map(str, moments))


def shown(data: bytes) -> str:
    """Return *data* as a moment shows it: the first bytes as Python writes them, and how many."""
    if len(data) <= _SHOWN:
        return repr(data)
    return f"{data[:_SHOWN]!r}… ({len(data)} bytes)"
