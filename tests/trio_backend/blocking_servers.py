"""Blocking servers on trio that several modules of tests use."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

from tests.sync_backend.support import connect
from trio_backend import blocking

WHERE = ["threads", "greenlets"]
NAMES = ["TCPServer", "ThreadingTCPServer"]


class Upper(blocking.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line.upper())


class Stay(blocking.BaseRequestHandler):
    """Stays until the client goes."""

    def handle(self) -> None:
        self.request.recv(1)


def server_class(name: str, where: str, **attributes: Any) -> Any:
    """Return a class of that name, whose handlers run there."""
    base = getattr(blocking, name)
    return type(name, (base,), {"blocking_handlers": where, **attributes})


@contextlib.contextmanager
def connect_to(server: Any) -> Iterator[tuple[Any, socket.socket]]:
    with server, connect(server) as client:
        yield server, client
