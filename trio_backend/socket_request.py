"""A request as an asynchronous handler has it: a socket whose waiting methods are awaited."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

import trio

from .errors import as_sockets, as_streams
from .files import TrioReader, TrioWriter
from .gathering import LARGEST, Gathering
from .pauses import Pauses
from .time_limits import checked_seconds, in_time

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["TrioRequest", "awaited"]

_T = TypeVar("_T")

# The mode of the socket is left alone: a blocking handler may have it in a thread. A plain number:
# to combine an enum's members costs as much as a small system call.
_DONTWAIT: Final = int(getattr(socket, "MSG_DONTWAIT", 0))
_CHUNK: Final = 65536

#: Methods of sockets that would hold up all tasks, and what there is instead.
_BLOCKING: Final = {
    "makefile": "await rfile and wfile of a StreamRequestHandler, or recv() and sendall()",
    "sendfile": "await sendall() with what you read of the file",
}


class TrioRequest(trio.abc.HalfCloseableStream):
    """A socket in a trio task: the names of :class:`socket.socket`, and those of trio's streams.

    Each method that waits is a checkpoint. What does not wait (``getpeername``, ``setsockopt``, …)
    is the socket's own.

    :param sock: the socket; it stays the server's to close.
    :param gathering: sees to what :attr:`wfile` has gathered; None to send all at once.
    """

    __slots__ = (
        "_gathered",
        "_gathering",
        "_gave_way",
        "_sending",
        "_sent_eof",
        "_sock",
        "_timeout",
    )

    def __init__(self, sock: socket.socket, gathering: Gathering | None = None) -> None:
        self._sock = sock
        self._timeout = sock.gettimeout()
        self._sent_eof = False
        # A request that has just come has a task that has just begun.
        self._gave_way = gathering is not None
        self._gathering = gathering
        self._gathered = b""
        self._sending: trio.Event | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._sock!r}>"

    def __getattr__(self, name: str) -> Any:
        if name in _BLOCKING:
            raise AttributeError(f"{name}() would block the other tasks: {_BLOCKING[name]}")
        if self._gathered:
            with suppress(OSError):  # whoever waits is told of it
                self.send_gathered()
        return getattr(self._sock, name)

    def async_files(self, size: int) -> tuple[TrioReader, TrioWriter]:
        """Return ``rfile`` and ``wfile``, the latter with a buffer of *size* bytes."""
        reader = TrioReader(self)
        return reader, TrioWriter(self, size, reader)

    # What wfile has gathered.

    def gathers(self, data: bytes) -> bool:
        """Keep *data*, to be sent before anything is waited for; return False if it cannot be."""
        gathering = self._gathering
        if gathering is None or self._timeout is not None or self._sending is not None:
            return False
        if gathering.ended or len(self._gathered) + len(data) > LARGEST:
            return False
        if not self._gathered:
            gathering.note(self)
        self._gathered += data
        return True

    def has_gathered(self) -> bool:
        """Say whether something is still to be sent."""
        return self._gathered != b""

    def send_gathered(self) -> bool:
        """Send what was gathered, as far as there is room; return whether it was all.

        :raises OSError: the connection was lost, and so is what was gathered.
        """
        if self._gathered:
            try:
                sent = self._sock.send(self._gathered, _DONTWAIT)
            except BlockingIOError:
                return False
            except OSError:
                self._gathered = b""
                raise
            self._gathered = self._gathered[sent:]
        return not self._gathered

    async def wait_gathered(self) -> None:
        """Wait until all is sent that was gathered.

        :raises OSError: the connection was lost.
        """
        while not self.send_gathered():
            if self._sending is not None:
                await self._sending.wait()
                continue
            self._sending = sending = trio.Event()
            try:
                await trio.lowlevel.wait_writable(self._sock)
            finally:
                self._sending = None
                sending.set()

    async def send_first(self) -> None:
        """Send what was gathered before something else is done."""
        if self._timeout != 0:
            with in_time(self._timeout), as_sockets():
                await self.wait_gathered()
        elif not self.send_gathered():
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    def is_of(self, sock: Any) -> bool:
        """Say whether this is a request of the socket *sock*."""
        return self._sock is sock

    # As sockets have it.

    def settimeout(self, seconds: float | None) -> None:
        """Let each operation that waits raise TimeoutError after so many *seconds*; None: never.

        With 0 it does not wait, but raises BlockingIOError.
        """
        self._timeout = checked_seconds(seconds)

    def gettimeout(self) -> float | None:
        """Return what :meth:`settimeout` was told."""
        return self._timeout

    def setblocking(self, flag: bool) -> None:
        """Let operations wait for ever, or not at all."""
        self._timeout = None if flag else 0.0

    def getblocking(self) -> bool:
        """Say whether operations wait."""
        return self._timeout != 0

    async def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Wait for up to *size* bytes; none at the end of the stream.

        :raises TimeoutError: they did not come in time.
        """
        return await self._do(trio.lowlevel.wait_readable, self._sock.recv, size, flags | _DONTWAIT)

    # No coroutines themselves: while a client is waited for, there would be a frame more.

    def recv_for_file(self, size: int = _CHUNK, /) -> Awaitable[bytes]:
        """Receive for ``rfile``: like :meth:`recv`, but the turn that a send gave others counts.

        Who answers has just given way; to do so again, to receive what has come meanwhile, would
        cost each request another pass of trio's scheduler.

        :raises TimeoutError: nothing came in time.
        """
        if self._timeout is not None:
            return self.recv(size)
        return self._do_for_file(False, self._sock.recv, size, _DONTWAIT)

    def recv_at_once(self) -> bytes | Awaitable[bytes]:
        """Return what is there, or what :meth:`recv_for_file` does if that is to be awaited.

        To be called between a checkpoint for cancellation and anything else.
        """
        if not self._gave_way or self._gathered or self._timeout is not None:
            return self.recv_for_file()
        try:
            data = self._sock.recv(_CHUNK, _DONTWAIT)
        except BlockingIOError:
            return self._do_for_file(True, self._sock.recv, _CHUNK, _DONTWAIT)
        self._gave_way = False
        return data

    def recv_into_for_file(self, buffer: Buffer, /) -> Awaitable[int]:
        """Receive into *buffer* for the ``rfile`` of a blocking handler, as :meth:`recv_for_file`.

        :raises TimeoutError: nothing came in time.
        """
        if self._timeout is not None:
            return self.recv_into(buffer)
        return self._do_for_file(False, self._sock.recv_into, buffer, 0, _DONTWAIT)

    async def _do_for_file(self, tried: bool, call: Callable[..., _T], *args: Any) -> _T:
        """Receive, as *call* does with *args*.

        :param tried: whether that was tried just now, and nothing was there.
        """
        if not tried:
            await trio.lowlevel.checkpoint_if_cancelled()
            if self._gathered:
                await self.send_first()
        while tried or (result := _attempt(call, *args)) is None:
            tried = False
            try:
                await trio.lowlevel.wait_readable(self._sock)
            except trio.ClosedResourceError:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF)) from None
            self._gave_way = True
        if not self._gave_way:
            await trio.lowlevel.cancel_shielded_checkpoint()
        self._gave_way = False
        return result

    async def recv_into(self, buffer: Buffer, nbytes: int = 0, flags: int = 0) -> int:
        """Wait for bytes, put them into *buffer*, return how many came.

        :raises TimeoutError: they did not come in time.
        """
        return await self._do(
            trio.lowlevel.wait_readable, self._sock.recv_into, buffer, nbytes, flags | _DONTWAIT
        )

    async def recvfrom(self, size: int, flags: int = 0, /) -> tuple[bytes, Any]:
        """Wait for up to *size* bytes; return them and whom they are from.

        :raises TimeoutError: they did not come in time.
        """
        return await self._do(
            trio.lowlevel.wait_readable, self._sock.recvfrom, size, flags | _DONTWAIT
        )

    async def recvfrom_into(
        self, buffer: Buffer, nbytes: int = 0, flags: int = 0
    ) -> tuple[int, Any]:
        """Wait for bytes, put them into *buffer*, return how many came and whom they are from.

        :raises TimeoutError: they did not come in time.
        """
        return await self._do(
            trio.lowlevel.wait_readable, self._sock.recvfrom_into, buffer, nbytes, flags | _DONTWAIT
        )

    async def recvmsg(self, size: int, ancillary: int = 0, flags: int = 0, /) -> Any:
        """Wait for up to *size* bytes and *ancillary* bytes beside them; return what sockets do.

        :raises TimeoutError: they did not come in time.
        """
        return await self._do(
            trio.lowlevel.wait_readable, self._sock.recvmsg, size, ancillary, flags | _DONTWAIT
        )

    async def recvmsg_into(
        self, buffers: Iterable[Buffer], ancillary: int = 0, flags: int = 0, /
    ) -> Any:
        """Wait for bytes, put them into *buffers*, return what sockets do.

        :raises TimeoutError: they did not come in time.
        """
        args = (list(buffers), ancillary, flags | _DONTWAIT)  # they may be looked at twice
        return await self._do(trio.lowlevel.wait_readable, self._sock.recvmsg_into, *args)

    async def send(self, data: Buffer, flags: int = 0, /) -> int:
        """Send some of *data*; return how many bytes that is.

        :raises TimeoutError: none could be sent in time.
        """
        return await self._do(trio.lowlevel.wait_writable, self._sock.send, data, flags | _DONTWAIT)

    async def sendmsg(
        self,
        buffers: Iterable[Buffer],
        ancillary: Iterable[Any] = (),
        flags: int = 0,
        address: Any = None,
        /,
    ) -> int:
        """Send some of *buffers*, and *ancillary* data beside them; return how many bytes that is.

        :raises TimeoutError: none could be sent in time.
        """
        return await self._do(
            trio.lowlevel.wait_writable,
            self._sock.sendmsg,
            buffers,
            ancillary,
            flags | _DONTWAIT,
            address,
        )

    def send_at_once(self, data: bytes) -> int:
        """Send of *data* what there is room for, unless more than that is to be done.

        To be called between a checkpoint for cancellation and another for giving way, as of
        :meth:`sendall` for the rest.
        """
        if self._gathered or self._timeout is not None:
            return 0
        self._gave_way = True
        try:
            return self._sock.send(data, _DONTWAIT)
        except BlockingIOError:
            return 0

    async def sendall(self, data: Buffer, flags: int = 0, /) -> None:
        """Send all of *data*.

        :raises TimeoutError: it could not all be sent in time.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._gathered:
            if self._sending is None and not flags and len(self._gathered) < _CHUNK:
                data, self._gathered = self._gathered + bytes(data), b""
            else:
                await self.send_first()
        flags |= _DONTWAIT
        try:
            sent = self._sock.send(data, flags)
        except BlockingIOError:
            if self._timeout == 0:
                raise
            sent = 0
        if type(data) is not bytes or sent < len(data):
            with memoryview(data).cast("B") as view, in_time(self._timeout), as_sockets():
                await self._send_rest(view, sent, flags)
        await trio.lowlevel.cancel_shielded_checkpoint()
        self._gave_way = True

    async def _send_rest(self, view: memoryview, sent: int, flags: int) -> None:
        while sent < len(view):
            if self._timeout != 0:
                await trio.lowlevel.wait_writable(self._sock)
            try:
                sent += self._sock.send(view[sent:], flags)
            except BlockingIOError:
                if self._timeout == 0:
                    raise

    async def sendto(self, data: Buffer, *where: Any) -> int:
        """Send *data* as a datagram: to an address, or with flags and to an address.

        :raises TimeoutError: it could not be sent in time.
        """
        *flags, address = where
        flag = (flags[0] if flags else 0) | _DONTWAIT
        return await self._do(Pauses().wait, self._sock.sendto, data, flag, address)

    def send_reply(self, data: Buffer, address: Any, /) -> Awaitable[int] | None:
        """Send *data* as the last thing that a handler does: at once, without a checkpoint.

        :returns: None; or what is to be awaited, if there is no room.
        """
        try:
            self._sock.sendto(data, _DONTWAIT, address)
        except BlockingIOError:
            return self.sendto(data, address)
        return None

    async def _do(
        self, wait: Callable[[Any], Awaitable[None]], call: Callable[..., _T], *args: Any
    ) -> _T:
        """Try, and wait only if that fails: an operation that succeeds has begun nothing."""
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._gathered:
            await self.send_first()
        try:
            result = call(*args)
        except BlockingIOError:
            if self._timeout == 0:
                raise
        else:
            await trio.lowlevel.cancel_shielded_checkpoint()
            return result
        with in_time(self._timeout), as_sockets():
            return await _retry(self._sock, wait, call, args)

    # As trio's streams have it.

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Wait for up to *max_bytes*; none at the end of the stream.

        :raises trio.BrokenResourceError: the connection was lost.
        """
        if max_bytes is None:
            max_bytes = _CHUNK
        elif max_bytes < 1:
            raise ValueError(f"max_bytes must be 1 or more, not {max_bytes!r}")
        with as_streams():
            return await self.recv(max_bytes)

    async def send_all(self, data: Buffer) -> None:
        """Send all of *data*.

        :raises trio.BrokenResourceError: the connection was lost.
        """
        if self._sent_eof:
            raise trio.ClosedResourceError("nothing can be sent after the end")
        with as_streams():
            await self.sendall(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until something can be sent.

        :raises trio.ClosedResourceError: the connection is closed.
        """
        if self._sock.fileno() < 0:
            raise trio.ClosedResourceError("the connection is closed")
        if self._gathered:
            await self.send_first()
        await trio.lowlevel.wait_writable(self._sock)

    async def send_eof(self) -> None:
        """Tell the client that no more will come.

        :raises trio.BrokenResourceError: the connection was lost.
        """
        await trio.lowlevel.checkpoint()
        if not self._sent_eof:
            with as_streams():
                if self._gathered:
                    await self.send_first()
                self._sock.shutdown(socket.SHUT_WR)
            self._sent_eof = True

    async def aclose(self) -> None:
        """Close the connection before the server does."""
        if self._sock.fileno() >= 0:
            if self._gathered:
                with suppress(OSError):
                    self.send_gathered()
            trio.lowlevel.notify_closing(self._sock)
            self._sock.close()
        await trio.lowlevel.checkpoint()


def awaited(sock: socket.socket, gathering: Gathering | None = None) -> TrioRequest:
    """Return *sock*, a connection of a handler's own, with methods to await.

    :param gathering: as for :class:`TrioRequest`.
    :raises TypeError: it is a TLS socket of the standard library's, which would block.
    """
    if hasattr(sock, "do_handshake"):
        raise TypeError(
            f"{sock!r} would block the other tasks: for TLS give a trio.SSLListener to "
            "serve_listeners(), or let blocking handlers run in threads"
        )
    request = TrioRequest(sock, gathering)
    if request._timeout:
        # With a default timeout in force, Python waits before each operation, whatever its flags.
        sock.settimeout(None)
    return request


def _attempt(call: Callable[..., _T], *args: Any) -> _T | None:
    """Receive, if there is something; None if not."""
    try:
        return call(*args)
    except BlockingIOError:
        return None


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
