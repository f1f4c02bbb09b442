"""The interface of the standard library's ``socketserver``, on a sans-IO core.

``import sync_backend as socketserver`` is all that a program needs: the names, the hooks and their
order are those of the standard library as of Python 3.14, on every Python. What differs is listed
in the documentation, each difference with its reason.
"""

from __future__ import annotations

import os
import socket
from importlib import import_module
from typing import TYPE_CHECKING, Any

from sansio_server.handlers import (
    BaseRequestHandler,
    DatagramRequestHandler,
    StreamRequestHandler,
)

from .base import BaseServer
from .sockets import TCPServer, UDPServer
from .threads import ThreadingMixIn

__all__ = [
    "BaseRequestHandler",
    "BaseServer",
    "DatagramRequestHandler",
    "PoolMixIn",
    "PoolTCPServer",
    "PoolUDPServer",
    "StreamRequestHandler",
    "TCPServer",
    "ThreadingMixIn",
    "ThreadingTCPServer",
    "ThreadingUDPServer",
    "UDPServer",
]


class ThreadingTCPServer(ThreadingMixIn, TCPServer):
    """A :class:`TCPServer` with a thread for each connection."""


class ThreadingUDPServer(ThreadingMixIn, UDPServer):
    """A :class:`UDPServer` with a thread for each datagram."""


if hasattr(socket, "AF_UNIX"):
    from .sockets import UnixDatagramServer, UnixStreamServer

    class ThreadingUnixStreamServer(ThreadingMixIn, UnixStreamServer):
        """A :class:`UnixStreamServer` with a thread for each connection."""

    class ThreadingUnixDatagramServer(ThreadingMixIn, UnixDatagramServer):
        """A :class:`UnixDatagramServer` with a thread for each datagram."""

    __all__ += [
        "PoolUnixDatagramServer",
        "PoolUnixStreamServer",
        "ThreadingUnixDatagramServer",
        "ThreadingUnixStreamServer",
        "UnixDatagramServer",
        "UnixStreamServer",
    ]

if hasattr(os, "fork"):
    from .forks import ForkingMixIn

    class ForkingTCPServer(ForkingMixIn, TCPServer):
        """A :class:`TCPServer` with a child process for each connection."""

    class ForkingUDPServer(ForkingMixIn, UDPServer):
        """A :class:`UDPServer` with a child process for each datagram."""

    __all__ += ["ForkingMixIn", "ForkingTCPServer", "ForkingUDPServer"]
    __all__ += ["PreforkMixIn", "PreforkTCPServer", "PreforkUDPServer"]

    if hasattr(socket, "AF_UNIX"):

        class ForkingUnixStreamServer(ForkingMixIn, UnixStreamServer):
            """A :class:`UnixStreamServer` with a child process for each connection."""

        class ForkingUnixDatagramServer(ForkingMixIn, UnixDatagramServer):
            """A :class:`UnixDatagramServer` with a child process for each datagram."""

        __all__ += ["ForkingUnixDatagramServer", "ForkingUnixStreamServer"]
        __all__ += ["PreforkUnixDatagramServer", "PreforkUnixStreamServer"]

# What few programs use is loaded when it is asked for: what a fork costs follows what its parent
# has loaded.
_LATER = {
    "PoolMixIn": "pool",
    "PoolTCPServer": "pool_servers",
    "PoolUDPServer": "pool_servers",
    "PoolUnixDatagramServer": "pool_servers",
    "PoolUnixStreamServer": "pool_servers",
    "PreforkMixIn": "prefork",
    "PreforkTCPServer": "prefork_servers",
    "PreforkUDPServer": "prefork_servers",
    "PreforkUnixDatagramServer": "prefork_servers",
    "PreforkUnixStreamServer": "prefork_servers",
}

if TYPE_CHECKING:
    from .pool import PoolMixIn as PoolMixIn
    from .pool_servers import PoolTCPServer as PoolTCPServer
    from .pool_servers import PoolUDPServer as PoolUDPServer
    from .pool_servers import PoolUnixDatagramServer as PoolUnixDatagramServer
    from .pool_servers import PoolUnixStreamServer as PoolUnixStreamServer
    from .prefork import PreforkMixIn as PreforkMixIn
    from .prefork_servers import PreforkTCPServer as PreforkTCPServer
    from .prefork_servers import PreforkUDPServer as PreforkUDPServer
    from .prefork_servers import PreforkUnixDatagramServer as PreforkUnixDatagramServer
    from .prefork_servers import PreforkUnixStreamServer as PreforkUnixStreamServer
else:

    def __getattr__(name: str) -> Any:
        if name not in _LATER or name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f".{_LATER[name]}", __name__), name)
        globals()[name] = value  # found without this from now on
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
