"""Waiting for what the system does not tell."""

from __future__ import annotations

from typing import Any, Final

import trio

__all__ = ["Pauses"]

#: Seconds between two attempts to send a datagram, at first and at most. The system does not tell
#: when the receiver of a Unix datagram has room again: the sender's socket is always writable.
_FIRST: Final = 0.001
_LARGEST: Final = 0.1


class Pauses:
    """Pauses between attempts, each twice as long as the last."""

    def __init__(self) -> None:
        self._seconds = _FIRST

    async def wait(self, _: Any) -> None:
        """Pause, in place of waiting for a socket."""
        await trio.sleep(self._seconds)
        self._seconds = min(2 * self._seconds, _LARGEST)
