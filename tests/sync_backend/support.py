"""What the tests of the blocking backend share: servers that run, clients, and other processes."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sansio_server.testing.real_sockets.client_sockets import client_socket
from sansio_server.trace import TraceEvent, TraceKind
from sync_backend import BaseServer

ROOT = Path(__file__).parents[2]
HERE = ("127.0.0.1", 0)
PATIENCE = 30.0  # seconds for anything that is waited for
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # linger is on, for no time


def name_of(value: object) -> str:
    """Name a parameter of a test."""
    return getattr(value, "__name__", None) or repr(value).partition(" at 0x")[0]


# Clients.


def connect(server: Any) -> socket.socket:
    """Return a socket that is connected to a server, or to an address."""
    address = getattr(server, "server_address", server)
    kind = getattr(server, "socket_type", socket.SOCK_STREAM)
    family = socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX
    client = client_socket(family, kind)
    client.settimeout(PATIENCE)
    try:
        client.connect(address)
    except BaseException:
        client.close()
        raise
    return client


def read_to_end(client: socket.socket) -> bytes:
    """Read all that comes, and close the client."""
    with client:
        return b"".join(iter(lambda: client.recv(65536), b""))


def ask(server: Any, data: bytes = b"hello\n") -> bytes:
    """Send all of a request, which the server must read; return all of the answer."""
    with connect(server) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        return read_to_end(client)


def visit(server: Any) -> bytes:
    """Send nothing; return what the server says by itself."""
    return read_to_end(connect(server))


def reset(client: socket.socket) -> None:
    """Cut a connection off."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    client.close()


# Servers.


class Watcher:
    """A trace that can be waited for."""

    def __init__(self) -> None:
        self.events: list[TraceEvent] = []
        self._changed = threading.Condition()

    def __call__(self, event: TraceEvent) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def count(self, kind: TraceKind, what: str | None = None) -> int:
        """Count the events of a kind so far."""
        return sum(e.kind is kind and what in (None, e.what) for e in list(self.events))

    def wait_for(self, kind: TraceKind, what: str | None = None, count: int = 1) -> None:
        """Wait until there have been so many events of a kind."""
        with self._changed:
            came = self._changed.wait_for(lambda: self.count(kind, what) >= count, PATIENCE)
        assert came, f"no {kind} {what} {count} times, but {self.events}"

    def wait_until_serving(self) -> None:
        """Wait until a loop runs."""
        self.wait_for(TraceKind.STATE, "SERVE")

    def hooks(self) -> list[str]:
        """Return the hooks that were called, in order."""
        return [event.what for event in list(self.events) if event.kind is TraceKind.ENTER]


class Thread(threading.Thread):
    """A thread whose end is waited for, not for ever, and whose exception comes out there."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        super().__init__(target=function, args=args, daemon=True)
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            super().run()
        except BaseException as error:
            self.error = error

    def end(self) -> None:
        """Wait for the end of the thread; raise what it raised."""
        self.join(PATIENCE)
        assert not self.is_alive(), "it hangs"
        if self.error is not None:
            raise self.error


@contextlib.contextmanager
def in_thread(function: Callable[..., Any], *args: Any) -> Iterator[Thread]:
    """Run a function in a thread that is to end when the block does."""
    thread = Thread(function, *args)
    thread.start()
    try:
        yield thread
    finally:
        thread.end()


@contextlib.contextmanager
def running(server: BaseServer) -> Iterator[Thread]:
    """Run a server's loop in a thread, stop it when the block ends, and close the server."""
    with server, in_thread(server.serve_forever) as thread:
        try:
            yield thread
        finally:
            server.shutdown()


# Processes.


def descriptors(pid: int | str = "self") -> int:
    """Count the open descriptors of a process."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def say(*words: object) -> None:
    """Tell the test that runs this program; a line is written at once, and whole."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def hear() -> str:
    """Wait for a line from the test that runs this program."""
    return sys.stdin.readline().strip()


class Program:
    """A function of a test module, run as a program in a process of its own.

    Warnings are errors there too, and what it writes to standard error is in :attr:`errors` when it
    has ended.
    """

    def __init__(self, function: Callable[..., None], *args: str) -> None:
        module, name = function.__module__, function.__qualname__
        code = f"import sys; from {module} import {name} as main; main(*sys.argv[1:])"
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", code, *args],
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            cwd=ROOT,
            bufsize=0,
        )
        self.pid = self.process.pid
        self.errors = ""
        self._heard = b""

    def __enter__(self) -> Program:  # noqa: PYI034 - typing.Self came with Python 3.11
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self.process.returncode is None:
            self.process.kill()
            self.errors += self.process.communicate(timeout=PATIENCE)[1].decode()
        if self.errors and exc_info[0] is not None:
            print(self.errors, file=sys.stderr)

    def hear(self) -> str:
        """Wait for a line from the program."""
        assert self.process.stdout is not None
        while b"\n" not in self._heard:
            ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
            assert ready, f"the program says nothing more than {self._heard!r}"
            data = os.read(self.process.stdout.fileno(), 65536)
            assert data, f"the program ended after {self._heard!r}"
            self._heard += data
        line, _, self._heard = self._heard.partition(b"\n")
        return line.decode()

    def hear_address(self) -> tuple[str, int]:
        """Wait for the program to say its port."""
        return HERE[0], int(self.hear())

    def tell(self, line: str = "") -> None:
        """Say a line to the program."""
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")

    def end(self) -> list[str]:
        """Wait for the end of the program, which must be a success; return what else it said."""
        out, errors = self.process.communicate(timeout=PATIENCE)
        self.errors += errors.decode()
        assert self.process.returncode == 0, self.errors
        return (self._heard + out).decode().splitlines()
