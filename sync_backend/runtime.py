"""What asynchronous handlers may await on the blocking backend, beside their request."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from .files import BlockingReader, BlockingWriter

if TYPE_CHECKING:
    import socket

    from typing_extensions import Buffer

__all__ = ["BlockingRequest", "BlockingRuntime"]

_T = TypeVar("_T")


class BlockingRuntime:
    """Waiting that every backend offers under the same names, here by blocking the thread."""

    async def sleep(self, seconds: float) -> None:
        """Wait for *seconds*."""
        time.sleep(seconds)  # noqa: ASYNC251 - there is no event loop here to hold up

    async def run_blocking(self, function: Callable[..., _T], /, *args: Any) -> _T:
        """Call *function* where it holds up nobody else, and return its result."""
        return function(*args)


class BlockingRequest:
    """A socket whose waiting methods are to be awaited, and block.

    What does not wait (``getpeername``, ``setsockopt``, ``settimeout``, …) is the socket's own.

    :param sock: the socket.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def async_files(self, size: int) -> tuple[BlockingReader, BlockingWriter]:
        """Return ``rfile`` and ``wfile``, the latter with a buffer of *size* bytes."""
        return BlockingReader(self, self._sock), BlockingWriter(self, self._sock, size)

    async def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Wait for up to *size* bytes; none at the end of the stream."""
        return self._sock.recv(size, flags)

    async def recv_into(self, buffer: Buffer, size: int = 0, flags: int = 0, /) -> int:
        """Wait for bytes, put them into *buffer*, return how many came."""
        return self._sock.recv_into(buffer, size, flags)

    async def send(self, data: Buffer, flags: int = 0, /) -> int:
        """Send some of *data*; return how many bytes that is."""
        return self._sock.send(data, flags)

    async def sendall(self, data: Buffer, flags: int = 0, /) -> None:
        """Send all of *data*."""
        self._sock.sendall(data, flags)

    def send_reply(self, data: Buffer, address: Any, /) -> None:
        """Send *data* as the last thing that a handler does; nothing is to be awaited."""
        self._sock.sendto(data, address)

    async def sendto(self, data: Buffer, *where: Any) -> int:
        """Send *data* as a datagram: to an address, or with flags and to an address."""
        return self._sock.sendto(data, *where)
