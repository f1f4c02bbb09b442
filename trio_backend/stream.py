"""A request as an asynchronous handler has it: a socket whose waiting methods are awaited."""

from __future__ import annotations

import errno
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import trio

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["TrioRequest", "in_time"]

_T = TypeVar("_T")

# The mode of the socket is left alone: a blocking handler may have it in a thread.
_DONTWAIT: Final = getattr(socket, "MSG_DONTWAIT", 0)
_CHUNK: Final = 65536


class TrioRequest(trio.abc.HalfCloseableStream):
    """A socket in a trio task: the names of :class:`socket.socket`, and those of trio's streams.

    Each method that waits is a checkpoint. What does not wait (``getpeername``, ``setsockopt``, …)
    is the socket's own.

    :param sock: the socket; it stays the server's to close.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._timeout = sock.gettimeout()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    # As sockets have it.

    def settimeout(self, seconds: float | None) -> None:
        """Let each operation that waits raise TimeoutError after so many *seconds*; None: never."""
        if seconds is not None and seconds < 0:
            raise ValueError(f"seconds must be 0 or more, or None, not {seconds!r}")
        self._timeout = seconds

    def gettimeout(self) -> float | None:
        """Return what :meth:`settimeout` was told."""
        return self._timeout

    async def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Wait for up to *size* bytes; none at the end of the stream.

        :raises TimeoutError: they did not come in time.
        """
        return await self._do(trio.lowlevel.wait_readable, self._sock.recv, size, flags | _DONTWAIT)

    async def recv_into(self, buffer: Buffer, size: int = 0, flags: int = 0, /) -> int:
        """Wait for bytes, put them into *buffer*, return how many came.

        :raises TimeoutError: they did not come in time.
        """
        return await self._do(
            trio.lowlevel.wait_readable, self._sock.recv_into, buffer, size, flags | _DONTWAIT
        )

    async def send(self, data: Buffer, flags: int = 0, /) -> int:
        """Send some of *data*; return how many bytes that is.

        :raises TimeoutError: none could be sent in time.
        """
        return await self._do(trio.lowlevel.wait_writable, self._sock.send, data, flags | _DONTWAIT)

    async def sendall(self, data: Buffer, flags: int = 0, /) -> None:
        """Send all of *data*.

        :raises TimeoutError: it could not all be sent in time.
        """
        with in_time(self._timeout):
            await self._sendall(data, flags)

    async def sendto(self, data: Buffer, *where: Any) -> int:
        """Send *data* as a datagram: to an address, or with flags and to an address.

        :raises TimeoutError: it could not be sent in time.
        """
        *flags, address = where
        flag = (flags[0] if flags else 0) | _DONTWAIT
        return await self._do(trio.lowlevel.wait_writable, self._sock.sendto, data, flag, address)

    async def _sendall(self, data: Buffer, flags: int) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        with memoryview(data).cast("B") as view:
            sent = 0
            while sent < len(view):
                try:
                    sent += self._sock.send(view[sent:], flags | _DONTWAIT)
                except BlockingIOError:
                    await trio.lowlevel.wait_writable(self._sock)
        await trio.lowlevel.cancel_shielded_checkpoint()

    async def _do(
        self, wait: Callable[[Any], Awaitable[None]], call: Callable[..., _T], *args: Any
    ) -> _T:
        """Try, and wait only if that fails: an operation that succeeds has begun nothing."""
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            result = call(*args)
        except BlockingIOError:
            pass
        else:
            await trio.lowlevel.cancel_shielded_checkpoint()
            return result
        with in_time(self._timeout):
            return await _retry(self._sock, wait, call, args)

    # As trio's streams have it.

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Wait for up to *max_bytes*; none at the end of the stream.

        :raises trio.BrokenResourceError: the connection was lost.
        """
        with _translated():
            return await self.recv(_CHUNK if max_bytes is None else max_bytes)

    async def send_all(self, data: Buffer) -> None:
        """Send all of *data*.

        :raises trio.BrokenResourceError: the connection was lost.
        """
        with _translated():
            await self.sendall(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until something can be sent."""
        await trio.lowlevel.wait_writable(self._sock)

    async def send_eof(self) -> None:
        """Tell the client that no more will come.

        :raises trio.BrokenResourceError: the connection was lost.
        """
        with _translated():
            self._sock.shutdown(socket.SHUT_WR)
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """Close the connection before the server does."""
        if self._sock.fileno() >= 0:
            trio.lowlevel.notify_closing(self._sock)
            self._sock.close()
        await trio.lowlevel.checkpoint()


@contextmanager
def in_time(seconds: float | None) -> Iterator[None]:
    """Let what is awaited inside take *seconds* at most; None for any time.

    :raises TimeoutError: it took longer.
    """
    if seconds is None:
        yield
        return
    with trio.move_on_after(seconds) as scope:
        yield
    if scope.cancelled_caught:
        raise TimeoutError("timed out")


async def _retry(
    sock: socket.socket,
    wait: Callable[[Any], Awaitable[None]],
    call: Callable[..., _T],
    args: tuple[Any, ...],
) -> _T:
    while True:
        await wait(sock)
        try:
            return call(*args)
        except BlockingIOError:
            continue


@contextmanager
def _translated() -> Iterator[None]:
    """Tell errors of sockets as trio's streams do."""
    try:
        yield
    except TimeoutError:
        raise
    except OSError as error:
        if error.errno == errno.EBADF:
            raise trio.ClosedResourceError("the connection is closed") from None
        raise trio.BrokenResourceError(str(error)) from error
