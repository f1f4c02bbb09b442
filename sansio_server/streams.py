"""``rfile`` and ``wfile`` of asynchronous handlers, over any request with ``recv`` and ``sendall``.

They do no I/O of their own: what they await is the request's. The buffering is
:class:`~sansio_server.buffers.ReadBuffer`.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Final, Protocol

from .buffers import DEFAULT_LIMIT, ReadBuffer
from .exceptions import IncompleteRead

__all__ = ["AsyncReader", "AsyncRequest", "AsyncWriter", "open_files"]

_CHUNK: Final = 65536


class AsyncRequest(Protocol):
    """What the two files need of a request."""

    def recv(self, size: int, /) -> Awaitable[bytes]:
        """Wait for up to *size* bytes; none at the end of the stream."""

    def sendall(self, data: bytes, /) -> Awaitable[None]:
        """Send all of *data*."""


def open_files(request: Any, size: int) -> tuple[AsyncReader, AsyncWriter]:
    """Return ``rfile`` and ``wfile`` for *request*, the latter with a buffer of *size* bytes.

    A request that has better ones for its backend has a method ``async_files(size)``.
    """
    own = getattr(request, "async_files", None)
    if own is not None:
        files: tuple[AsyncReader, AsyncWriter] = own(size)
        return files
    return AsyncReader(request), AsyncWriter(request, size)


class AsyncReader:
    """Lines and blocks of a stream, to be awaited.

    :param request: where the bytes come from.
    :param limit: the most bytes of a line or of what a delimiter ends.
    """

    __slots__ = ("_buffer", "_request")

    def __init__(self, request: AsyncRequest, limit: int = DEFAULT_LIMIT) -> None:
        self._request = request
        self._buffer = ReadBuffer(limit)

    def close(self) -> None:
        """Let go of the request; the handler's ``finish()`` does this."""

    async def _receive(self) -> bytes:
        """Receive what is there; a backend may have its own way for files."""
        return await self._request.recv(_CHUNK)

    async def _more(self) -> None:
        data = await self._receive()
        if data:
            self._buffer.feed(data)
        else:
            self._buffer.feed_eof()

    async def read(self, size: int = -1) -> bytes:
        """Read *size* bytes; up to the end of the stream if that is sooner or *size* negative."""
        while not self._buffer.eof and (size < 0 or len(self._buffer) < size):
            await self._more()
        return self._buffer.take(size)

    async def read1(self, size: int = -1) -> bytes:
        """Read up to *size* bytes as soon as there are any; none at the end of the stream."""
        if not len(self._buffer) and not self._buffer.eof and size != 0:
            await self._more()
        return self._buffer.take(size)

    async def readexactly(self, size: int) -> bytes:
        """Read *size* bytes.

        :raises IncompleteRead: the stream ended before; what came is in its ``partial``.
        """
        while (data := self._buffer.take_exactly(size)) is None:
            if self._buffer.eof:
                raise IncompleteRead(self._buffer.take(), size)
            await self._more()
        return data

    async def readline(self, size: int = -1) -> bytes:
        """Read a line with its end, at most *size* bytes of it; no bytes at the end of the stream.

        :raises LineTooLong: *size* is negative and no line ends within the limit.
        """
        while (line := self._buffer.take_line(size)) is None:
            await self._more()
        return line

    async def readuntil(self, delimiter: bytes = b"\n") -> bytes:
        """Read up to *delimiter* and that too.

        :raises IncompleteRead: the stream ended before; what came is in its ``partial``.
        :raises LineTooLong: it does not come within the limit.
        """
        while (data := self._buffer.take_until(delimiter)) is None:
            if self._buffer.eof:
                raise IncompleteRead(self._buffer.take(), None)
            await self._more()
        return data

    def __aiter__(self) -> AsyncReader:
        return self

    async def __anext__(self) -> bytes:
        line = await self.readline()
        if not line:
            raise StopAsyncIteration
        return line


class AsyncWriter:
    """Bytes to send, to be awaited.

    :param request: where the bytes go.
    :param size: how many bytes to gather before they are sent; 0 to send at once, negative for the
        default of 8192, as for files.
    """

    __slots__ = ("_pending", "_request", "_size")

    def __init__(self, request: AsyncRequest, size: int = 0) -> None:
        self._request = request
        self._size = 8192 if size < 0 else size
        self._pending = bytearray()

    async def write(self, data: bytes) -> int:
        """Send *data*, at once or when enough has gathered; return how many bytes that is."""
        if self._size == 0:
            await self._request.sendall(data)
        else:
            self._pending += data
            if len(self._pending) >= self._size:
                await self.flush()
        return len(data)

    async def writelines(self, lines: list[bytes]) -> None:
        """Write each of *lines*."""
        for line in lines:
            await self.write(line)

    def unsent(self) -> bool:
        """Say whether there is something to :meth:`flush`; override both or neither."""
        return bool(self._pending)

    async def flush(self) -> None:
        """Send what has gathered."""
        if self._pending:
            data = bytes(self._pending)
            self._pending.clear()
            await self._request.sendall(data)
