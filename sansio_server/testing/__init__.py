"""The testing kit: servers in memory, with no socket and no wall clock."""

from __future__ import annotations

from .adoption import in_memory
from .clients import Client, DatagramClient
from .errors import Deadlock, LeftBehind, Stuck
from .scripted import ScriptedServer
from .servers import (
    BaseServer,
    TCPServer,
    ThreadingMixIn,
    ThreadingTCPServer,
    ThreadingUDPServer,
    ThreadingUnixDatagramServer,
    ThreadingUnixStreamServer,
    UDPServer,
    UnixDatagramServer,
    UnixStreamServer,
)
from .timeline import Moment, render
from .world import World, current_world

__all__ = [
    "BaseServer",
    "Client",
    "DatagramClient",
    "Deadlock",
    "LeftBehind",
    "Moment",
    "ScriptedServer",
    "Stuck",
    "TCPServer",
    "ThreadingMixIn",
    "ThreadingTCPServer",
    "ThreadingUDPServer",
    "ThreadingUnixDatagramServer",
    "ThreadingUnixStreamServer",
    "UDPServer",
    "UnixDatagramServer",
    "UnixStreamServer",
    "World",
    "current_world",
    "in_memory",
    "render",
]
