"""What tests of requests on trio do with both ends of a connection."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import trio
import trio.testing

from trio_backend.stream import TrioRequest, awaited

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
