"""Handlers that the tests serve, by names such as `tests.cli.handlers:Upper`."""

from __future__ import annotations

import os
import socketserver
import threading
from typing import Any, ClassVar

import trio

from sansio_server import BaseRequestHandler, DatagramRequestHandler, StreamRequestHandler
from sync_backend import TCPServer


class Upper(BaseRequestHandler):
    """Answers whatever comes, until nothing more does."""

    def handle(self) -> None:
        if isinstance(self.request, tuple):
            data, sock = self.request
            sock.sendto(data.upper(), self.client_address)
        else:
            while data := self.request.recv(1024):
                self.request.sendall(data.upper())


class Lines(StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.writelines(line.upper() for line in self.rfile)


class Hasty(BaseRequestHandler):
    """Takes what comes first for all there is."""

    def handle(self) -> None:
        self.request.sendall(self.request.recv(1024).upper())


class Packets(DatagramRequestHandler):
    def handle(self) -> None:
        self.wfile.write(self.packet.upper())


class Delayed(DatagramRequestHandler):
    """Answers when somebody has opened the named pipe that it is told of."""

    def handle(self) -> None:
        with open(self.packet) as pipe:
            self.wfile.write(pipe.read().encode())


class StandardLines(socketserver.StreamRequestHandler):
    """One that was written for the standard library."""

    def handle(self) -> None:
        self.wfile.write(self.rfile.readline().upper())


class Pid(BaseRequestHandler):
    """Says who serves, before it answers."""

    def handle(self) -> None:
        self.request.sendall(b"%d\n" % os.getpid())
        while data := self.request.recv(1024):
            self.request.sendall(data.upper())


class Deaf(BaseRequestHandler):
    """Never ends, even when its connection is cut."""

    def handle(self) -> None:
        self.request.sendall(self.request.recv(1024))
        threading.Event().wait()


class Fails(BaseRequestHandler):
    def handle(self) -> None:
        raise ValueError("no")


class Leaves(BaseRequestHandler):
    """Ends the loop of an inline server."""

    def handle(self) -> None:
        raise SystemExit("enough")


async def shout(request: Any, client_address: Any, server: Any) -> None:
    await request.sendall((await request.recv(1024)).upper())


async def waits_a_moment(request: Any, client_address: Any, server: Any) -> None:
    """Needs trio."""
    with trio.move_on_after(0.01):
        await trio.sleep_forever()
    await shout(request, client_address, server)


async def which_run(request: Any, client_address: Any, server: Any) -> None:
    await request.recv(1024)
    await request.sendall(b"%d" % id(trio.lowlevel.current_trio_token()))


async def leaves_twice(request: Any, client_address: Any, server: Any) -> None:
    await request.recv(1024)

    async def leave(status: str) -> None:
        raise SystemExit(status)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(leave, "one")
        nursery.start_soon(leave, "two")


class Threads(BaseRequestHandler):
    """Waits for the client to go, or says how many threads handlers are in."""

    serving: ClassVar[list[int]] = []

    def handle(self) -> None:
        self.serving.append(threading.get_ident())
        if self.request.recv(1024) == b"count":
            self.request.sendall(b"%d" % len(set(self.serving)))
        else:
            self.request.sendall(b"waiting")
            self.request.recv(1024)


class Namespace:
    class Inner(Upper):
        pass

    number = 3


class WithHandler(TCPServer):
    """A server class that has a handler."""

    RequestHandlerClass = Lines


def one_argument(request: Any) -> None:
    """Takes less than a handler is given."""
