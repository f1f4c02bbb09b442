"""Serving on listeners that the application made: sockets, TLS, memory, anything of trio's kind."""

from __future__ import annotations

import errno
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import trio

from sansio_server.deferred import Deferred, settled

from .arguments import is_listener
from .base import BaseServer
from .bridged_request import BridgedRequest
from .stream_request import StreamRequest, transport_of

__all__ = ["ListenerServer", "StreamRequest"]


class ListenerServer(BaseServer):
    """A server on a listener that the application made.

    :param listener: any listener of trio's; the server closes it.
    :param RequestHandlerClass: called for each request, whose socket is a :class:`StreamRequest`.
    :raises TypeError: there is no listener, or what is to be called cannot be.
    """

    #: Seconds that closing a connection may take before it is cut off: TLS says goodbye, and waits
    #: for the client to do so.
    close_timeout: float = 5.0

    def __init__(
        self, listener: trio.abc.Listener[Any], RequestHandlerClass: Callable[..., Any]
    ) -> None:
        if not is_listener(listener):
            raise TypeError(f"listener must be a trio.abc.Listener, not {listener!r}")
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


def _peer_address(stream: Any) -> Any:
    sock = transport_of(stream)
    try:
        return None if sock is None else sock.getpeername()
    except OSError:
        return None  # the client has gone already


def _local_address(listener: Any) -> Any:
    sock = transport_of(getattr(listener, "transport_listener", listener))
    return None if sock is None else sock.getsockname()
