"""The interface of the standard library's ``socketserver``, on a sans-IO core.

``import sync_backend as socketserver`` is all that a program needs: the names, the hooks and their
order are those of the standard library as of Python 3.14, on every Python. What differs is listed
in the documentation, each difference with its reason.
"""

from __future__ import annotations

import os
import socket

from sansio_server.handlers import (
    BaseRequestHandler,
    DatagramRequestHandler,
    StreamRequestHandler,
)

from .base import BaseServer
from .pool import PoolMixIn
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


class PoolTCPServer(PoolMixIn, TCPServer):
    """A :class:`TCPServer` with a pool of threads that accept connections by themselves."""


class PoolUDPServer(PoolMixIn, UDPServer):
    """A :class:`UDPServer` with a pool of threads that receive datagrams by themselves."""


if hasattr(socket, "AF_UNIX"):
    from .sockets import UnixDatagramServer, UnixStreamServer

    class ThreadingUnixStreamServer(ThreadingMixIn, UnixStreamServer):
        """A :class:`UnixStreamServer` with a thread for each connection."""

    class ThreadingUnixDatagramServer(ThreadingMixIn, UnixDatagramServer):
        """A :class:`UnixDatagramServer` with a thread for each datagram."""

    class PoolUnixStreamServer(PoolMixIn, UnixStreamServer):
        """A :class:`UnixStreamServer` with a pool of threads that accept by themselves."""

    class PoolUnixDatagramServer(PoolMixIn, UnixDatagramServer):
        """A :class:`UnixDatagramServer` with a pool of threads that receive by themselves."""

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
    from .prefork import PreforkMixIn

    class ForkingTCPServer(ForkingMixIn, TCPServer):
        """A :class:`TCPServer` with a child process for each connection."""

    class ForkingUDPServer(ForkingMixIn, UDPServer):
        """A :class:`UDPServer` with a child process for each datagram."""

    class PreforkTCPServer(PreforkMixIn, TCPServer):
        """A :class:`TCPServer` with worker processes that accept connections by themselves."""

    class PreforkUDPServer(PreforkMixIn, UDPServer):
        """A :class:`UDPServer` with worker processes that receive datagrams by themselves."""

    __all__ += ["ForkingMixIn", "ForkingTCPServer", "ForkingUDPServer"]
    __all__ += ["PreforkMixIn", "PreforkTCPServer", "PreforkUDPServer"]

    if hasattr(socket, "AF_UNIX"):

        class ForkingUnixStreamServer(ForkingMixIn, UnixStreamServer):
            """A :class:`UnixStreamServer` with a child process for each connection."""

        class ForkingUnixDatagramServer(ForkingMixIn, UnixDatagramServer):
            """A :class:`UnixDatagramServer` with a child process for each datagram."""

        class PreforkUnixStreamServer(PreforkMixIn, UnixStreamServer):
            """A :class:`UnixStreamServer` with worker processes that accept by themselves."""

        class PreforkUnixDatagramServer(PreforkMixIn, UnixDatagramServer):
            """A :class:`UnixDatagramServer` with worker processes that receive by themselves."""

        __all__ += ["ForkingUnixDatagramServer", "ForkingUnixStreamServer"]
        __all__ += ["PreforkUnixDatagramServer", "PreforkUnixStreamServer"]
