"""The table of servers, ours and their peers, each under a name.

A server's own process imports this module, and what a fork costs follows what its parent has
loaded. So nothing is imported here but what every server needs; the rest is imported by the entry
that was chosen. A server that can't be imported is reported as skipped.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping

TYPE_CHECKING = False  # typing's own would import typing, see above
if TYPE_CHECKING:
    from typing import Any

    #: What makes a server, given which handler is to serve: "line", "lines", "blocks", "datagram".
    Maker = Callable[[str], Any]

__all__ = ["BLOCK", "FAMILIES", "OURS", "SERVERS", "Entry", "family", "handler_class", "quiet"]

ADDRESS = ("127.0.0.1", 0)

#: Bytes in a block of the handler "blocks".
BLOCK = 65536


class Entry:
    """A server to measure.

    :ivar make: makes it, bound to a port of its own; the result has ``server_address`` and
        ``serve_forever()``.
    :ivar at_once: how many connections it serves at the same time; None if any number.
    :ivar datagrams: whether it serves datagrams, not connections.
    :ivar stops: whether it has ``shutdown()``.
    :ivar leads: whether it stands for its kind in the works that take long.
    :ivar peer: the name of the server that it is compared with in the table.
    """

    def __init__(
        self,
        make: Maker,
        *,
        at_once: int | None = None,
        datagrams: bool = False,
        stops: bool = True,
        leads: bool = False,
        peer: str = "",
    ) -> None:
        self.make = make
        self.at_once = at_once
        self.datagrams = datagrams
        self.stops = stops
        self.leads = leads
        self.peer = peer


# -- one handler, blocking and async -------------------------------------------------------------


def _line(self: Any) -> None:
    self.wfile.write(self.rfile.readline().upper())


def _lines(self: Any) -> None:
    while line := self.rfile.readline():
        self.wfile.write(line.upper())


def _blocks(self: Any) -> None:
    while block := self.rfile.read(BLOCK):
        self.wfile.write(block)


async def _async_line(self: Any) -> None:
    line = await self.rfile.readline()
    await self.wfile.write(line.upper())


async def _async_lines(self: Any) -> None:
    while line := await self.rfile.readline():
        await self.wfile.write(line.upper())


async def _async_blocks(self: Any) -> None:
    while block := await self.rfile.read(BLOCK):
        await self.wfile.write(block)


async def _async_datagram(self: Any) -> None:
    _line(self)  # the packet is there already: its files have nothing to wait for


_BODIES: Mapping[tuple[str, bool], Callable[[Any], Any]] = {
    ("line", False): _line,
    ("lines", False): _lines,
    ("blocks", False): _blocks,
    ("datagram", False): _line,
    ("line", True): _async_line,
    ("lines", True): _async_lines,
    ("blocks", True): _async_blocks,
    ("datagram", True): _async_datagram,
}


def handler_class(module: Any, handler: str, *, is_async: bool = False) -> Any:
    """Make a handler class on the handlers of *module*, which has socketserver's names."""
    base = module.DatagramRequestHandler if handler == "datagram" else module.StreamRequestHandler
    return type("Upper", (base,), {"handle": _BODIES[handler, is_async]})


# -- ways to make a server -----------------------------------------------------------------------


def quiet(self: Any, request: Any, client_address: Any) -> None:
    """Instead of handle_error(): a report of each client that resets would cost more than it."""


def _like_socketserver(
    module_name: str, class_name: str, *, is_async: bool = False, **attributes: Any
) -> Maker:
    def make(handler: str) -> Any:
        module = importlib.import_module(module_name)
        members = {"handle_error": quiet, **attributes}
        server_class = type(class_name, (getattr(module, class_name),), members)
        return server_class(ADDRESS, handler_class(module, handler, is_async=is_async))

    return make


def _of_module(module_name: str, class_name: str) -> Maker:
    def make(handler: str) -> Any:
        module = importlib.import_module(module_name)
        return getattr(module, class_name)(ADDRESS, handler)

    return make


def _on_trio(class_name: str, where: str | None = None) -> Maker:
    def make(handler: str) -> Any:
        module = importlib.import_module("benchmarks.on_trio")
        return module.OnTrio(class_name, ADDRESS, handler, where)

    return make


_STDLIB = "socketserver"
_SYNC = "sync_backend"
_ACCEPTORS = "benchmarks.acceptors"
_DATAGRAMS = "benchmarks.datagrams"
_EPOLL = "benchmarks.epoll_loop"
_PROTOCOLS = "benchmarks.protocols"
_STREAMS = "benchmarks.streams"

#: ForkingMixIn.max_children.
_CHILDREN = 40
#: How many pre-started threads or processes accept.
_WORKERS = 16

SERVERS: Mapping[str, Entry] = {
    # The standard library's.
    "stdlib-inline": Entry(_like_socketserver(_STDLIB, "TCPServer"), at_once=1),
    "stdlib-threads": Entry(_like_socketserver(_STDLIB, "ThreadingTCPServer"), leads=True),
    "stdlib-forks": Entry(_like_socketserver(_STDLIB, "ForkingTCPServer"), at_once=_CHILDREN),
    "stdlib-udp": Entry(_like_socketserver(_STDLIB, "UDPServer"), datagrams=True),
    # Peers without a library.
    "raw-threads": Entry(
        _of_module(_ACCEPTORS, "PreStartedThreads"), at_once=_WORKERS, stops=False
    ),
    "raw-prefork": Entry(_of_module(_ACCEPTORS, "PreForked"), at_once=_WORKERS, stops=False),
    "epoll-c": Entry(_of_module(_EPOLL, "EpollInC"), stops=False, leads=True),
    "epoll-python": Entry(_of_module(_EPOLL, "EpollInPython"), stops=False, leads=True),
    # Peers with one.
    "bare-trio": Entry(_of_module(_STREAMS, "TrioServeTCP"), leads=True),
    "bare-trio-udp": Entry(_of_module(_DATAGRAMS, "TrioDatagrams"), datagrams=True, stops=False),
    "asyncio-streams": Entry(_of_module(_STREAMS, "AsyncioStreams"), leads=True),
    "asyncio-protocol": Entry(_of_module(_PROTOCOLS, "AsyncioProtocol"), stops=False),
    "asyncio-udp": Entry(_of_module(_PROTOCOLS, "AsyncioDatagrams"), datagrams=True, stops=False),
    "uvloop-streams": Entry(_of_module(_STREAMS, "UvloopStreams"), leads=True),
    "uvloop-protocol": Entry(_of_module(_PROTOCOLS, "UvloopProtocol"), stops=False),
    "uvloop-udp": Entry(_of_module(_PROTOCOLS, "UvloopDatagrams"), datagrams=True, stops=False),
    "anyio-asyncio": Entry(_of_module(_STREAMS, "AnyioOnAsyncio"), stops=False),
    "anyio-trio": Entry(_of_module(_STREAMS, "AnyioOnTrio"), stops=False),
    "gevent-streamserver": Entry(
        _of_module(_STREAMS, "GeventStreamServer"), stops=False, leads=True
    ),
    "gevent-udp": Entry(
        _of_module(_DATAGRAMS, "GeventDatagramServer"), datagrams=True, stops=False
    ),
    # Ours.
    "sync-inline": Entry(_like_socketserver(_SYNC, "TCPServer"), at_once=1, peer="stdlib-inline"),
    "sync-threads": Entry(
        _like_socketserver(_SYNC, "ThreadingTCPServer"), leads=True, peer="stdlib-threads"
    ),
    "sync-reused": Entry(
        _like_socketserver(_SYNC, "ThreadingTCPServer", reuse_threads=True), peer="stdlib-threads"
    ),
    "sync-pool": Entry(
        _like_socketserver(_SYNC, "PoolTCPServer", pool_size=_WORKERS),
        at_once=_WORKERS,
        peer="raw-threads",
    ),
    "sync-forks": Entry(
        _like_socketserver(_SYNC, "ForkingTCPServer"), at_once=_CHILDREN, peer="stdlib-forks"
    ),
    "sync-prefork": Entry(
        _like_socketserver(_SYNC, "PreforkTCPServer", processes=_WORKERS),
        at_once=_WORKERS,
        peer="raw-prefork",
    ),
    "sync-udp": Entry(_like_socketserver(_SYNC, "UDPServer"), datagrams=True, peer="stdlib-udp"),
    "sync-async-inline": Entry(
        _like_socketserver(_SYNC, "TCPServer", is_async=True), at_once=1, peer="sync-inline"
    ),
    "sync-async-threads": Entry(
        _like_socketserver(_SYNC, "ThreadingTCPServer", is_async=True), peer="sync-threads"
    ),
    "sync-async-udp": Entry(
        _like_socketserver(_SYNC, "UDPServer", is_async=True), datagrams=True, peer="sync-udp"
    ),
    "trio-async": Entry(_on_trio("TCPServer"), leads=True, peer="bare-trio"),
    "trio-threads": Entry(_on_trio("TCPServer", "threads"), leads=True, peer="stdlib-threads"),
    "trio-greenlets": Entry(
        _on_trio("TCPServer", "greenlets"), leads=True, peer="gevent-streamserver"
    ),
    "trio-udp": Entry(_on_trio("UDPServer"), datagrams=True, stops=False, peer="bare-trio-udp"),
    "trio-udp-threads": Entry(
        _on_trio("UDPServer", "threads"), datagrams=True, stops=False, peer="stdlib-udp"
    ),
    "trio-udp-greenlets": Entry(
        _on_trio("UDPServer", "greenlets"), datagrams=True, stops=False, peer="gevent-udp"
    ),
}

#: The families that are this project's.
OURS = frozenset({"sync", "trio"})


def family(name: str) -> str:
    """Return the first word of a server's name."""
    return name.partition("-")[0]


#: All families, in the order of the table.
FAMILIES = tuple(dict.fromkeys(map(family, SERVERS)))
