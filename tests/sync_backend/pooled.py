"""Servers with a pool of threads, and clients who stay."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sync_backend import BaseRequestHandler, PoolTCPServer, StreamRequestHandler
from tests.sync_backend.support import (
    HERE,
    PATIENCE,
    Watcher,
    connect,
)


class Upper(StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(self.rfile.readline().upper())


class Stay(BaseRequestHandler):
    """Says that it is here, and stays until the client goes."""

    def handle(self) -> None:
        self.request.sendall(b"here\n")
        self.request.recv(1)


class Server(PoolTCPServer):
    """Keeps the exceptions that its hooks raised, and the threads that served."""

    pool_size = 3

    def __init__(self, handler: Any, **attributes: Any) -> None:
        self.__dict__.update(attributes)
        self.errors: list[BaseException | None] = []
        self.served_by: list[threading.Thread] = []
        self.trace = self.watcher = Watcher()
        super().__init__(HERE, handler)

    def process_request(self, request: Any, client_address: Any) -> Any:
        self.served_by.append(threading.current_thread())
        return super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        self.errors.append(sys.exc_info()[1])


def staying(server: Any) -> socket.socket:
    """Return a client whom a thread serves for long."""
    client = connect(server)
    assert client.recv(5, socket.MSG_WAITALL) == b"here\n"
    return client


def queued(server: Any) -> socket.socket:
    """Return a client who gets no thread."""
    client = connect(server)
    client.setblocking(False)
    with pytest.raises(BlockingIOError):
        client.recv(1)
    client.settimeout(PATIENCE)
    return client


@contextmanager
def caught_by_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[type[BaseException]]]:
    """Collect what comes out of threads."""
    caught: list[type[BaseException]] = []
    with monkeypatch.context() as patch:
        patch.setattr(threading, "excepthook", lambda args: caught.append(args.exc_type))
        yield caught
