"""The servers with worker processes, made with :class:`~sync_backend.prefork.PreforkMixIn`."""

from __future__ import annotations

import socket

from .prefork import PreforkMixIn
from .sockets import TCPServer, UDPServer

__all__ = ["PreforkTCPServer", "PreforkUDPServer"]


class PreforkTCPServer(PreforkMixIn, TCPServer):
    """A :class:`TCPServer` with worker processes that accept connections by themselves."""


class PreforkUDPServer(PreforkMixIn, UDPServer):
    """A :class:`UDPServer` with worker processes that receive datagrams by themselves."""


if hasattr(socket, "AF_UNIX"):
    from .sockets import UnixDatagramServer, UnixStreamServer

    class PreforkUnixStreamServer(PreforkMixIn, UnixStreamServer):
        """A :class:`UnixStreamServer` with worker processes that accept by themselves."""

    class PreforkUnixDatagramServer(PreforkMixIn, UnixDatagramServer):
        """A :class:`UnixDatagramServer` with worker processes that receive by themselves."""

    __all__ += ["PreforkUnixDatagramServer", "PreforkUnixStreamServer"]
