"""Handlers that scenarios share, and those of one scenario about handlers."""

from __future__ import annotations

import io
import os
import re
import socket
import threading
from typing import Any

from tests.parity.scenario import EchoLine, HandlerOverride


class EchoRequest(HandlerOverride):
    """Works on the request itself, a socket or a datagram and its socket."""

    def handle(self) -> None:
        if isinstance(self.request, tuple):
            data, listener = self.request
            listener.sendto(data.upper(), self.client_address)
        else:
            self.request.sendall(self.request.recv(1024).upper())


class Nests(EchoLine):
    """Extends each hook around the base's own."""

    def setup(self) -> None:
        self.server.note("before setup")
        super().setup()
        self.server.note("after setup")

    def finish(self) -> None:
        self.server.note("before finish")
        super().finish()
        self.server.note("after finish")


class ReadsInEachWay(HandlerOverride):
    """Reads by line, by size, into a buffer, line by line and to the end."""

    def handle(self) -> None:
        buffer = bytearray(4)
        note = self.server.note
        note(f"readline {self.rfile.readline()!r}")
        note(f"read {self.rfile.read(3)!r}")
        note(f"readinto {self.rfile.readinto(buffer)} {bytes(buffer)!r}")
        note(f"next {next(self.rfile)!r}")
        note(f"readlines {self.rfile.readlines()!r}")
        note(f"read {self.rfile.read()!r}")


class Buffered(HandlerOverride):
    """Counts on what is written being held back until it is flushed."""

    wbufsize = 64

    def handle(self) -> None:
        self.rfile.readline()
        for piece in (b"one ", b"two ", b"three\n"):
            self.server.note(f"write {self.wfile.write(piece)}")


class BufferedWhole(Buffered):
    wbufsize = -1


class Unbuffered(Buffered):
    wbufsize = 0


class ReadsUnbuffered(EchoLine):
    rbufsize = 0


class ReadsBySixteen(EchoLine):
    rbufsize = 16


class ClosesItsFiles(EchoLine):
    """Closes what finish() would flush and close."""

    def handle(self) -> None:
        super().handle()
        self.wfile.close()
        self.rfile.close()


class LooksAtItsFiles(EchoLine):
    """Records what a program can ask of rfile and wfile."""

    def handle(self) -> None:
        note = self.server.note
        super().handle()
        for name in ("rfile", "wfile"):
            file = getattr(self, name)
            note(f"{name} is buffered: {isinstance(file, io.BufferedIOBase)}")
            note(f"{name} readable {file.readable()} writable {file.writable()}")
            note(f"{name} seekable {file.seekable()} closed {file.closed}")
        if not isinstance(self.request, tuple):
            note(f"connection is request: {self.connection is self.request}")
            note(f"one fd: {self.rfile.fileno() == self.wfile.fileno() == self.request.fileno()}")
        note(f"write of a view {self.wfile.write(memoryview(b'view'))}")
        note(f"write of an array {self.wfile.write(bytearray(b'array'))}")
        note(f"flush {self.wfile.flush()}")  # type: ignore[func-returns-value]


class LooksAround(EchoLine):
    """Records what a handler can ask about itself."""

    def handle(self) -> None:
        super().handle()
        note = self.server.note
        thread = threading.current_thread()
        name = re.sub(r"\d+", "N", thread.name)
        note(f"thread {name!r} daemon {thread.daemon}")
        note(f"address {self.client_address!r} ")
        request = self.request
        if isinstance(request, tuple):
            data, request = request
            note(f"data {data!r} listener {request is self.server.socket}")
            note(f"packet {self.packet!r} socket {self.socket is request}")  # type: ignore[attr-defined]
        note(f"{type(request).__name__} {request.family.name} {request.type.name}")
        note(f"timeout {request.gettimeout()} blocking {os.get_blocking(request.fileno())}")
        note(f"inheritable {request.get_inheritable()}")
        if request.family == socket.AF_INET and request.type == socket.SOCK_STREAM:
            nodelay = request.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            note(f"TCP_NODELAY {bool(nodelay)}")


class Fails(HandlerOverride):
    """Raises in handle()."""

    def handle(self) -> None:
        self.rfile.readline()
        raise ValueError("handle fails")


class SaysNothing(HandlerOverride):
    """Reads, and never writes."""

    def handle(self) -> None:
        self.rfile.readline()


class WithTimeout(HandlerOverride):
    """Waits for a line that does not come, then tries again."""

    timeout = 0.01

    def handle(self) -> None:
        self.server.note(f"timeout {self.connection.gettimeout()}")
        for _ in range(2):
            try:
                self.rfile.readline()
            except OSError as error:
                self.server.note(f"{type(error).__name__}: {error}")
        self.rfile.readline()


class WithoutDelay(EchoLine):
    disable_nagle_algorithm = True

    def handle(self) -> None:
        nodelay = self.connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        self.server.note(f"TCP_NODELAY {bool(nodelay)}")
        super().handle()


class SendsMuch(HandlerOverride):
    """Sends more than any socket buffer takes."""

    def handle(self) -> None:
        self.rfile.readline()
        self.server.note(f"write {self.wfile.write(b'x' * 4_000_000)}")


class EchoesUntilTheEnd(HandlerOverride):
    """Serves line after line on one connection."""

    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line.upper())


class TellsOfErrors(HandlerOverride):
    """Records what reading from a client that broke off is like."""

    def handle(self) -> None:
        try:
            self.server.note(f"read {self.rfile.readline()!r}")
            self.server.note(f"read {self.rfile.readline()!r}")
        except OSError as error:
            self.server.note(f"read raises {type(error).__name__}")


class WritesToNobody(HandlerOverride):
    """Writes into a buffer that finish() can't flush."""

    wbufsize = 64

    def handle(self) -> None:
        try:
            self.rfile.readline()
        except OSError as error:
            self.server.note(f"read raises {type(error).__name__}")
        self.wfile.write(b"lost")


def echo(request: Any, client_address: Any, server: Any) -> None:
    """Serve a request without any handler class."""
    server.note(f"function for {client_address!r}")
    if isinstance(request, tuple):
        data, listener = request
        listener.sendto(data.upper(), client_address)
    else:
        request.sendall(request.recv(1024).upper())


class Factory:
    """Makes handlers, being no class of handlers itself."""

    def __init__(self, handler: type) -> None:
        self._handler = handler

    def __call__(self, request: Any, client_address: Any, server: Any) -> object:
        server.note(f"factory for {client_address!r}")
        return self._handler(request, client_address, server)

    def make(self, request: Any, client_address: Any, server: Any) -> object:
        """Make a handler."""
        return self(request, client_address, server)
