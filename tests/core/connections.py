"""Connections and mailboxes in memory: what handlers need of a socket."""

from __future__ import annotations

import io
from typing import Any

from .memory import MemoryServer, Request


class Connection(Request):
    """What a blocking handler needs of a socket."""

    def __init__(self, data: bytes = b"") -> None:
        super().__init__()
        self.input = io.BytesIO(data)
        self.sent: list[bytes] = []
        self.options: list[Any] = []
        self.files: list[tuple[str, int]] = []
        self.gone = False

    def sendall(self, data: Any) -> None:
        if self.gone:
            raise BrokenPipeError
        self.sent.append(bytes(data))

    def settimeout(self, seconds: float) -> None:
        self.options.append(seconds)

    def setsockopt(self, *option: int) -> None:
        self.options.append(option)

    def fileno(self) -> int:
        return 7

    def makefile(self, mode: str, size: int) -> Any:
        self.files.append((mode, size))
        if mode == "rb":
            return self.input
        return io.BufferedWriter(_Raw(self), size if size > 0 else io.DEFAULT_BUFFER_SIZE)


class _Raw(io.RawIOBase):
    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.connection.sendall(data)
        return len(data)


class AsyncConnection(Request):
    """What an asynchronous handler needs of one."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.connection = connection
        self.settimeout = connection.settimeout
        self.setsockopt = connection.setsockopt

    async def recv(self, size: int) -> bytes:
        return self.connection.input.read(size)

    async def sendall(self, data: bytes) -> None:
        self.connection.sendall(data)


class AdaptingServer(MemoryServer):
    """As backends do, gives asynchronous handlers a request that they can await."""

    def _async_request(self, request: Any) -> Any:
        assert isinstance(request, Connection), "adapted twice"
        return AsyncConnection(request)


class Mailbox:
    """The socket of a datagram server."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, Any]] = []

    def sendto(self, data: bytes, address: Any) -> int:
        self.sent.append((data, address))
        return len(data)


class AsyncMailbox(Mailbox):
    """The same, to be awaited."""

    async def sendto(self, data: bytes, address: Any) -> int:  # type: ignore[override]
        return super().sendto(data, address)
