"""What a world raises."""

from __future__ import annotations

__all__ = ["Deadlock", "LeftBehind", "Stuck", "Unwound"]


class Deadlock(RuntimeError):
    """Something waits for an event that will never come: no actor can move, now or later.

    The message says who waits, for what, and where.
    """


class Stuck(RuntimeError):
    """Something neither waits nor ends: an endless loop, or a wait that the world does not see.

    The message says who it is, and where.
    """


class LeftBehind(AssertionError):
    """Something was left over when a scripted server was closed."""


class Unwound(BaseException):
    """Raised where somebody waits when the world ends.

    No :class:`Exception`, so that handlers do not take it for an error of theirs.
    """

    #: The mark of :func:`~.scripts.faults.injected`: it is nobody's mistake.
    _injected = True
