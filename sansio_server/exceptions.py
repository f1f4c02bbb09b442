"""The exceptions of this package; where a built-in one fits, that is raised."""

from __future__ import annotations

__all__ = ["IllegalTransition", "IncompleteRead", "LineTooLong", "SuspendedError"]


class IllegalTransition(RuntimeError):
    """An event was put to a server in a state that has no row for it.

    This is a bug in a backend, never in a program that uses one.
    """


class SuspendedError(RuntimeError):
    """An asynchronous hook or handler waited for something that its backend cannot run.

    A blocking backend runs ``async def`` handlers to their end without an event loop. What such a
    handler awaits must therefore be its own coroutines or its request, ``rfile`` and ``wfile``; the
    error is raised at the ``await`` of anything else.
    """


class LineTooLong(ValueError):
    """A delimiter did not come within the allowed number of bytes.

    :ivar limit: the number of bytes that were allowed.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return f"no delimiter within {self.limit} bytes"


class IncompleteRead(EOFError):
    """The stream ended before all that was asked for had come.

    :ivar partial: the bytes that did come.
    :ivar expected: how many bytes were asked for, or None when a delimiter was.
    """

    def __init__(self, partial: bytes, expected: int | None) -> None:
        super().__init__(partial, expected)
        self.partial = partial
        self.expected = expected

    def __str__(self) -> str:
        wanted = "a delimiter" if self.expected is None else f"{self.expected} bytes"
        return f"the stream ended after {len(self.partial)} bytes, before {wanted}"
