"""Any stream of trio's as a request: by the names of sockets, and by its own."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import trio

from .errors import as_sockets
from .time_limits import checked_seconds, in_time

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["StreamRequest", "transport_of"]


class StreamRequest(trio.abc.HalfCloseableStream):
    """Any stream of trio's as a request: by the names of sockets, and by its own.

    What else the stream has (``do_handshake``, ``getpeercert``, …) can be had from this, and what
    else its socket has (``getpeername``, ``setsockopt``, …) if there is one.

    :param stream: the stream; it stays the server's to close.
    """

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.closed = False
        self._timeout: float | None = None
        self._input_ended = False
        self._reading: trio.CancelScope | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.stream!r}>"

    def __getattr__(self, name: str) -> Any:
        try:
            return getattr(self.stream, name)
        except AttributeError:
            sock = transport_of(self.stream)
            if sock is None:
                raise
        return getattr(sock, name)

    # As sockets have it.

    def settimeout(self, seconds: float | None) -> None:
        """Let each operation that waits raise TimeoutError after so many *seconds*; None: never."""
        self._timeout = checked_seconds(seconds)

    def gettimeout(self) -> float | None:
        """Return what :meth:`settimeout` was told."""
        return self._timeout

    async def recv(self, size: int, /) -> bytes:
        """Wait for up to *size* bytes; none at the end of the stream.

        :raises TimeoutError: they did not come in time.
        :raises OSError: the connection was lost.
        """
        with as_sockets():
            return await self._receive(size, self._timeout)

    async def recv_into(self, buffer: Buffer, nbytes: int = 0) -> int:
        """Wait for bytes, put them into *buffer*, return how many came.

        :raises TimeoutError: they did not come in time.
        :raises OSError: the connection was lost.
        """
        with memoryview(buffer).cast("B") as view:
            data = await self.recv(nbytes or len(view))
            view[: len(data)] = data
        return len(data)

    async def sendall(self, data: Buffer, /) -> None:
        """Send all of *data*.

        :raises TimeoutError: it could not all be sent in time.
        :raises OSError: the connection was lost.
        """
        with as_sockets(), in_time(self._timeout):
            await self.stream.send_all(data)  # type: ignore[arg-type]  # as it came

    async def send(self, data: Buffer, /) -> int:
        """Send *data*, all of it; return how many bytes that is.

        :raises TimeoutError: it could not all be sent in time.
        :raises OSError: the connection was lost.
        """
        await self.sendall(data)
        with memoryview(data) as view:
            return view.nbytes

    async def shutdown(self, how: int, /) -> None:
        """End the connection in one direction or in both, as far as the stream can."""
        if how != socket.SHUT_WR:
            self.end_input()
        if how != socket.SHUT_RD:
            await self.send_eof()
        else:
            await trio.lowlevel.checkpoint()

    # As trio's streams have it.

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Wait for up to *max_bytes*; none at the end of the stream."""
        return await self._receive(max_bytes, None)

    async def _receive(self, size: int | None, timeout: float | None) -> bytes:  # noqa: ASYNC109 - as sockets have it
        if self._input_ended:
            await trio.lowlevel.checkpoint()
            return b""
        with trio.CancelScope() as scope:
            if timeout is not None:
                scope.deadline = trio.current_time() + timeout
            self._reading = scope
            try:
                return bytes(await self.stream.receive_some(size))
            finally:
                self._reading = None
        if trio.current_time() < scope.deadline:
            return b""  # the input was ended
        raise TimeoutError("timed out")

    def end_input(self) -> None:
        """Let the input end here, as if the client sent no more."""
        self._input_ended = True
        if self._reading is not None:
            self._reading.cancel()

    async def send_all(self, data: Buffer) -> None:
        """Send all of *data*."""
        await self.stream.send_all(data)  # type: ignore[arg-type]  # as it came

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until something can be sent."""
        await self.stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """Tell the client that no more will come, if the stream can."""
        if isinstance(self.stream, trio.abc.HalfCloseableStream):
            await self.stream.send_eof()
        else:
            await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """Close the connection before the server does."""
        self.closed = True
        await self.stream.aclose()


def transport_of(stream: Any) -> Any:
    """Return the socket below *stream*; None if there is none."""
    while (below := getattr(stream, "transport_stream", None)) is not None:
        stream = below
    return getattr(stream, "socket", None)
