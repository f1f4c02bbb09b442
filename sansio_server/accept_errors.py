"""What a failed ``accept`` means: the fault of one connection, of a full machine, or the end.

The lists follow accept(2) on Linux ("Error handling": pending network errors of the new socket are
passed on by ``accept`` and are to be treated like EAGAIN), with the codes of Winsock beside them.
"""

from __future__ import annotations

import errno
from enum import IntEnum
from typing import Final

__all__ = ["CAPACITY_ERRNOS", "FATAL_ERRNOS", "AcceptError", "classify_accept_error"]


class AcceptError(IntEnum):
    """What an error of accepting asks for."""

    NOTHING = 0
    """No client was there after all: wait again."""
    CONNECTION = 1
    """One connection was lost before it began: go on."""
    CAPACITY = 2
    """The machine is full: back off, or the loop spins (CPython gh-81207)."""
    FATAL = 3
    """The listener is dead: the loop ends with the error."""


def _codes(*names: str) -> frozenset[int]:
    return frozenset(getattr(errno, name) for name in names if hasattr(errno, name))


_NOTHING: Final = _codes("EAGAIN", "EWOULDBLOCK", "EINTR", "WSAEWOULDBLOCK")

#: Descriptors of the process, of the system; buffers; memory.
CAPACITY_ERRNOS: Final = _codes("EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "WSAEMFILE", "WSAENOBUFS")

#: No descriptor, not a socket, not listening, not a socket that can listen, a bad buffer.
FATAL_ERRNOS: Final = _codes(
    "EBADF", "ENOTSOCK", "EINVAL", "EOPNOTSUPP", "EFAULT", "WSAENOTSOCK", "WSAEINVAL"
)


def classify_accept_error(error: OSError, *, listener_dead: bool = False) -> AcceptError:
    """Say what *error*, raised by ``get_request()``, asks for.

    An errno alone condemns no listener: ``get_request`` may be overridden to do more than accept (a
    TLS handshake, say), and what goes wrong there belongs to one connection.

    :param error: what ``get_request()`` raised.
    :param listener_dead: whether the listening socket is seen to be closed or no longer listening.
    """
    code = error.errno
    if code in CAPACITY_ERRNOS:
        return AcceptError.CAPACITY
    if isinstance(error, (BlockingIOError, InterruptedError)) or code in _NOTHING:
        return AcceptError.NOTHING
    if listener_dead and code in FATAL_ERRNOS:
        return AcceptError.FATAL
    return AcceptError.CONNECTION
