"""The sockets of clients in a process that may fork servers' children."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from typing import Final, TypeVar
from weakref import WeakSet

__all__ = ["client_socket", "closed_in_children"]

_Socket = TypeVar("_Socket", bound=socket.socket)

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
    return closed_in_children(lambda: socket.socket(family, kind))


def closed_in_children(make: Callable[[], _Socket]) -> _Socket:
    """Return what *make* returns, which children forked from now on close at once.

    :param make: makes a socket, without waiting: no other thread can fork meanwhile.
    """
    with _MAKING:
        sock = make()
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
