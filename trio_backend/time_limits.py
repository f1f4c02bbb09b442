"""Time limits as sockets have them: an error, not a cancellation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import trio

__all__ = ["checked_seconds", "in_time"]


def checked_seconds(seconds: float | None) -> float | None:
    """Return *seconds* if they can be a time limit, as ``settimeout()`` takes it; None: no limit.

    :raises ValueError: they are negative, or no number.
    """
    if seconds is not None and not seconds >= 0:  # so that NaN is refused too
        raise ValueError(f"seconds must be 0 or more, or None, not {seconds!r}")
    return seconds


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
