"""A client of a script, on sockets of any kind: what it does, and what it sees."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import Any, Protocol

from sansio_server.testing.scripts.actions import (
    RECEIVING,
    ClientScript,
    Close,
    Connect,
    Drain,
    Expect,
    HalfClose,
    Receive,
    ReceiveDatagram,
    ReceiveExactly,
    ReceiveLine,
    Reset,
    Resume,
    Send,
    SendDatagram,
    Shutdown,
    Suspend,
    Wait,
)
from sansio_server.testing.servers.clients import PacketClient, StreamClient
from sansio_server.testing.timeline.moments import shown

from .run import Seen

__all__ = ["ScriptClient", "Stage"]


class Stage(Protocol):
    """Where the clients of a script find their server.

    :ivar server: the server.
    """

    server: Any

    def shutdown(self) -> None:
        """Stop the server's loop, and wait for it."""

    def close(self) -> None:
        """Stop and close the server, unless that has been done."""


class ScriptClient(ABC):
    """Does what a :class:`~.actions.ClientScript` says.

    :param script: that.
    :param stage: where the server is.
    """

    def __init__(self, script: ClientScript, stage: Stage) -> None:
        self._script = script
        self._stage = stage
        self._stream: StreamClient | None = None
        self._packets: PacketClient | None = None
        self._replies: list[bytes] = []
        self._unexpected = ""

    @abstractmethod
    def _new_stream(self) -> StreamClient:
        """Return a client that is about to connect."""

    @abstractmethod
    def _new_packets(self) -> PacketClient:
        """Return a client of a server of datagrams."""

    @abstractmethod
    def _failed(self, error: str) -> None:
        """Note the type of what has ended it."""

    def play(self) -> Seen:
        """Do it all; return what was seen."""
        error = ""
        try:
            if self._script.start:
                time.sleep(self._script.start)
            for action in self._script.actions:
                self._do(action)
        except OSError as failure:
            error = type(failure).__name__
            self._failed(error)
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
            self._stream = self._new_stream()
            self._stream.connect(self._stage.server.server_address)
        elif isinstance(action, Send):
            self._connected.send(action.data)
        elif isinstance(action, SendDatagram):
            self._datagrams.send(action.data)
        elif isinstance(action, HalfClose):
            self._connected.shutdown_write()
        elif isinstance(action, Reset):
            self._connected.reset()
            self._stream = None
        elif isinstance(action, Close):
            self._close()
        elif isinstance(action, Wait):
            time.sleep(action.seconds)
        else:
            self._operate(action)

    def _receive(self, action: Any) -> bytes:
        timeout = action.timeout
        if isinstance(action, ReceiveDatagram) or self._packets is not None:
            return self._datagrams.recv(timeout)
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

    def _operate(self, action: Any) -> None:
        """Do what an operator asks for."""
        server = self._stage.server
        if isinstance(action, Suspend):
            server.suspend()
        elif isinstance(action, Resume):
            server.resume()
        elif isinstance(action, Shutdown):
            self._stage.shutdown()
        else:
            if isinstance(action, Drain):
                server.drain_timeout = action.timeout
            self._stage.close()

    @property
    def _connected(self) -> StreamClient:
        if self._stream is None:
            raise ConnectionError("nothing is open")
        return self._stream

    @property
    def _datagrams(self) -> PacketClient:
        if self._packets is None:
            self._packets = self._new_packets()
        return self._packets

    def _close(self) -> None:
        for each in (self._stream, self._packets):
            if each is not None:
                each.close()
        self._stream = self._packets = None
