"""``rfile`` and ``wfile`` of asynchronous handlers, where awaiting blocks: the socket's own files.

They are what :mod:`sansio_server.streams` has, only quicker: lines are found by the interpreter's
buffered reader, and writing is one call.
"""

from __future__ import annotations

import socket
from typing import Any

from sansio_server.buffers import DEFAULT_LIMIT
from sansio_server.exceptions import LineTooLong
from sansio_server.streams import AsyncReader, AsyncWriter

__all__ = ["BlockingReader", "BlockingWriter"]


class BlockingReader(AsyncReader):
    """Lines and blocks of a socket; see :class:`~sansio_server.streams.AsyncReader`.

    :param request: the request that is awaited.
    :param sock: its socket.
    """

    def __init__(self, request: Any, sock: socket.socket) -> None:
        super().__init__(request)
        self._file = sock.makefile("rb")

    async def _receive(self) -> bytes:
        return self._file.read1()

    async def readline(self, size: int = -1) -> bytes:
        """Read a line with its end, at most *size* bytes of it; no bytes at the end of the stream.

        :raises LineTooLong: *size* is negative and no line ends within the limit.
        """
        if size >= 0 or self._buffer.left:
            return await super().readline(size)
        line = self._file.readline(DEFAULT_LIMIT)
        if len(line) == DEFAULT_LIMIT and line[-1:] != b"\n":
            self._buffer.feed(line)  # for who wants to read on in another way
            raise LineTooLong(DEFAULT_LIMIT)
        return line

    def close(self) -> None:
        """Let go of the socket."""
        self._file.close()


class BlockingWriter(AsyncWriter):
    """Bytes to send to a socket; see :class:`~sansio_server.streams.AsyncWriter`.

    :param request: the request that is awaited.
    :param sock: its socket.
    :param size: how many bytes to gather before they are sent.
    """

    def __init__(self, request: Any, sock: socket.socket, size: int) -> None:
        super().__init__(request, size)
        self._send = sock.sendall

    async def write(self, data: bytes) -> int:
        """Send *data*, at once or when enough has gathered; return how many bytes that is."""
        if self._size:
            return await super().write(data)
        self._send(data)
        return len(data)
