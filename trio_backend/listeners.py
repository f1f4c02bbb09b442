"""Serving on listeners that the application made: sockets, TLS, memory, anything of trio's kind."""

from __future__ import annotations

import errno
import math
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import trio

from sansio_server.deferred import Deferred

from .base import BaseServer
from .bridged import BridgedRequest
from .tasks import settled
from .time_limits import in_time

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["ListenerServer", "StreamRequest"]


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

    def __getattr__(self, name: str) -> Any:
        try:
            return getattr(self.stream, name)
        except AttributeError:
            sock = _transport(self.stream)
            if sock is None:
                raise
        return getattr(sock, name)

    # As sockets have it.

    def settimeout(self, seconds: float | None) -> None:
        """Let each operation that waits raise TimeoutError after so many *seconds*; None: never."""
        if seconds is not None and seconds < 0:
            raise ValueError(f"seconds must be 0 or more, or None, not {seconds!r}")
        self._timeout = seconds

    def gettimeout(self) -> float | None:
        """Return what :meth:`settimeout` was told."""
        return self._timeout

    async def recv(self, size: int, /) -> bytes:
        """Wait for up to *size* bytes; none at the end of the stream.

        :raises TimeoutError: they did not come in time.
        :raises OSError: the connection was lost.
        """
        with _as_sockets():
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
        with _as_sockets(), in_time(self._timeout):
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


class ListenerServer(BaseServer):
    """A server on a listener that the application made.

    :param listener: any listener of trio's; the server closes it.
    :param RequestHandlerClass: called for each request, whose socket is a :class:`StreamRequest`.
    """

    #: Seconds that closing a connection may take before it is cut off: TLS says goodbye, and waits
    #: for the client to do so.
    close_timeout: float = 5.0

    def __init__(
        self, listener: trio.abc.Listener[Any], RequestHandlerClass: Callable[..., Any]
    ) -> None:
        super().__init__(_local_address(listener), RequestHandlerClass)
        self.listener = listener
        self._dead = False

    async def get_request(self) -> Any:
        """Wait for a client; return its stream as a request, and its address if it has one.

        :raises OSError: accepting failed, or the listener is closed.
        """
        try:
            stream = await self.listener.accept()
        except trio.ClosedResourceError:
            self._dead = True
            raise OSError(errno.EBADF, f"{self._name()}: the listener is closed") from None
        return StreamRequest(stream), _peer_address(stream)

    def _listener_is_dead(self) -> bool:
        return self._dead

    def shutdown_request(self, request: Any) -> Any:
        """Tell the client that no more will come, and close *request*."""
        return Deferred(self._shutdown_request(request))

    async def _shutdown_request(self, request: Any) -> None:
        try:
            with self._time_to_close():
                await request.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client has gone already
        finally:
            await settled(self.close_request(request))

    def close_request(self, request: Any) -> Any:
        """Close *request*; its place becomes free."""
        return Deferred(self._close_request(request))

    async def _close_request(self, request: Any) -> None:
        place = self._ledger.find_exactly(self._request_key(request))
        try:
            with suppress(trio.BrokenResourceError), self._time_to_close():
                await request.aclose()
        finally:
            if place is not None:
                self._release(place)

    def _time_to_close(self) -> trio.CancelScope:
        """Return what ends closing when it takes too long; or at once, if this is cancelled.

        Then it says so no more: somebody is told of it already, perhaps beside something else.
        """
        if trio.current_effective_deadline() == -math.inf:
            return trio.CancelScope(deadline=-math.inf, shield=True)
        return trio.move_on_after(self.close_timeout)

    async def _discard(self, request: Any) -> None:
        if isinstance(request, StreamRequest) and not request.closed:
            await trio.aclose_forcefully(request)

    def _end_input(self, request: Any) -> None:
        request.end_input()

    def _bridged_request(self, request: Any, wait_for: Callable[[Any], Any]) -> Any:
        """Return *request* as a blocking handler sees it."""
        return BridgedRequest(request, request, wait_for)

    async def _interrupt_thread(self, request: Any) -> None:
        await trio.aclose_forcefully(request)

    async def server_close(self) -> None:
        """Close the server and its listener. A loop that still runs ends."""
        super().server_close()
        await self.listener.aclose()


@contextmanager
def _as_sockets() -> Iterator[None]:
    """Tell errors of trio's streams as sockets do."""
    try:
        yield
    except trio.ClosedResourceError:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF)) from None
    except trio.BrokenResourceError as error:
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from None
        raise ConnectionResetError(errno.ECONNRESET, str(error)) from error


def _transport(stream: Any) -> Any:
    """Return the socket below *stream*; None if there is none."""
    while (below := getattr(stream, "transport_stream", None)) is not None:
        stream = below
    return getattr(stream, "socket", None)


def _peer_address(stream: Any) -> Any:
    sock = _transport(stream)
    try:
        return None if sock is None else sock.getpeername()
    except OSError:
        return None  # the client has gone already


def _local_address(listener: Any) -> Any:
    sock = _transport(getattr(listener, "transport_listener", listener))
    return None if sock is None else sock.getsockname()
