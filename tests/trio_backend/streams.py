"""What tests of requests on trio do with both ends of a connection."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import attrs
import trio
import trio.testing

from trio_backend.socket_request import TrioRequest, awaited

MUCH = bytes(range(256)) * 4096


def fill(request: TrioRequest) -> None:
    """Send until there is no room."""
    with suppress(BlockingIOError):
        while True:
            request._sock.send(MUCH, socket.MSG_DONTWAIT)


def drain(sock: socket.socket) -> bytes:
    """Return all that has come."""
    data = b""
    try:
        while True:
            data += sock.recv(len(MUCH), socket.MSG_DONTWAIT)
    except BlockingIOError:
        return data


async def results_of(
    action: Callable[[], Awaitable[Any]], call: Callable[[], Awaitable[Any]]
) -> list[Any]:
    """Let *call* wait, assert that it does, and return what it returned or raised on *action*."""
    results: list[Any] = []

    async def run() -> None:
        try:
            results.append(await call())
        except (OSError, trio.ClosedResourceError) as error:
            results.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await trio.testing.wait_all_tasks_blocked()
        assert results == []
        await action()
    return results


def doing(function: Callable[..., Any], *args: Any) -> Callable[[], Awaitable[None]]:
    """Return *function* as something to await."""

    async def do() -> None:
        function(*args)

    return do


@contextmanager
def connected() -> Iterator[tuple[TrioRequest, socket.socket]]:
    """Return a request, and the client's end of its connection."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield awaited(ours), theirs


class NoHalfClose(trio.abc.Stream):
    """A stream that cannot end its output alone; and that fails as it is told to."""

    def __init__(self, failure: BaseException | None = None) -> None:
        self.failure = failure
        self.sent = b""
        self.closed = False
        self.color = "green"

    async def _step(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.failure is not None:
            raise self.failure

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await self._step()
        return b"data"

    async def send_all(self, data: Any) -> None:
        await self._step()
        self.sent += data

    async def wait_send_all_might_not_block(self) -> None:
        await self._step()

    async def aclose(self) -> None:
        self.closed = True
        await self._step()


@attrs.frozen
class Over:
    """Anything above a transport, as TLS is."""

    transport_stream: Any
