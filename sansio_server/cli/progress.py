"""A bar that shows on a terminal how far something has come."""

from __future__ import annotations

import os
import sys
import time
from typing import Final, TextIO

__all__ = ["Progress"]

#: Seconds between two looks of the bar, and its width in characters.
_INTERVAL: Final = 0.1
_WIDTH: Final = 30


class Progress:
    """Shows how many of a number of things are done; nothing where nobody looks.

    :param total: how many there are to do, 1 or more.
    :param what: what they are.
    :param out: where to show it: standard error, unless given.
    """

    def __init__(self, total: int, what: str, out: TextIO | None = None) -> None:
        self._total = total
        self._what = what
        self._out = sys.stderr if out is None else out
        self._is_seen = (
            self._out is not None  # closed before the program began
            and self._out.isatty()
            and os.environ.get("TERM") != "dumb"
        )
        self._begun = self._drawn = time.monotonic()

    def show(self, done: int, failed: int = 0) -> None:
        """Show that so many are done, and so many of them have failed."""
        now = time.monotonic()
        if self._is_seen and now - self._drawn >= _INTERVAL:
            self._drawn = now
            self._write(self._line(done, failed, now - self._begun))

    def _line(self, done: int, failed: int, seconds: float) -> str:
        filled = int(done / self._total * _WIDTH)
        bar = "█" * filled + "·" * (_WIDTH - filled)
        text = f"{bar} {done:,} of {self._total:,} {self._what}, {done / seconds:,.0f}/s"
        return f"{text}, {failed} failed" if failed else text

    def _write(self, text: str) -> None:
        try:
            self._out.write(f"\r\x1b[2K{text}")
            self._out.flush()
        except (OSError, UnicodeError):
            self._is_seen = False

    def clear(self) -> None:
        """Take the bar away."""
        if self._is_seen:
            self._write("")
