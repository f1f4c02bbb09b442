from __future__ import annotations

import io
import socket
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from sansio_server.buffers import DEFAULT_LIMIT
from sansio_server.driver import run_blocking
from sansio_server.exceptions import IncompleteRead, LineTooLong
from sansio_server.streams import AsyncReader, AsyncWriter
from sync_backend.files import BlockingReader, BlockingWriter
from sync_backend.runtime import BlockingRequest


class Ends:
    """Both ends of a connection, and the files of one."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        for end in (self.ours, self.theirs):
            end.settimeout(10)
        self.request = BlockingRequest(self.ours)
        self.rfile, self.wfile = self.request.async_files(0)

    def close(self) -> None:
        self.rfile.close()
        self.ours.close()
        self.theirs.close()


@pytest.fixture
def ends() -> Iterator[Ends]:
    ends = Ends()
    yield ends
    ends.close()


Script = Callable[[AsyncReader], Coroutine[Any, Any, object]]


async def lines(rfile: AsyncReader) -> object:
    return [line async for line in rfile]


async def lines_and_blocks(rfile: AsyncReader) -> object:
    first = await rfile.readline()
    block = await rfile.readexactly(4)
    rest_of_line = await rfile.readline()
    until = await rfile.readuntil(b";")
    return [first, block, rest_of_line, until, await rfile.readline(), await rfile.read()]


async def pieces_of_lines(rfile: AsyncReader) -> object:
    return [await rfile.readline(size) for size in (0, 3, 3, 100, 100, -1)]


async def some(rfile: AsyncReader) -> object:
    return [await rfile.read(2), await rfile.read1(1), await rfile.read(), await rfile.read1()]


async def too_much(rfile: AsyncReader) -> object:
    with pytest.raises(IncompleteRead) as caught:
        await rfile.readexactly(100)
    return [caught.value.partial, await rfile.readline()]


@pytest.mark.parametrize("script", [lines, lines_and_blocks, pieces_of_lines, some, too_much])
def test_they_read_as_the_files_do_that_they_stand_for(ends: Ends, script: Script) -> None:
    ends.theirs.sendall(b"one\ntwo, three\nfour; five\nsix")
    ends.theirs.shutdown(socket.SHUT_WR)
    read = run_blocking(script(ends.rfile))

    with io.BytesIO(b"one\ntwo, three\nfour; five\nsix") as data:

        class Request:
            async def recv(self, size: int, /) -> bytes:
                return data.read(size)

            async def sendall(self, data: bytes, /) -> None:
                raise AssertionError

        assert read == run_blocking(script(AsyncReader(Request())))


def test_a_line_is_returned_as_soon_as_it_has_come(ends: Ends) -> None:
    ends.theirs.sendall(b"one\n")
    assert run_blocking(ends.rfile.readline()) == b"one\n"
    ends.theirs.sendall(b"two")
    assert run_blocking(ends.rfile.read1()) == b"two"


def test_a_line_of_the_greatest_length_is_a_line(ends: Ends) -> None:
    line = b"x" * (DEFAULT_LIMIT - 1) + b"\n"
    ends.theirs.sendall(line + b"rest\n")
    assert run_blocking(ends.rfile.readline()) == line
    assert run_blocking(ends.rfile.readline()) == b"rest\n"


def test_a_longer_line_is_refused_and_may_be_read_in_pieces(ends: Ends) -> None:
    ends.theirs.sendall(b"x" * DEFAULT_LIMIT + b"y\n")
    for _ in range(2):
        with pytest.raises(LineTooLong):
            run_blocking(ends.rfile.readline())
    assert run_blocking(ends.rfile.read(DEFAULT_LIMIT)) == b"x" * DEFAULT_LIMIT
    assert run_blocking(ends.rfile.readline()) == b"y\n"


def test_what_is_written_is_sent_at_once(ends: Ends) -> None:
    assert run_blocking(ends.wfile.write(b"hello")) == 5
    assert ends.theirs.recv(10) == b"hello"


def test_with_a_buffer_it_is_sent_when_enough_has_gathered(ends: Ends) -> None:
    wfile: AsyncWriter = ends.request.async_files(8)[1]
    assert isinstance(wfile, BlockingWriter)
    ends.theirs.setblocking(False)
    assert run_blocking(wfile.write(b"hello")) == 5
    with pytest.raises(BlockingIOError):
        ends.theirs.recv(10)
    run_blocking(wfile.write(b"you"))
    assert ends.theirs.recv(10) == b"helloyou"
    run_blocking(wfile.writelines([b"a", b"b"]))
    run_blocking(wfile.flush())
    assert ends.theirs.recv(10) == b"ab"


def test_the_socket_is_let_go_of(ends: Ends) -> None:
    assert isinstance(ends.rfile, BlockingReader)
    ends.ours.close()
    assert ends.ours.fileno() >= 0  # as long as a file of it is open
    ends.rfile.close()
    assert ends.ours.fileno() == -1
