"""Forking servers, and clients whom children serve; no thread is started here."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from typing import Any

from sync_backend import (
    BaseRequestHandler,
    ForkingMixIn,
    ForkingTCPServer,
    StreamRequestHandler,
)
from tests.sync_backend.support import (
    HERE,
    PATIENCE,
    connect,
)


class Upper(StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(self.rfile.readline().upper())


class Stay(BaseRequestHandler):
    """Stays until the client goes, or the child is ended."""

    def handle(self) -> None:
        self.request.sendall(b"here\n")
        self.request.recv(1)


class Deaf(BaseRequestHandler):
    """Does not even go when it is asked to."""

    def handle(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self.request.sendall(b"here\n")
        while True:
            signal.pause()


class Server(ForkingTCPServer):
    """Waits for a client, not for ever."""

    timeout = PATIENCE
    cut_timeout = 0.01

    def __init__(self, handler: Callable[..., Any], **attributes: Any) -> None:
        self.__dict__.update(attributes)
        super().__init__(HERE, handler)


def served(server: Any, data: bytes = b"") -> socket.socket:
    """Let a child serve a client; return the client."""
    client = connect(server)
    client.sendall(data)
    server.handle_request()
    return client


def staying(server: Any) -> socket.socket:
    """Return a client whom a child serves for long."""
    client = served(server)
    assert client.recv(5, socket.MSG_WAITALL) == b"here\n"
    return client


def exited(pid: int) -> int:
    """Wait for the end of a child, without reaping it; return its status."""
    result = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert result is not None
    return result.si_status


def only_child(server: ForkingMixIn) -> int:
    assert server.active_children is not None
    [pid] = server.active_children
    return pid


def tell(function: Callable[[Any], object]) -> Callable[..., None]:
    """Return a handler that answers with what a function of the server returns."""

    def handle(request: socket.socket, _address: Any, server: Any) -> None:
        request.sendall(str(function(server)).encode())

    return handle


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
