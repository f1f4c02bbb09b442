"""The socket of a blocking handler in a greenlet, which tries by itself and has the task wait.

To have the task do something costs two switches and a coroutine. So what can be done at once is
done in the greenlet. A send owes others their turn, and what is received next pays that: while the
others have it, most clients answer.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import trio

from .bridged_request import BridgedRequest

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from .greenlets import GreenWaits
    from .socket_request import TrioRequest

__all__ = ["GreenRequest"]

_T = TypeVar("_T")

_DONTWAIT: Final = int(getattr(socket, "MSG_DONTWAIT", 0))


class GreenRequest(BridgedRequest):
    """A connection as a blocking handler in a greenlet has it.

    :param request: the same request, as an asynchronous handler has it.
    :param sock: its socket.
    :param waits: waits for what the task awaits, as long as the handler runs.
    """

    def __init__(self, request: TrioRequest, sock: socket.socket, waits: GreenWaits) -> None:
        super().__init__(request, sock, waits)
        self._waits = waits
        self._waits_for_ever = request.gettimeout() is None
        self._owes = False
        self._is_new = True  # its task has just begun, and owes nothing

    def settimeout(self, seconds: float | None) -> None:
        """Let each operation that waits raise TimeoutError after so many *seconds*; None: never."""
        super().settimeout(seconds)
        self._waits_for_ever = seconds is None

    def sendall(self, data: Buffer, flags: int = 0, /) -> None:
        """Send all of *data*."""
        plain = type(data) is bytes and not flags and self._waits_for_ever
        if plain and not self._owes and self._waits.may_try():
            try:
                sent = self._inner.send(data, _DONTWAIT)
            except BlockingIOError:
                sent = 0
            if sent == len(data):  # type: ignore[arg-type]  # of bytes
                self._owes = True
                return
            data = data[sent:]  # type: ignore[index]  # likewise
        self._owes = False
        super().sendall(data, flags)

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Wait for up to *size* bytes; none at the end of the stream."""
        if self._owes and self._waits_for_ever and not flags:
            self._owes = False
            data: bytes = self._waits(_receive(False, self._inner, self._inner.recv, size))
            return data
        return super().recv(size, flags)

    def _recv_into_for_file(self, buffer: Buffer) -> int:
        if self._waits_for_ever:
            call = self._inner.recv_into
            count: int
            if self._owes:
                self._owes = False
                count = self._waits(_receive(False, self._inner, call, buffer, 0))
                return count
            if self._is_new and self._waits.may_try():
                self._is_new = False
                try:
                    count = call(buffer, 0, _DONTWAIT)
                except BlockingIOError:
                    count = self._waits(_receive(True, self._inner, call, buffer, 0))
                return count
        return super()._recv_into_for_file(buffer)


async def _receive(tried: bool, sock: socket.socket, call: Callable[..., _T], *args: Any) -> _T:
    """Give others their turn, and receive when there is something.

    :param tried: whether nothing was there just now, and others have had their turn.
    """
    if not tried:
        await trio.lowlevel.checkpoint()
    while True:
        if not tried:
            try:
                return call(*args, _DONTWAIT)
            except BlockingIOError:
                pass
        tried = False
        try:
            await trio.lowlevel.wait_readable(sock)
        except trio.ClosedResourceError:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF)) from None
