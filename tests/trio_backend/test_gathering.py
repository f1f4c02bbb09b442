"""Answers to lines that came at once leave together, and before anything is waited for."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import trio
import trio.testing

from trio_backend import StreamRequestHandler, TCPServer
from trio_backend.files import TrioReader, TrioWriter
from trio_backend.gathering import LARGEST, Gathering
from trio_backend.socket_request import TrioRequest, awaited

from .support import HERE

_MUCH = b"m" * 1024


class Handled:
    """A request whose answers are gathered, its files, and the client's end."""

    def __init__(self, gathering: Gathering, ours: socket.socket, theirs: socket.socket) -> None:
        self.gathering = gathering
        self.sock = ours
        self.client = theirs
        self.request: TrioRequest = awaited(ours, gathering)
        files: tuple[TrioReader, TrioWriter] = self.request.async_files(0)
        self.rfile, self.wfile = files

    def came(self) -> bytes:
        """Return what the client has been sent."""
        data = b""
        with suppress(BlockingIOError):
            while more := self.client.recv(1 << 20, socket.MSG_DONTWAIT):
                data += more
        return data

    async def gather(self, data: bytes = b"ONE\n") -> None:
        """Have *data* gathered, as an answer to the first of two lines."""
        self.client.sendall(b"one\ntwo\n")
        assert await self.rfile.readline() == b"one\n"
        await self.wfile.write(data)
        assert self.came() == b""

    def fill(self) -> int:
        """Send until the client has no room; return how many bytes that is."""
        count = 0
        with suppress(BlockingIOError):
            while True:
                count += self.sock.send(_MUCH, socket.MSG_DONTWAIT)
        return count


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@asynccontextmanager
async def handled(ends: tuple[socket.socket, socket.socket]) -> AsyncIterator[Handled]:
    """Gather for the length of the block."""
    async with trio.open_nursery() as nursery:
        one = Handled(Gathering(nursery), *ends)
        yield one
        one.gathering.end()


Ends = tuple[socket.socket, socket.socket]


async def test_answers_leave_with_the_last(ends: Ends) -> None:
    async with handled(ends) as one:
        one.client.sendall(b"one\ntwo\n")
        await one.wfile.write((await one.rfile.readline()).upper())
        assert one.came() == b""
        await one.wfile.write((await one.rfile.readline()).upper())
        assert one.came() == b"ONE\nTWO\n"


async def test_an_answer_to_all_that_came_leaves_at_once(ends: Ends) -> None:
    async with handled(ends) as one:
        one.client.sendall(b"one\n")
        await one.wfile.write((await one.rfile.readline()).upper())
        assert one.came() == b"ONE\n"


async def test_they_leave_before_the_handler_waits_for_something_else(ends: Ends) -> None:
    async with handled(ends) as one:
        for _ in range(2):  # the second time the task for this is there already
            await one.gather()
            await trio.testing.wait_all_tasks_blocked()
            assert one.came() == b"ONE\n"
            assert await one.rfile.readline() == b"two\n"


async def _read(one: Handled) -> None:
    await one.rfile.readline()
    with trio.move_on_after(0):
        await one.rfile.readline()


FIRST: list[Any] = [
    pytest.param(_read, b"", id="readline"),
    pytest.param(lambda one: one.wfile.flush(), b"", id="flush"),
    pytest.param(lambda one: one.request.sendall(b"two"), b"two", id="sendall"),
    pytest.param(lambda one: one.request.sendall(b"two", socket.MSG_NOSIGNAL), b"two", id="flags"),
    pytest.param(lambda one: one.request.send(b"two"), b"two", id="send"),
    pytest.param(lambda one: one.request.send_all(b"two"), b"two", id="send_all"),
    pytest.param(lambda one: one.request.wait_send_all_might_not_block(), b"", id="might"),
    pytest.param(lambda one: one.request.send_eof(), b"", id="send_eof"),
    pytest.param(lambda one: one.request.aclose(), b"", id="aclose"),
    pytest.param(lambda one: one.wfile.write(bytearray(b"two")), b"two", id="bytearray"),
    pytest.param(lambda one: one.wfile.write(b"t" * LARGEST), b"t" * LARGEST, id="largest"),
]


@pytest.mark.parametrize(("do", "more"), FIRST)
async def test_they_leave_before_whatever_else_is_done(
    ends: Ends, do: Callable[[Handled], Awaitable[object]], more: bytes
) -> None:
    async with handled(ends) as one:
        await one.gather()
        await do(one)
        assert one.came() == b"ONE\n" + more


async def test_they_leave_before_the_socket_is_used_by_itself(ends: Ends) -> None:
    async with handled(ends) as one:
        await one.gather()
        one.request.shutdown(socket.SHUT_WR)
        assert one.client.recv(100) == b"ONE\n"
        assert one.client.recv(100) == b""


async def test_where_there_is_no_room_they_leave_as_soon_as_there_is(ends: Ends) -> None:
    async with handled(ends) as one:
        await one.gather()
        count = one.fill()
        await trio.testing.wait_all_tasks_blocked()
        came = one.came()
        await trio.testing.wait_all_tasks_blocked()  # the handler waits for nothing of its client's
        assert came + one.came() == b"m" * count + b"ONE\n"


async def test_where_there_is_no_room_who_writes_more_waits(ends: Ends) -> None:
    async with handled(ends) as one:
        await one.gather()
        count = one.fill()
        await trio.testing.wait_all_tasks_blocked()
        written: list[int] = []

        async def write() -> None:
            written.append(await one.wfile.write(b"TWO\n"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            await trio.testing.wait_all_tasks_blocked()
            assert written == []
            came = one.came()
            await trio.testing.wait_all_tasks_blocked()
        assert came + one.came() == b"m" * count + b"ONE\nTWO\n"
        assert written == [4]


async def test_who_will_not_wait_is_told_that_it_would_block(ends: Ends) -> None:
    async with handled(ends) as one:
        await one.gather()
        one.fill()
        one.request.setblocking(False)
        with pytest.raises(BlockingIOError):
            await one.request.send(b"two")
        one.request.settimeout(None)


async def test_with_a_timeout_nothing_is_gathered(ends: Ends) -> None:
    async with handled(ends) as one:
        one.request.settimeout(60)
        one.client.sendall(b"one\ntwo\n")
        await one.wfile.write(await one.rfile.readline())
        assert one.came() == b"one\n"


async def test_a_lost_connection_is_told_by_what_is_done_next(ends: Ends) -> None:
    async with handled(ends) as one:
        await one.gather()
        one.client.close()
        await trio.testing.wait_all_tasks_blocked()
        assert await one.rfile.readline() == b"two\n"
        with pytest.raises(OSError, match=r"\[Errno"):
            await one.wfile.write(b"TWO\n")


async def test_a_lost_connection_is_told_by_what_sends_them(ends: Ends) -> None:
    async with handled(ends) as one:
        await one.gather()
        one.client.close()
        with pytest.raises(OSError, match=r"\[Errno"):
            await one.wfile.flush()
        assert not one.request.has_gathered()


async def test_after_the_end_nothing_is_gathered(ends: Ends) -> None:
    async with handled(ends) as one:
        await one.gather()
        one.gathering.end()
        await trio.testing.wait_all_tasks_blocked()
        assert one.came() == b"ONE\n"
        await one.wfile.write(b"TWO\n")
        assert one.came() == b"TWO\n"


async def test_who_is_cancelled_has_sent_what_it_wrote(ends: Ends) -> None:
    async with handled(ends) as one:
        with trio.CancelScope() as scope:
            await one.gather()
            scope.cancel()
            await one.rfile.readline()
        assert scope.cancelled_caught
        assert one.came() == b"ONE\n"
        assert await one.rfile.readline() == b"two\n"


async def test_a_handler_that_ends_early_and_flushes_nothing_loses_nothing() -> None:
    class Hasty(StreamRequestHandler):
        async def handle(self) -> None:
            await self.wfile.write((await self.rfile.readline()).upper())

        async def finish(self) -> None:
            pass

    async with TCPServer(HERE, Hasty) as server, trio.open_nursery() as nursery:
        await nursery.start(server.serve_forever)
        client = await trio.open_tcp_stream(*server.server_address)
        await client.send_all(b"one\ntwo\n")
        came = b""
        with suppress(trio.BrokenResourceError):  # the second line was not read
            while data := await client.receive_some():
                came += data
        assert came == b"ONE\n"
        await client.aclose()
        server.shutdown()
