"""The servers of ``socketserver``, with the same hooks and the same handlers, in trio nurseries.

``await nursery.start(serve_tcp, Handler, 9999)`` is the short form; use the classes for more
control. Handlers may be asynchronous or blocking. Programs that know nothing of trio use
:mod:`trio_backend.blocking`.
"""

from __future__ import annotations

import socket

from sansio_server.handlers import (
    BaseRequestHandler,
    DatagramRequestHandler,
    StreamRequestHandler,
)

from .base import BaseServer
from .listeners import ListenerServer
from .serve import Service, serve_listeners, serve_tcp, serve_udp
from .socket_request import TrioRequest
from .sockets import TCPServer, UDPServer

__all__ = [
    "BaseRequestHandler",
    "BaseServer",
    "DatagramRequestHandler",
    "ListenerServer",
    "Service",
    "StreamRequestHandler",
    "TCPServer",
    "TrioRequest",
    "UDPServer",
    "serve_listeners",
    "serve_tcp",
    "serve_udp",
]

if hasattr(socket, "AF_UNIX"):
    from .serve import serve_unix
    from .sockets import UnixDatagramServer, UnixStreamServer

    __all__ += ["UnixDatagramServer", "UnixStreamServer", "serve_unix"]
