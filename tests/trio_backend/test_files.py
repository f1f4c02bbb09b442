"""``rfile`` and ``wfile`` on trio: points of cancellation always, and turns for others in time."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import trio
import trio.testing

from sansio_server.exceptions import IncompleteRead, LineTooLong
from trio_backend.files import GIVES_WAY_AFTER, TrioReader, TrioWriter
from trio_backend.socket_request import awaited


class Files:
    """The files of a connection, and the client's end."""

    def __init__(self, ours: socket.socket, theirs: socket.socket, size: int = 0) -> None:
        self.client = theirs
        self.rfile: TrioReader
        self.wfile: TrioWriter
        self.rfile, self.wfile = awaited(ours).async_files(size)


@pytest.fixture
def files() -> Iterator[Files]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Files(ours, theirs)


Read = Callable[[TrioReader], Awaitable[bytes]]

READING: list[Any] = [
    pytest.param(lambda r: r.readline(), b"one\n", id="readline"),
    pytest.param(lambda r: r.readline(2), b"on", id="readline-size"),
    pytest.param(lambda r: r.read(3), b"one", id="read"),
    pytest.param(lambda r: r.read1(), b"one\ntwo\n", id="read1"),
    pytest.param(lambda r: r.readexactly(3), b"one", id="readexactly"),
    pytest.param(lambda r: r.readuntil(b"e"), b"one", id="readuntil"),
    pytest.param(lambda r: r.__anext__(), b"one\n", id="anext"),
]


@pytest.mark.parametrize(("read", "result"), READING)
async def test_what_receives_is_a_checkpoint(files: Files, read: Read, result: bytes) -> None:
    files.client.sendall(b"one\ntwo\n")
    with trio.testing.assert_checkpoints():
        assert await read(files.rfile) == result


@pytest.mark.parametrize(("read", "result"), READING)
async def test_cancelled_nothing_is_taken(files: Files, read: Read, result: bytes) -> None:
    files.client.sendall(b"zero\none\ntwo\n")
    assert await files.rfile.readline() == b"zero\n"
    with trio.CancelScope() as scope:
        scope.cancel()
        await read(files.rfile)
    assert scope.cancelled_caught
    assert await read(files.rfile) == result


@pytest.mark.parametrize(("read", "result"), READING)
async def test_the_buffer_does_not_keep_others_waiting(
    files: Files, read: Read, result: bytes
) -> None:
    files.client.sendall(b"one\ntwo\n" * 2)
    await files.rfile.readline(1)
    files.rfile._in_a_row = GIVES_WAY_AFTER
    with trio.testing.assert_checkpoints():
        await read(files.rfile)


async def test_who_reads_many_lines_gives_way_now_and_then(files: Files) -> None:
    files.client.sendall(b"\n" * 10 * GIVES_WAY_AFTER)
    turns = 0
    reading = True

    async def count() -> None:
        nonlocal turns
        while reading:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count)
        for _ in range(10 * GIVES_WAY_AFTER):
            await files.rfile.readline()
        reading = False
    assert turns >= 9


async def test_writing_is_a_checkpoint(files: Files) -> None:
    with trio.testing.assert_checkpoints():
        assert await files.wfile.write(b"one") == 3
    with trio.CancelScope() as scope:
        scope.cancel()
        await files.wfile.write(b"two")
    assert scope.cancelled_caught
    assert files.client.recv(100) == b"one"


async def test_flushing_can_be_cancelled(files: Files) -> None:
    await files.wfile.flush()
    with trio.CancelScope() as scope:
        scope.cancel()
        await files.wfile.flush()
    assert scope.cancelled_caught


async def test_with_a_buffer_what_is_written_leaves_when_it_is_full(files: Files) -> None:
    _, wfile = awaited(files.rfile._request._sock).async_files(4)
    await wfile.write(b"abc")
    await wfile.write(b"de")
    assert files.client.recv(100) == b"abcde"
    await wfile.write(b"f")
    await wfile.flush()
    assert files.client.recv(100) == b"f"


async def test_lines_come_in_any_pieces(files: Files) -> None:
    lines: list[bytes] = []

    async def read() -> None:
        lines.extend([line async for line in files.rfile])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        for piece in (b"o", b"ne\ntw", b"o\n", b"thr", b"ee"):
            await trio.testing.wait_all_tasks_blocked()
            files.client.sendall(piece)
        await trio.testing.wait_all_tasks_blocked()
        files.client.shutdown(socket.SHUT_WR)
    assert lines == [b"one\n", b"two\n", b"three"]
    assert await files.rfile.readline() == b""


async def test_errors_are_those_of_the_core(files: Files) -> None:
    files.client.sendall(b"x" * 100)
    files.client.shutdown(socket.SHUT_WR)
    files.rfile._buffer._limit = 10
    with pytest.raises(LineTooLong):
        await files.rfile.readline()
    with pytest.raises(IncompleteRead):
        await files.rfile.readexactly(101)
