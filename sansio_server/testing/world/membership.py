"""Which world a thread is part of."""

from __future__ import annotations

from threading import get_ident
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .world import World

__all__ = ["UNSEEN", "WORLDS", "find_world"]

#: By the ident of a thread, the world that it is part of.
WORLDS: Final[dict[int, World]] = {}

#: The threads that are busy with what is the system's, and so see no world.
UNSEEN: Final[set[int]] = set()


def find_world() -> World | None:
    """Return the world that the calling thread is part of; None if there is none."""
    ident = get_ident()
    return None if ident in UNSEEN else WORLDS.get(ident)
