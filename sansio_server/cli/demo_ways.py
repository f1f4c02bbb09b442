"""The ways of serving that the demonstration compares, each a row of :data:`WAYS`."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Protocol

import attrs
import trio

import sync_backend
from sansio_server import BaseRequestHandler, TraceEvent, TraceKind
from sansio_server.trace import Trace
from trio_backend import blocking

from . import nursery
from .addresses import Address, Kind, resolve
from .running import find_class
from .targets import Handler

__all__ = ["TRANSPORTS", "WAYS", "Recorder", "Running", "Transport", "Upper", "UpperAsync", "Way"]

#: Seconds that anything may take; what takes longer has failed.
PATIENCE: Final = 5.0


# What is served.


class Upper(BaseRequestHandler):
    """Sends back what came, upper-cased: over a connection, or a datagram for a datagram."""

    def handle(self) -> None:
        """Answer once."""
        if isinstance(self.request, tuple):
            data, sock = self.request
            sock.sendto(data.upper(), self.client_address)
        else:
            self.request.sendall(self.request.recv(1024).upper())


class UpperAsync(BaseRequestHandler):
    """The same, as an asynchronous handler."""

    async def handle(self) -> None:
        """Answer once."""
        if isinstance(self.request, tuple):
            data, sock = self.request
            await sock.sendto(data.upper(), self.client_address)
        else:
            await self.request.sendall((await self.request.recv(1024)).upper())


# What is served over, and how its clients go about it.


def _ask_stream(address: Any, line: bytes, folder: Path) -> bytes:
    """Connect, send a line, read until the server closes the connection."""
    with _client(address, socket.SOCK_STREAM) as client:
        client.connect(address)
        client.sendall(line)
        with client.makefile("rb") as reply:
            return reply.read()


def _ask_datagram(address: Any, line: bytes, folder: Path) -> bytes:
    """Send a datagram, receive one."""
    with _client(address, socket.SOCK_DGRAM) as client:
        if isinstance(address, str):
            client.bind(str(folder / "client"))  # or there would be nowhere to reply to
        client.sendto(line, address)
        return client.recv(1024)


def _client(address: Any, socket_type: int) -> socket.socket:
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    client = socket.socket(family, socket_type)
    client.settimeout(PATIENCE)
    return client


@attrs.frozen
class Transport:
    """Something to serve over.

    :ivar name: what to call it.
    :ivar kind: as in an address.
    :ivar ask: what a client does: it takes a socket address, a line and a folder to put a socket
        into, and returns the reply.
    """

    name: str
    kind: Kind
    ask: Callable[[Any, bytes, Path], bytes]

    def address(self, folder: Path) -> Address:
        """Return an address that is free; a path is in *folder*."""
        if self.kind in ("unix", "unixgram"):
            return Address(self.kind, path=str(folder / "server"))
        return Address(self.kind, host="127.0.0.1")


TRANSPORTS: Final = (
    Transport("TCP", "tcp", _ask_stream),
    Transport("UDP", "udp", _ask_datagram),
    *(
        (
            Transport("Unix stream", "unix", _ask_stream),
            Transport("Unix datagram", "unixgram", _ask_datagram),
        )
        if hasattr(socket, "AF_UNIX")
        else ()
    ),
)


# How it is served.


class Running(Protocol):
    """A server that serves.

    :ivar address: the socket address to reach it by.
    """

    address: Any

    def stop(self) -> None:
        """Stop, and wait until nothing is left."""


Start = Callable[[Address, Handler, Trace], Running]


@attrs.frozen
class Way:
    """A way of serving.

    :ivar name: what to call it.
    :ivar handler: what is served.
    :ivar start: begins to serve the handler at an address, and tells a trace.
    """

    name: str
    handler: Handler
    start: Start


class _Blocking:
    """A server of the blocking backend, whose loop has a thread of its own."""

    def __init__(self, server: Any) -> None:
        self.address = server.server_address
        self._server = server
        self._loop = threading.Thread(target=server.serve_forever, daemon=True)
        self._loop.start()

    def stop(self) -> None:
        """Stop, and wait until nothing is left."""
        self._server.shutdown()
        self._server.server_close()
        self._loop.join(PATIENCE)


class _InTrio:
    """A server of the trio backend, whose run has a thread of its own."""

    def __init__(self, server: Any) -> None:
        self.address = server.server_address
        self._server = server
        self._run = threading.Thread(target=trio.run, args=(server.serve_forever,), daemon=True)
        self._run.start()

    def stop(self) -> None:
        """Stop, and wait until nothing is left."""
        self._server.shutdown()
        self._run.join(PATIENCE)
        self._server.server_close()


def _in_trio(backend: str) -> Start:
    """Return what serves on the trio backend.

    :param backend: as for the command ``serve``.
    """

    def start(address: Address, handler: Handler, trace: Trace) -> Running:
        family, server_address = resolve(address)
        make = nursery.server_class(
            address.kind,
            backend,
            address_family=family,
            trace=staticmethod(trace),
            drain_timeout=PATIENCE,
        )
        return _InTrio(make(server_address, handler))

    return start


def _mixed(module: ModuleType, mix_in: str, **attributes: Any) -> Start:
    """Return what serves with the classes of a module that block.

    :param mix_in: the name of what goes before the server class; empty for nothing.
    :param attributes: what else to set on the server.
    """

    def start(address: Address, handler: Handler, trace: Trace) -> Running:
        family, server_address = resolve(address)
        make = find_class(
            module,
            mix_in,
            address.kind,
            address_family=family,
            trace=staticmethod(trace),
            drain_timeout=PATIENCE,
            **attributes,
        )
        return _Blocking(make(server_address, handler))

    return start


_HAS_GREENLETS: Final = find_spec("greenlet") is not None

_HAS_FORK: Final = hasattr(os, "fork")

WAYS: Final = (
    Way("inline", Upper, _mixed(sync_backend, "")),
    Way("threads", Upper, _mixed(sync_backend, "ThreadingMixIn")),
    Way("threads, reused", Upper, _mixed(sync_backend, "ThreadingMixIn", reuse_threads=True)),
    Way("pool of threads", Upper, _mixed(sync_backend, "PoolMixIn")),
    *(
        (
            Way("forks", Upper, _mixed(sync_backend, "ForkingMixIn")),
            Way("preforked workers", Upper, _mixed(sync_backend, "PreforkMixIn")),
        )
        if _HAS_FORK
        else ()
    ),
    Way("inline, async handler", UpperAsync, _mixed(sync_backend, "")),
    Way("threads, async handler", UpperAsync, _mixed(sync_backend, "ThreadingMixIn")),
    Way("trio, async handler", UpperAsync, _in_trio("trio")),
    Way("trio, threads", Upper, _in_trio("trio")),
    *((Way("trio, greenlets", Upper, _in_trio("trio-greenlets")),) if _HAS_GREENLETS else ()),
    Way("blocking on trio, inline", Upper, _mixed(blocking, "")),
    Way("blocking on trio, threads", Upper, _mixed(blocking, "ThreadingMixIn")),
    *(
        (
            Way(
                "blocking on trio, greenlets",
                Upper,
                _mixed(blocking, "ThreadingMixIn", blocking_handlers="greenlets"),
            ),
        )
        if _HAS_GREENLETS
        else ()
    ),
)


# What is learned of it.


class Recorder:
    """Notes which hooks were called, and when, in this process and in children forked from it."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)

    def trace(self, event: TraceEvent) -> None:
        """Note *event* if it is the beginning of a hook; a server calls this."""
        if event.kind is TraceKind.ENTER:
            os.write(self._writer, f"{event.time!r} {event.what}\n".encode())

    def hooks(self) -> tuple[str, ...]:
        """Return the names of the hooks in the order in which they began."""
        noted = []
        with open(self._reader, encoding="ascii", closefd=False) as lines:
            for line in lines:
                time, name = line.split()
                noted.append((float(time), name))
        return tuple(name for _, name in sorted(noted))

    def close(self) -> None:
        """Let go of the pipe."""
        os.close(self._reader)
        os.close(self._writer)
