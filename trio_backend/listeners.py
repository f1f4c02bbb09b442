"""Serving on listeners that the application made: sockets, TLS, memory, anything of trio's kind."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import trio

from .base import BaseServer
from .bridged import BridgedRequest
from .stream import in_time

if TYPE_CHECKING:
    Bytes = bytes | bytearray | memoryview

__all__ = ["ListenerServer", "StreamRequest"]


class StreamRequest(trio.abc.HalfCloseableStream):
    """Any stream of trio's as a request: by the names of sockets, and by its own.

    What else the stream has (``do_handshake``, ``getpeercert``, …) can be had from this.

    :param stream: the stream; it stays the server's to close.
    """

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self._timeout: float | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def settimeout(self, seconds: float | None) -> None:
        """Let each operation that waits raise TimeoutError after so many *seconds*; None: never."""
        self._timeout = seconds

    def gettimeout(self) -> float | None:
        """Return what :meth:`settimeout` was told."""
        return self._timeout

    async def recv(self, size: int, /) -> bytes:
        """Wait for up to *size* bytes; none at the end of the stream.

        :raises TimeoutError: they did not come in time.
        """
        with in_time(self._timeout):
            return bytes(await self.stream.receive_some(size))

    async def sendall(self, data: Bytes, /) -> None:
        """Send all of *data*.

        :raises TimeoutError: it could not all be sent in time.
        """
        with in_time(self._timeout):
            await self.stream.send_all(data)

    async def send(self, data: Bytes, /) -> int:
        """Send *data*, all of it; return how many bytes that is.

        :raises TimeoutError: it could not all be sent in time.
        """
        await self.sendall(data)
        with memoryview(data) as view:
            return view.nbytes

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Wait for up to *max_bytes*; none at the end of the stream."""
        return bytes(await self.stream.receive_some(max_bytes))

    async def send_all(self, data: Bytes) -> None:
        """Send all of *data*."""
        await self.stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until something can be sent."""
        await self.stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """Tell the client that no more will come, if the stream can."""
        if isinstance(self.stream, trio.abc.HalfCloseableStream):
            await self.stream.send_eof()

    async def aclose(self) -> None:
        """Close the connection before the server does."""
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
        self._accepted: trio.abc.Stream | OSError | None = None

    async def _wait_for_client(self) -> None:
        if self._accepted is None:
            try:
                self._accepted = await self.listener.accept()
            except OSError as error:
                self._accepted = error

    def get_request(self) -> Any:
        """Return the accepted stream as a request, and the client's address if it has one.

        :raises OSError: accepting failed.
        """
        accepted, self._accepted = self._accepted, None
        if accepted is None:
            raise BlockingIOError("nobody has come yet")
        if isinstance(accepted, OSError):
            raise accepted
        return StreamRequest(accepted), _peer_address(accepted)

    async def shutdown_request(self, request: Any) -> Any:
        """Tell the client that no more will come, and close *request*."""
        with trio.move_on_after(self.close_timeout):
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):  # the client left
                await request.send_eof()
        return await self.close_request(request)

    async def close_request(self, request: Any) -> Any:
        """Close *request*; its place becomes free."""
        place = self.ledger.find_exactly(self.request_key(request))
        with suppress(trio.BrokenResourceError), trio.move_on_after(self.close_timeout):
            await request.aclose()
        if place is not None:
            self.release(place)

    def bridged_request(self, request: Any, wait_for: Callable[[Any], Any]) -> Any:
        """Return *request* as a blocking handler sees it."""
        return BridgedRequest(request, request.stream, wait_for)

    async def _interrupt_thread(self, request: Any) -> None:
        await trio.aclose_forcefully(request.stream)

    async def _close_accepted(self) -> None:
        accepted, self._accepted = self._accepted, None
        if isinstance(accepted, trio.abc.Stream):
            await trio.aclose_forcefully(accepted)

    async def server_close(self) -> None:
        """Close the server and its listener. A loop that still runs ends."""
        super().server_close()
        await self.listener.aclose()


def _transport(stream: Any) -> Any:
    while hasattr(stream, "transport_stream"):
        stream = stream.transport_stream
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
