"""``rfile`` and ``wfile`` of asynchronous handlers on trio.

Each operation is a point where the handler can be cancelled. What comes out of the buffer, or goes
where answers are gathered, gives way to other tasks only now and then: to do so for each line of
many that came at once would cost more than all else. What has to be received or sent does so each
time, once for an answer and the receiving that follows it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from sansio_server.buffers import ReadBuffer
from sansio_server.streams import AsyncReader, AsyncWriter

if TYPE_CHECKING:
    from .socket_request import TrioRequest

__all__ = ["GIVES_WAY_AFTER", "TrioReader", "TrioWriter"]

#: How often in a row the buffer may answer before other tasks get their turn.
GIVES_WAY_AFTER: Final = 32


class TrioReader(AsyncReader):
    """Lines and blocks of a connection.

    :param request: where the bytes come from.
    """

    __slots__ = ("_in_a_row",)

    _request: TrioRequest

    def __init__(self, request: TrioRequest) -> None:
        # As the base class does, without another call: there is one of these for each connection.
        self._request = request
        self._buffer = ReadBuffer()
        self._in_a_row = 0

    async def _receive(self) -> bytes:
        self._in_a_row = 0
        return await self._request.recv_for_file()

    async def _pass(self) -> None:
        """Be a checkpoint, before anything is taken out of the buffer."""
        if self._in_a_row < GIVES_WAY_AFTER:
            self._in_a_row += 1
            await trio.lowlevel.checkpoint_if_cancelled()
        else:
            self._in_a_row = 0
            await trio.lowlevel.checkpoint()

    async def readline(self, size: int = -1) -> bytes:
        """Read a line with its end, at most *size* bytes of it; no bytes at the end of the stream.

        :raises LineTooLong: *size* is negative and no line ends within the limit.
        """
        buffer = self._buffer
        if buffer.left or buffer.eof:
            # As _pass() and the base class do, in one frame: most handlers read lines.
            if self._in_a_row < GIVES_WAY_AFTER:
                self._in_a_row += 1
                await trio.lowlevel.checkpoint_if_cancelled()
            else:
                self._in_a_row = 0
                await trio.lowlevel.checkpoint()
            line = buffer.take_line(size)
            if line is not None:
                return line
        while True:
            self._in_a_row = 0
            await trio.lowlevel.checkpoint_if_cancelled()
            data = self._request.recv_at_once()
            if type(data) is not bytes:
                data = await data  # type: ignore[misc]  # no bytes yet
            if not data:
                buffer.feed_eof()
                line = buffer.take_line(size)
            elif size < 0:
                line = buffer.feed_line(data)
            else:
                buffer.feed(data)
                line = buffer.take_line(size)
            if line is not None:
                return line

    async def read(self, size: int = -1) -> bytes:
        """Read *size* bytes; up to the end of the stream if that is sooner or *size* negative."""
        await self._pass()
        return await super().read(size)

    async def read1(self, size: int = -1) -> bytes:
        """Read up to *size* bytes as soon as there are any; none at the end of the stream."""
        await self._pass()
        return await super().read1(size)

    async def readexactly(self, size: int) -> bytes:
        """Read *size* bytes.

        :raises IncompleteRead: the stream ended before; what came is in its ``partial``.
        """
        await self._pass()
        return await super().readexactly(size)

    async def readuntil(self, delimiter: bytes = b"\n") -> bytes:
        """Read up to *delimiter* and that too.

        :raises IncompleteRead: the stream ended before; what came is in its ``partial``.
        :raises LineTooLong: it does not come within the limit.
        """
        await self._pass()
        return await super().readuntil(delimiter)


class TrioWriter(AsyncWriter):
    """Bytes to send on a connection.

    What is written with no buffer, while more that has come is still to be read, is gathered: see
    :mod:`trio_backend.gathering`.

    :param request: where the bytes go.
    :param size: as for :class:`~sansio_server.streams.AsyncWriter`.
    :param reader: what is still to be read.
    """

    __slots__ = ("_reader",)

    _request: TrioRequest

    def __init__(self, request: TrioRequest, size: int, reader: TrioReader) -> None:
        self._request = request  # as above
        self._size = 8192 if size < 0 else size
        self._pending = bytearray()
        self._reader = reader

    async def write(self, data: bytes) -> int:
        """Send *data*, at once or when enough has gathered; return how many bytes that is."""
        if self._size or type(data) is not bytes:
            return await super().write(data)
        request = self._request
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._reader._buffer.left and request.gathers(data):
            return len(data)
        sent = request.send_at_once(data)
        if sent == len(data):
            await trio.lowlevel.cancel_shielded_checkpoint()
        else:
            await request.sendall(data[sent:])
        return len(data)

    def unsent(self) -> bool:
        """Say whether there is something to :meth:`flush`."""
        return bool(self._pending) or self._request.has_gathered()

    async def flush(self) -> None:
        """Send what has gathered."""
        request = self._request
        if self._pending:
            await super().flush()
        elif request.has_gathered() and not request.send_gathered():
            await request.send_first()
        else:
            await trio.lowlevel.checkpoint_if_cancelled()
