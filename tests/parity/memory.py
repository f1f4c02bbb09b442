"""The servers of the testing kit as one more column: no socket, no thread race, no wall clock."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from types import ModuleType
from typing import Any

import sansio_server
from sansio_server.testing import World, current_world
from sansio_server.testing.servers import classes
from sansio_server.testing.sockets.datagram import DatagramSocket
from sansio_server.testing.sockets.stream import StreamSocket
from tests.parity.recorder import Recorder
from tests.parity.scenarios import SCENARIOS

#: Seconds of the world's time between two looks at what has been recorded.
_A_MOMENT = 0.001


def in_memory() -> ModuleType:
    """Return a module with the interface of `socketserver`, but for forks."""
    module = ModuleType("memory")
    for name in classes.__all__:
        setattr(module, name, getattr(classes, name))
    for name in ("BaseRequestHandler", "StreamRequestHandler", "DatagramRequestHandler"):
        setattr(module, name, getattr(sansio_server, name))
    return module


MEMORY = in_memory()


class WorldRecorder(Recorder):
    """A recorder that lets the others of its world move while it waits for what they record."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def _read_some(self, deadline: float) -> bool:
        self._world.settle()
        while not select.select([self._reading], [], [], 0.0)[0] and time.monotonic() < deadline:
            self._world.sleep(_A_MOMENT)
        return super()._read_some(0.0)


#: Scenarios that are not played in memory, and why not.
WITHOUT_SOCKETS = {
    name: reason
    for reason, words in {
        "TLS is the system's sockets'": ("TLS",),
        "there are no descriptors, and no options but those that are told": (
            "attributes seen by the handler",
            "detached by the handler",
            "the default backlog",
            "a backlog of the class",
        ),
        "it brings a socket or a descriptor of the system's": (
            "a socket swapped in",
            "fileno and get_request overridden",
            "a server in a selector",
            "handle_request meets a dead listener",
            "the constructor skipped",
            "its own socket served",
            "requests from a pipe",
        ),
        "there are no files, and no names to look up": ("path /", "address ('::1', 0)"),
    }.items()
    for name in SCENARIOS
    if name.startswith(words)
}


def in_a_world(stack: ExitStack) -> tuple[Recorder, Callable[[int, int], Any]]:
    """Enter a world; return a recorder for it, and what makes its sockets."""
    world = stack.enter_context(World(jumps=True))
    return WorldRecorder(world), lambda family, kind: make_socket(world, family, kind)


def let_others_end() -> None:
    """Wait until nobody in the world can move, as things are."""
    current_world().settle()


def make_socket(world: World, family: int, kind: int) -> Any:
    """Return a client's socket."""
    if kind == socket.SOCK_DGRAM:
        return DatagramSocket(world, family)
    return StreamSocket(world, family)
