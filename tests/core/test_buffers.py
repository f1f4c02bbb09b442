"""Bytes go in in any pieces; what comes out does not depend on the pieces."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansio_server.buffers import DEFAULT_LIMIT, ReadBuffer
from sansio_server.exceptions import LineTooLong


def fed(data: bytes, *, limit: int = DEFAULT_LIMIT, eof: bool = False) -> ReadBuffer:
    buffer = ReadBuffer(limit)
    buffer.feed(data)
    if eof:
        buffer.feed_eof()
    return buffer


def test_what_was_fed_is_counted_until_it_is_taken() -> None:
    buffer = fed(b"abc")
    assert len(buffer) == 3
    assert buffer.take(2) == b"ab"
    assert len(buffer) == 1


def test_the_end_is_reached_when_all_has_come_and_all_was_taken() -> None:
    buffer = fed(b"abc")
    assert (buffer.eof, buffer.at_eof) == (False, False)
    buffer.feed_eof()
    assert (buffer.eof, buffer.at_eof) == (True, False)
    assert buffer.take() == b"abc"
    assert (buffer.eof, buffer.at_eof) == (True, True)


@pytest.mark.parametrize(("most", "taken"), [(-1, b"abc"), (0, b""), (2, b"ab"), (9, b"abc")])
def test_take_gives_up_to_so_many(most: int, taken: bytes) -> None:
    assert fed(b"abc").take(most) == taken


def test_exactly_so_many_or_none() -> None:
    buffer = fed(b"abc")
    assert buffer.take_exactly(4) is None
    assert buffer.take_exactly(3) == b"abc"
    assert buffer.take_exactly(0) == b""


def test_fewer_than_none_cannot_be_taken() -> None:
    with pytest.raises(ValueError, match="-1"):
        fed(b"abc").take_exactly(-1)


def test_a_limit_lets_something_through() -> None:
    with pytest.raises(ValueError, match="not 0"):
        ReadBuffer(0)


# Delimiters.


def test_up_to_a_delimiter_or_none() -> None:
    buffer = fed(b"ab")
    assert buffer.take_until(b"--") is None
    buffer.feed(b"-")
    assert buffer.take_until(b"--") is None
    buffer.feed(b"-c--")
    assert buffer.take_until(b"--") == b"ab--"
    assert buffer.take_until(b"--") == b"c--"
    assert buffer.take_until(b"--") is None


def test_a_delimiter_may_change_from_one_search_to_the_next() -> None:
    buffer = fed(b"a;b\nc")
    assert buffer.take_until(b"::") is None
    assert buffer.take_until(b";") == b"a;"
    assert buffer.take_until(b"\n") == b"b\n"


def test_a_delimiter_may_be_a_part_of_one_looked_for_before() -> None:
    buffer = fed(b"a\nb")
    assert buffer.take_until(b"\r\n") is None
    assert buffer.take_until(b"\n") == b"a\n"


def test_a_delimiter_has_a_byte_at_least() -> None:
    with pytest.raises(ValueError, match="empty"):
        fed(b"abc").take_until(b"")


def test_a_delimiter_may_end_at_the_limit() -> None:
    assert fed(b"abc\ndef", limit=4).take_until(b"\n") == b"abc\n"


def test_a_delimiter_beyond_the_limit_is_an_error_and_nothing_is_lost() -> None:
    buffer = fed(b"abcd\n", limit=4)
    with pytest.raises(LineTooLong) as caught:
        buffer.take_until(b"\n")
    assert caught.value.limit == 4
    assert buffer.take() == b"abcd\n"


def test_below_the_limit_a_delimiter_may_still_come() -> None:
    assert fed(b"abc", limit=4).take_until(b"\n") is None


# Lines.


def test_a_line_ends_with_its_end() -> None:
    buffer = fed(b"one\ntwo\n")
    assert (buffer.take_line(), buffer.take_line(), buffer.take_line()) == (
        b"one\n",
        b"two\n",
        None,
    )


def test_the_last_line_may_lack_its_end() -> None:
    buffer = fed(b"one\ntwo", eof=True)
    lines = [buffer.take_line() for _ in range(4)]
    assert lines == [b"one\n", b"two", b"", b""]


def test_no_bytes_of_a_line_are_no_bytes() -> None:
    assert fed(b"one\n").take_line(0) == b""


def test_a_long_line_comes_in_pieces_if_a_size_was_given() -> None:
    buffer = fed(b"abcdef\n")
    assert [buffer.take_line(4), buffer.take_line(4), buffer.take_line(4)] == [
        b"abcd",
        b"ef\n",
        None,
    ]


def test_a_piece_may_be_longer_than_the_limit() -> None:
    buffer = fed(b"abcdef\n", limit=2)
    assert buffer.take_line(6) == b"abcdef"


def test_a_long_line_is_an_error_otherwise() -> None:
    buffer = fed(b"abcd\n", limit=4)
    with pytest.raises(LineTooLong):
        buffer.take_line()
    assert len(buffer) == 5


def test_a_line_that_has_not_ended_is_waited_for() -> None:
    assert fed(b"abc", limit=4).take_line() is None
    assert fed(b"abc").take_line(4) is None


def test_sizes_may_change_while_a_line_is_waited_for() -> None:
    buffer = fed(b"abcdef")
    assert buffer.take_line() is None
    assert buffer.take_line(9) is None
    buffer.feed(b"\n")
    assert buffer.take_line(9) == b"abcdef\n"


PIECES = st.lists(st.binary(max_size=5).map(lambda b: b.replace(b"\0", b"\n")), max_size=20)
SIZES = st.lists(st.integers(-1, 6), min_size=1, max_size=40)


@given(PIECES, SIZES)
def test_lines_are_those_of_a_file_whatever_the_pieces(
    pieces: list[bytes], sizes: list[int]
) -> None:
    buffer = ReadBuffer()
    file = io.BytesIO(b"".join(pieces))
    for size in sizes:
        while (line := buffer.take_line(size)) is None:
            if pieces:
                buffer.feed(pieces.pop(0))
            else:
                buffer.feed_eof()
        assert line == file.readline(size)


@given(
    st.lists(st.text("ab", max_size=3).map(str.encode), max_size=30),
    st.sampled_from([b"a", b"ab", b"aab", b"abab"]),
)
def test_a_delimiter_is_found_across_pieces(pieces: list[bytes], delimiter: bytes) -> None:
    buffer = ReadBuffer()
    found = []
    for piece in pieces:
        buffer.feed(piece)
        while (record := buffer.take_until(delimiter)) is not None:
            found.append(record)
    *records, rest = b"".join(pieces).split(delimiter)
    assert found == [record + delimiter for record in records]
    assert buffer.take() == rest


def test_waiting_for_a_long_line_searches_no_byte_twice() -> None:
    class Counting(bytearray):
        searched = 0

        def find(self, sub: bytes, start: int, end: int) -> int:  # type: ignore[override]
            self.searched += max(0, min(len(self), end) - start)
            return super().find(sub, start, end)

    buffer = ReadBuffer()
    buffer._data = data = Counting(b"x")
    buffer.left = 1
    for _ in range(999):
        buffer.feed(b"x")
        assert buffer.take_line() is None
    assert data.searched == 1000


def test_what_is_taken_whole_is_not_copied() -> None:
    came = b"a line\n"
    buffer = fed(came)
    assert buffer.take_line() is came
    buffer.feed(came)
    assert buffer.take() is came


def test_nothing_that_was_taken_is_held() -> None:
    buffer = fed(b"one\ntwo\n")
    assert (buffer.take_line(), buffer.take_line()) == (b"one\n", b"two\n")
    assert buffer._data == b""


@pytest.mark.parametrize(
    ("data", "line", "rest"),
    [
        (b"one\n", b"one\n", b""),
        (b"one\ntwo\n", b"one\n", b"two\n"),
        (b"\n", b"\n", b""),
        (b"one", None, b"one"),
    ],
)
def test_a_line_is_taken_of_what_has_just_come(
    data: bytes, line: bytes | None, rest: bytes
) -> None:
    buffer = ReadBuffer()
    assert buffer.feed_line(data) == line
    assert buffer.left == len(rest)
    assert buffer.feed_line(b"more\n") == (rest + b"more\n").splitlines(keepends=True)[0]


def test_a_line_that_comes_at_once_is_no_longer_than_the_limit() -> None:
    with pytest.raises(LineTooLong):
        ReadBuffer(4).feed_line(b"four\n")
    assert ReadBuffer(4).feed_line(b"abc\n") == b"abc\n"


@given(PIECES)
def test_lines_taken_of_what_comes_are_those_of_a_file(pieces: list[bytes]) -> None:
    buffer = ReadBuffer()
    lines = []
    for piece in pieces:
        line = buffer.feed_line(piece)
        while line is not None:
            lines.append(line)
            line = buffer.take_line()
    lines.append(buffer.take())
    assert [line for line in lines if line] == io.BytesIO(b"".join(pieces)).readlines()
