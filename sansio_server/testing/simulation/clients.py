"""A client of a script, in memory."""

from __future__ import annotations

from socket import AF_INET6
from typing import Any, Final, Protocol

from sansio_server.testing.runs.run import Seen
from sansio_server.testing.scripts.actions import (
    RECEIVING,
    ClientScript,
    Close,
    Connect,
    Expect,
    HalfClose,
    Receive,
    ReceiveDatagram,
    ReceiveExactly,
    ReceiveLine,
    Reset,
    Send,
    SendDatagram,
    Wait,
)
from sansio_server.testing.servers.clients import Client, DatagramClient
from sansio_server.testing.sockets.base import AF_UNIX
from sansio_server.testing.timeline.moments import shown

__all__ = ["MemoryClient", "Stage"]

#: Each client has ports of its own, so that they do not depend on who comes first.
_FIRST_PORT: Final = 41_000
_PORTS: Final = 20


class Stage(Protocol):
    """What a client is told by, and tells."""

    def operate(self, action: Any) -> None:
        """Do what is asked of the server itself."""

    def address_of(self, number: int, address: Any) -> None:
        """Note that client *number* has *address*."""


class MemoryClient:
    """Does what a :class:`~.actions.ClientScript` says, as an actor of a world.

    :param script: that.
    :param server: the server.
    :param number: counts the clients of a run from 1.
    """

    def __init__(self, script: ClientScript, server: Any, number: int, stage: Stage) -> None:
        self._script = script
        self._server = server
        self._number = number
        self._stage = stage
        self._world = server.world
        self._name = f"client {number}"
        self._client: Client | None = None
        self._packets: DatagramClient | None = None
        self._sockets = 0
        self._replies: list[bytes] = []
        self._unexpected = ""

    def play(self) -> Seen:
        """Do it all; return what was seen."""
        error = ""
        try:
            if self._script.start:
                self._world.sleep(self._script.start)
            for action in self._script.actions:
                self._do(action)
        except OSError as failure:
            error = type(failure).__name__
            self._world.record("error", error, self._name)
        finally:
            self._close()
        return Seen(tuple(self._replies), error, self._unexpected)

    def _do(self, action: Any) -> None:
        if isinstance(action, RECEIVING):
            data = self._receive(action)
            self._replies.append(data)
            if isinstance(action, Expect) and data != action.data and not self._unexpected:
                self._unexpected = f"got {shown(data)}, not {shown(action.data)}"
        elif isinstance(action, Connect):
            self._connect()
        elif isinstance(action, Send):
            self._connected.send(action.data)
        elif isinstance(action, SendDatagram):
            self._datagrams().send(action.data)
        elif isinstance(action, HalfClose):
            self._connected.shutdown_write()
        elif isinstance(action, Reset):
            self._connected.reset()
            self._client = None
        elif isinstance(action, Close):
            self._close()
        elif isinstance(action, Wait):
            self._world.sleep(action.seconds)
        else:
            self._stage.operate(action)

    def _receive(self, action: Any) -> bytes:
        timeout = action.timeout
        if isinstance(action, ReceiveDatagram) or self._packets is not None:
            return self._datagrams().recv(timeout)
        client = self._connected
        if isinstance(action, Receive):
            return client.recv(action.size, timeout)
        if isinstance(action, ReceiveExactly):
            return client.recv_exactly(action.size, timeout)
        if isinstance(action, Expect):
            return client.recv_exactly(len(action.data), timeout)
        if isinstance(action, ReceiveLine):
            return client.readline(timeout)
        return client.read_to_end(timeout)

    @property
    def _connected(self) -> Client:
        if self._client is None:
            raise ConnectionError("nothing is open")
        return self._client

    def _connect(self) -> None:
        self._client = Client(self._world, self._name, self._server.address_family)
        self._bind(self._client.socket)
        self._client.connect(self._server.server_address)

    def _datagrams(self) -> DatagramClient:
        if self._packets is None:
            server = self._server
            self._packets = DatagramClient(
                self._world, self._name, server.server_address, server.address_family
            )
            self._bind(self._packets.socket)
        return self._packets

    def _bind(self, sock: Any) -> None:
        if sock.family != AF_UNIX:
            port = _FIRST_PORT + _PORTS * self._number + self._sockets % _PORTS
            self._sockets += 1
            sock.bind(("::1" if sock.family == AF_INET6 else "127.0.0.1", port))
        if sock.address:
            self._stage.address_of(self._number, sock.address)

    def _close(self) -> None:
        for each in (self._client, self._packets):
            if each is not None:
                each.close()
        self._client = self._packets = None
