"""The first entry of ``sys.path``, which depends on how Python was started."""

from __future__ import annotations

import os
import sys

__all__ = ["has_own_entry", "look_here"]


def has_own_entry() -> bool:
    """Say whether Python has put the place of the program first; ``-I`` and ``-P`` forbid it."""
    return not (sys.flags.isolated or getattr(sys.flags, "safe_path", False))


def look_here() -> None:
    """Let modules of the working directory be found first, as ``python -m`` does."""
    if not has_own_entry():
        return
    try:
        here = os.getcwd()
    except FileNotFoundError:
        return  # it was removed
    if sys.path[:1] != [here]:
        sys.path.insert(0, here)
