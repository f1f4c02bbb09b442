"""Peers that accept by themselves: workers started beforehand, each in a loop of its own.

The handler is the standard library's, as for the servers of ``socketserver``; what is left out is
everything between accept and handler: no selector, no hooks, no thread or child for each request.
"""

from __future__ import annotations

import os
import socket
import socketserver
import threading

from .confine import limit_lifetime
from .servers import handler_class

__all__ = ["PreForked", "PreStartedThreads"]

WORKERS = 16


class _Acceptors:
    def __init__(self, address: tuple[str, int], handler: str) -> None:
        self.handler = handler_class(socketserver, handler)
        self.socket = socket.create_server(address, backlog=4096)
        self.server_address = self.socket.getsockname()

    def _accept(self) -> None:
        while True:
            connection, address = self.socket.accept()
            self.handler(connection, address, self)
            try:  # suppress() costs more than what it guards
                connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            connection.close()


class PreStartedThreads(_Acceptors):
    """Threads that block in accept()."""

    def serve_forever(self) -> None:
        for _ in range(WORKERS - 1):
            threading.Thread(target=self._accept, daemon=True).start()
        self._accept()


class PreForked(_Acceptors):
    """Processes that block in accept()."""

    def serve_forever(self) -> None:
        for _ in range(WORKERS - 1):
            if os.fork() == 0:
                limit_lifetime()
                break
        self._accept()
