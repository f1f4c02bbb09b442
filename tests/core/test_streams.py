"""The asynchronous files, over a request whose bytes come in given pieces."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import pytest

from sansio_server.driver import run_blocking
from sansio_server.exceptions import IncompleteRead, LineTooLong
from sansio_server.streams import AsyncReader, AsyncWriter, open_files

from .memory import Pause, T, run_suspending


class Peer:
    """A request: the pieces are what each `recv` returns, then nothing."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)
        self.received = 0
        self.sent: list[bytes] = []

    async def recv(self, size: int) -> bytes:
        self.received += 1
        piece = self.pieces.pop(0) if self.pieces else b""
        assert len(piece) <= size
        return piece

    async def sendall(self, data: bytes) -> None:
        self.sent.append(bytes(data))


def result(coroutine: Coroutine[Any, Any, T]) -> T:
    return run_blocking(coroutine)


def test_files_are_opened_for_any_request() -> None:
    peer = Peer(b"abc\n")
    reader, writer = open_files(peer, 2)
    assert result(reader.readline()) == b"abc\n"
    result(writer.write(b"d"))
    assert peer.sent == []
    result(writer.write(b"e"))
    assert peer.sent == [b"de"]
    reader.close()


def test_a_request_may_have_files_of_its_own() -> None:
    class Own(Peer):
        def async_files(self, size: int) -> tuple[AsyncReader, AsyncWriter]:
            return AsyncReader(self, limit=size), AsyncWriter(self, size + 1)

    reader, writer = open_files(Own(b"abc\n"), 2)
    with pytest.raises(LineTooLong):
        result(reader.readline())
    assert writer._size == 3


# Reading.


@pytest.mark.parametrize("size", [-1, 6, 7])
def test_read_waits_for_all_or_the_end(size: int) -> None:
    assert result(AsyncReader(Peer(b"ab", b"cd", b"ef")).read(size)) == b"abcdef"


def test_read_waits_for_no_more_than_it_needs() -> None:
    peer = Peer(b"ab", b"cd", b"ef")
    reader = AsyncReader(peer)
    assert result(reader.read(3)) == b"abc"
    assert peer.received == 2
    assert result(reader.read(1)) == b"d"
    assert peer.received == 2


def test_read1_waits_for_something() -> None:
    reader = AsyncReader(Peer(b"ab", b"cd"))
    assert result(reader.read1(1)) == b"a"
    assert result(reader.read1()) == b"b"
    assert result(reader.read1(9)) == b"cd"
    assert result(reader.read1()) == b""
    assert result(reader.read1()) == b""


def test_no_bytes_are_not_waited_for() -> None:
    peer = Peer()
    reader = AsyncReader(peer)
    assert [result(reader.read(0)), result(reader.read1(0)), result(reader.readline(0))] == [
        b""
    ] * 3
    assert result(reader.readexactly(0)) == b""
    assert peer.received == 0


def test_nothing_is_asked_of_a_stream_that_has_ended() -> None:
    peer = Peer()
    reader = AsyncReader(peer)
    assert result(reader.read()) == b""
    assert result(reader.read()) == b""
    assert result(reader.readline()) == b""
    assert peer.received == 1


def test_readexactly_waits_for_all() -> None:
    reader = AsyncReader(Peer(b"ab", b"cd"))
    assert result(reader.readexactly(3)) == b"abc"


def test_readexactly_says_what_was_there_when_the_stream_ended() -> None:
    reader = AsyncReader(Peer(b"ab"))
    with pytest.raises(IncompleteRead) as caught:
        result(reader.readexactly(3))
    assert (caught.value.partial, caught.value.expected) == (b"ab", 3)


def test_readexactly_takes_no_negative_size() -> None:
    with pytest.raises(ValueError, match="-1"):
        result(AsyncReader(Peer()).readexactly(-1))


def test_readline_gives_lines_and_what_is_left() -> None:
    reader = AsyncReader(Peer(b"on", b"e\ntw", b"o\nth", b"ree"))
    lines = [result(reader.readline()) for _ in range(4)]
    assert lines == [b"one\n", b"two\n", b"three", b""]


def test_readline_gives_pieces_of_a_given_size() -> None:
    reader = AsyncReader(Peer(b"abcdef\n"), limit=2)
    assert [result(reader.readline(4)), result(reader.readline(4))] == [b"abcd", b"ef\n"]


def test_readline_refuses_a_line_beyond_the_limit() -> None:
    with pytest.raises(LineTooLong):
        result(AsyncReader(Peer(b"abc", b"de\n"), limit=4).readline())


def test_readuntil_gives_what_a_delimiter_ends() -> None:
    reader = AsyncReader(Peer(b"a-", b"-b\n"))
    assert result(reader.readuntil(b"--")) == b"a--"
    assert result(reader.readuntil()) == b"b\n"


def test_readuntil_says_what_was_there_when_the_stream_ended() -> None:
    with pytest.raises(IncompleteRead) as caught:
        result(AsyncReader(Peer(b"ab")).readuntil(b"\n"))
    assert (caught.value.partial, caught.value.expected) == (b"ab", None)


def test_readuntil_refuses_what_is_beyond_the_limit() -> None:
    with pytest.raises(LineTooLong):
        result(AsyncReader(Peer(b"abcde\0"), limit=4).readuntil(b"\0"))


def test_a_reader_can_be_iterated_over() -> None:
    async def lines() -> list[bytes]:
        return [line async for line in AsyncReader(Peer(b"one\ntw", b"o"))]

    assert result(lines()) == [b"one\n", b"two"]


def test_a_reader_waits_as_often_as_its_request_does() -> None:
    class Slow(Peer):
        async def recv(self, size: int) -> bytes:
            await Pause()
            return await super().recv(size)

    assert run_suspending(AsyncReader(Slow(b"a", b"b\n")).readline()) == (b"ab\n", 2)


# Writing.


def test_a_writer_without_a_buffer_sends_at_once() -> None:
    peer = Peer()
    writer = AsyncWriter(peer)
    assert result(writer.write(b"abc")) == 3
    assert peer.sent == [b"abc"]
    result(writer.flush())
    assert peer.sent == [b"abc"]


def test_a_writer_with_a_buffer_gathers() -> None:
    peer = Peer()
    writer = AsyncWriter(peer, 4)
    assert result(writer.write(b"abc")) == 3
    assert (peer.sent, writer.unsent()) == ([], True)
    assert result(writer.write(b"de")) == 2
    assert (peer.sent, writer.unsent()) == ([b"abcde"], False)
    result(writer.write(b"f"))
    result(writer.flush())
    result(writer.flush())
    assert peer.sent == [b"abcde", b"f"]


@pytest.mark.parametrize(("more", "sent"), [(b"", []), (b"y", [b"x" * 8191 + b"y"])])
def test_the_default_buffer_is_that_of_files(more: bytes, sent: list[bytes]) -> None:
    peer = Peer()
    writer = AsyncWriter(peer, -1)
    result(writer.write(b"x" * 8191))
    result(writer.write(more))
    assert peer.sent == sent


def test_lines_are_written_one_after_the_other() -> None:
    peer = Peer()
    result(AsyncWriter(peer).writelines([b"a\n", b"b\n"]))
    assert peer.sent == [b"a\n", b"b\n"]


def test_what_could_not_be_sent_is_not_sent_again() -> None:
    class Gone(Peer):
        async def sendall(self, data: bytes) -> None:
            await super().sendall(data)
            raise BrokenPipeError

    peer = Gone()
    writer = AsyncWriter(peer, 4)
    with pytest.raises(BrokenPipeError):
        result(writer.write(b"abcd"))
    result(writer.flush())
    assert peer.sent == [b"abcd"]
