"""Every time that a request may take, on a clock that jumps, for handlers that are tasks.

What a server waits for by itself is tested where that is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing

from sansio_server.handlers import StreamRequestHandler
from sansio_server.lifecycle import State
from sansio_server.trace import TraceKind

from .support import MemoryServer, Watcher, is_over, read_to_end, serving, with_clients

Clock = trio.testing.MockClock


class AsyncLines(StreamRequestHandler):
    async def handle(self) -> None:
        async for line in self.rfile:
            await self.wfile.write(line.upper())


class Lines(StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line.upper())


class AsyncStubborn(AsyncLines):
    """Waits for its client, whatever happens, until ten seconds have passed."""

    async def handle(self) -> None:
        with trio.move_on_after(10, shield=True):
            await super().handle()


class Stubborn(Lines):
    def handle(self) -> None:
        until = trio.current_time() + 10
        with trio.CancelScope(deadline=until, shield=True):  # noqa: ASYNC100 - its waits are the task's
            super().handle()


def drain_of(server: MemoryServer) -> State:
    return server._lifecycle.drain


COLOURS = pytest.mark.parametrize("handler", [AsyncLines, Lines])
STUBBORN = pytest.mark.parametrize("handler", [AsyncStubborn, Stubborn])


def server_for(handler: Callable[..., Any], **attributes: Any) -> MemoryServer:
    return MemoryServer(handler, blocking_handlers="greenlets", **attributes)


@COLOURS
async def test_a_client_that_says_nothing_for_too_long(handler: Any, autojump_clock: Clock) -> None:
    class Impatient(handler):  # type: ignore[misc]
        timeout = 3

    server = server_for(Impatient)
    async with serving(server):
        [client] = await with_clients(server, 1)
        for _ in range(3):  # the time is that of each wait
            await trio.sleep(2)
            await client.send_all(b"hello\n")
            assert await client.receive_some() == b"HELLO\n"
        begun = trio.current_time()
        assert await read_to_end(client) == b""
        assert trio.current_time() - begun == 3
    [error] = server.reported
    assert isinstance(error, TimeoutError)
    assert is_over(server)


@COLOURS
async def test_a_request_that_takes_too_long(handler: Any, autojump_clock: Clock) -> None:
    server = server_for(handler, request_timeout=5)
    server.trace = watcher = Watcher()
    async with serving(server):
        begun = trio.current_time()
        [client] = await with_clients(server, 1)
        await trio.sleep(4)
        await client.send_all(b"hello\n")
        assert await client.receive_some() == b"HELLO\n"
        assert await read_to_end(client) == b""
        assert trio.current_time() - begun == 5
    assert watcher.of(TraceKind.CUT) == ["request_timeout"]
    assert server.reported == []
    assert is_over(server)


@COLOURS
async def test_the_steps_of_a_drain(handler: Any, autojump_clock: Clock) -> None:
    """Grace, in which handlers see the stop; a cancellation; the close; the report."""
    server = server_for(handler, drain_timeout=4)
    async with server, trio.open_nursery() as nursery:
        await nursery.start(server.serve_forever)
        stays, leaves = await with_clients(server, 2)
        begun = trio.current_time()
        server.shutdown()
        await server.stopping.wait()
        assert trio.current_time() == begun
        await trio.testing.wait_all_tasks_blocked()
        assert drain_of(server) is State.GRACE
        await trio.sleep(3)
        for client in (stays, leaves):
            await client.send_all(b"hello\n")
            assert await client.receive_some() == b"HELLO\n"
        await leaves.send_eof()
        assert await read_to_end(leaves) == b""
        assert trio.current_time() - begun == 3
        assert await read_to_end(stays) == b""
        assert trio.current_time() - begun == 4
        report = await server.wait_drained()
    assert report.seconds == 4
    assert report.finished == (None,)
    [straggler] = report.cut
    assert straggler.ended
    assert "line in self.rfile" in straggler.where
    assert drain_of(server) is State.DRAINED
    assert is_over(server)


@STUBBORN
async def test_the_report_of_those_who_would_not_end(handler: Any, autojump_clock: Clock) -> None:
    server = server_for(handler, drain_timeout=2, cut_timeout=3)
    async with server, trio.open_nursery() as nursery:
        await nursery.start(server.serve_forever)
        begun = trio.current_time()
        await with_clients(server, 1)
        server.shutdown()
        report = await server.wait_drained()
        assert trio.current_time() - begun == report.seconds == 5
        [straggler] = report.left
        assert "line in self.rfile" in straggler.where
        assert drain_of(server) is State.ABANDONED
        assert not is_over(server)
    assert trio.current_time() - begun == 10
    assert is_over(server)


@COLOURS
async def test_the_time_that_closing_may_take(handler: Any, autojump_clock: Clock) -> None:
    server = server_for(handler)
    server.close_timeout = 7
    async with serving(server):
        [client] = await with_clients(server, 1)
        server.listener.streams[0].aclose = trio.sleep_forever  # type: ignore[method-assign]
        begun = trio.current_time()
        await client.send_eof()
    assert trio.current_time() - begun == 7
    assert is_over(server)
