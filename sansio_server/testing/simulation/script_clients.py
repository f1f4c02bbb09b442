"""A client of a script, in memory."""

from __future__ import annotations

from socket import AF_INET6
from typing import Any, Final, Protocol, TypeVar

from sansio_server.testing.runs.script_clients import ScriptClient, Stage
from sansio_server.testing.scripts.actions import ClientScript
from sansio_server.testing.servers.clients import Client, DatagramClient
from sansio_server.testing.sockets.base import AF_UNIX

__all__ = ["MemoryClient", "MemoryStage"]

#: Each client has ports of its own, so that they do not depend on who comes first.
_FIRST_PORT: Final = 41_000
_PORTS: Final = 20

_C = TypeVar("_C", Client, DatagramClient)


class MemoryStage(Stage, Protocol):
    """Where the clients of a script find their server in memory, and tell who they are."""

    def address_of(self, number: int, address: Any) -> None:
        """Note that client *number* has *address*."""


class MemoryClient(ScriptClient):
    """A client of a script, as an actor of a world.

    :param number: counts the clients of a run from 1.
    """

    def __init__(self, script: ClientScript, stage: MemoryStage, number: int) -> None:
        super().__init__(script, stage)
        self._tell_address = stage.address_of
        self._server = stage.server
        self._world = stage.server.world
        self._number = number
        self._name = f"client {number}"
        self._sockets = 0

    def _new_stream(self) -> Client:
        return self._bound(Client(self._world, self._name, self._server.address_family))

    def _new_packets(self) -> DatagramClient:
        server = self._server
        return self._bound(
            DatagramClient(self._world, self._name, server.server_address, server.address_family)
        )

    def _bound(self, client: _C) -> _C:
        sock = client.socket
        if sock.family != AF_UNIX:
            port = _FIRST_PORT + _PORTS * self._number + self._sockets % _PORTS
            self._sockets += 1
            sock.bind(("::1" if sock.family == AF_INET6 else "127.0.0.1", port))
        if sock.address:
            self._tell_address(self._number, sock.address)
        return client

    def _failed(self, error: str) -> None:
        self._world.record("error", error, self._name)
