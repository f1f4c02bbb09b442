"""Servers with worker processes, each in a process without threads, and their clients."""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sync_backend import (
    PoolMixIn,
    PreforkMixIn,
    PreforkTCPServer,
    StreamRequestHandler,
    TCPServer,
    ThreadingMixIn,
)
from tests.processes import children_of
from tests.sync_backend.support import (
    HERE,
    PATIENCE,
    Program,
    connect,
    descriptors,
    read_to_end,
    say,
)


class Who(StreamRequestHandler):
    """Answers each line with the pid of the one who serves; a word may ask for more."""

    def handle(self) -> None:
        self.wfile.write(b"%d\n" % os.getpid())
        for line in self.rfile:
            word = line.decode().strip()
            if word == "fail":
                raise ValueError("asked for")
            if word == "exit":
                os._exit(7)
            if word == "stop":
                self.server.shutdown()
            if word == "deaf":
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
            if word == "stopping":
                word = str(self.server.stopping.wait(PATIENCE))
            self.wfile.write(word.encode() + b"\n")


class Quiet:
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing."""


def make(base: type, *words: str, **attributes: Any) -> Any:
    """Return a server of a class, with attributes that are said as NAME=NUMBER."""
    for word in words:
        name, _, value = word.partition("=")
        attributes[name] = float(value) if "." in value else int(value)
    return type("Server", (Quiet, base), attributes)(HERE, Who)


def serve(server: Any) -> None:
    """Serve until SIGTERM; tell of all that can be seen at the end."""
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    signal.signal(signal.SIGTERM, lambda *_: server.shutdown())
    signal.signal(signal.SIGHUP, lambda *_: server.replace_workers())
    before = descriptors()
    with server:
        say(server.server_address[1])
        server.serve_forever()
        say("loop ended")
    say("closed", server.counters.accepted, server.counters.closed, server.counters.errors)
    say("report", server.drain_report)
    say("children", server.active_children)
    assert descriptors() < before


def plain(*words: str) -> None:
    serve(make(PreforkTCPServer, *words))


def with_threads(*words: str) -> None:
    class Threads(PreforkMixIn, ThreadingMixIn, TCPServer):
        """Each worker has a thread for each request."""

    serve(make(Threads, *words))


def with_pool(*words: str) -> None:
    class Pools(PreforkMixIn, PoolMixIn, TCPServer):
        """Each worker has a pool of threads."""

    serve(make(Pools, *words))


class Served:
    """A server in a process of its own."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.address = program.hear_address()

    def client(self) -> tuple[socket.socket, int]:
        """Return a client, and the pid of the worker who serves it."""
        client = connect(self.address)
        return client, int(client.makefile("rb").readline())

    def pid(self) -> int:
        """Return the pid of a worker who has served a client."""
        return int(visit_to_end(self.address))

    def workers(self) -> set[int]:
        """Return the pids of all workers there are."""
        return children_of(self.program.pid)

    def wait_for_workers(self, *, without: set[int], count: int) -> set[int]:
        """Wait until there are so many workers who serve, none of those named among them."""
        deadline = time.monotonic() + PATIENCE
        while True:
            found = self.workers()
            if len(found) == count and not found & without:
                return found
            assert time.monotonic() < deadline, f"{found}, {without}"
            select.select([], [], [], 0.001)  # the system tells nobody of another's children

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.program.pid, number)

    def stop(self) -> list[str]:
        """Stop it; return what it says at the end."""
        self.signal(signal.SIGTERM)
        return self.program.end()


def visit_to_end(address: Any) -> bytes:
    client = connect(address)
    client.shutdown(socket.SHUT_WR)
    return read_to_end(client)


def ask(client: socket.socket, word: str) -> str:
    client.sendall(word.encode() + b"\n")
    return client.makefile("r").readline().strip()


@contextmanager
def served(function: Any = plain, *words: str) -> Iterator[Served]:
    with Program(function, *words) as program:
        yield Served(program)


def wait_for_end(pid: int) -> None:
    """Wait until a process that is no child of this one has ended."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([pidfd], [], [], PATIENCE)[0], f"{pid} goes on"
    finally:
        os.close(pidfd)


ALL = pytest.mark.parametrize("function", [plain, with_threads, with_pool])
