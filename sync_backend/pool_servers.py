"""The servers with a pool of threads, made with :class:`~sync_backend.pool.PoolMixIn`."""

from __future__ import annotations

import socket

from .pool import PoolMixIn
from .sockets import TCPServer, UDPServer

__all__ = ["PoolTCPServer", "PoolUDPServer"]


class PoolTCPServer(PoolMixIn, TCPServer):
    """A :class:`TCPServer` with a pool of threads that accept connections by themselves."""


class PoolUDPServer(PoolMixIn, UDPServer):
    """A :class:`UDPServer` with a pool of threads that receive datagrams by themselves."""


if hasattr(socket, "AF_UNIX"):
    from .sockets import UnixDatagramServer, UnixStreamServer

    class PoolUnixStreamServer(PoolMixIn, UnixStreamServer):
        """A :class:`UnixStreamServer` with a pool of threads that accept by themselves."""

    class PoolUnixDatagramServer(PoolMixIn, UnixDatagramServer):
        """A :class:`UnixDatagramServer` with a pool of threads that receive by themselves."""

    __all__ += ["PoolUnixDatagramServer", "PoolUnixStreamServer"]
