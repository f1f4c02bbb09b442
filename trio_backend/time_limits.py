"""Time limits as sockets have them: an error, not a cancellation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import trio

__all__ = ["in_time"]


@contextmanager
def in_time(seconds: float | None) -> Iterator[None]:
    """Let what is awaited inside take *seconds* at most; None for any time.

    :raises TimeoutError: it took longer.
    """
    if seconds is None:
        yield
        return
    with trio.move_on_after(seconds) as scope:
        yield
    if scope.cancelled_caught:
        raise TimeoutError("timed out") from None  # the cancellation is how, not why
