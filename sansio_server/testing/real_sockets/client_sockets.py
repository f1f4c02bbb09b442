"""The sockets of clients in a process that may fork servers' children."""

from __future__ import annotations

import os
import socket
import threading
from typing import Final
from weakref import WeakSet

__all__ = ["client_socket"]

#: All of them. A child has copies, which would keep a connection that its client closes or resets.
_SOCKETS: Final[WeakSet[socket.socket]] = WeakSet()
#: Held while one is made, so that none is forked before it is known.
_MAKING: Final = threading.RLock()  # a handler of signals may fork, too


def client_socket(family: int, kind: int) -> socket.socket:
    """Return a new socket, which children forked from now on close at once.

    :param family: the address family.
    :param kind: SOCK_STREAM or SOCK_DGRAM.
    :raises OSError: the system has none.
    """
    with _MAKING:
        sock = socket.socket(family, kind)
        _SOCKETS.add(sock)
    return sock


def _close_in_child() -> None:
    _MAKING.release()
    for each in _SOCKETS:
        each.close()
    _SOCKETS.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_MAKING.acquire,
        after_in_parent=_MAKING.release,
        after_in_child=_close_in_child,
    )
