"""Files of what has the methods of a socket, held to those of sockets where that can be."""

from __future__ import annotations

import io
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sansio_server.socket_files import SocketFiles, open_file, send_file


class Raw(io.RawIOBase):
    """What is read is "read\\n", once; what is written is kept."""

    def __init__(self, reading: bool, writing: bool) -> None:
        self.directions = (reading, writing)
        self.kept = bytearray()
        self._left = b"read\n"

    def readable(self) -> bool:
        return self.directions[0]

    def writable(self) -> bool:
        return self.directions[1]

    def readinto(self, buffer: Any, /) -> int:
        data, self._left = self._left, b""
        buffer[: len(data)] = data
        return len(data)

    def write(self, data: Any, /) -> int:
        self.kept += data
        return len(data)


Opened = Callable[..., tuple[Any, Raw]]


@pytest.fixture
def opened() -> Opened:
    made: list[Raw] = []

    def open_raw(reading: bool, writing: bool) -> Raw:
        made.append(Raw(reading, writing))
        return made[-1]

    def with_raw(*arguments: Any) -> tuple[Any, Raw]:
        return open_file(open_raw, *arguments), made[-1]

    return with_raw


@pytest.mark.parametrize("buffering", [None, -1, 0, 1, 100])
@pytest.mark.parametrize("mode", ["r", "w", "rw", "rb", "wb", "rwb", "b", ""])
def test_they_are_of_the_types_that_sockets_have(
    mode: str, buffering: int | None, opened: Opened
) -> None:
    one, other = socket.socketpair()
    with one, other:
        try:
            theirs = one.makefile(mode, buffering)  # type: ignore[call-overload]
        except ValueError:
            with pytest.raises(ValueError, match="a file of text must be buffered"):
                opened(mode, buffering)
            return
        with theirs:
            ours, raw = opened(mode, buffering)
            if buffering == 0:
                assert ours is raw
            else:
                assert type(ours) is type(theirs)
            directions = theirs.readable(), theirs.writable()
        assert (ours.readable(), ours.writable()) == raw.directions == directions
        if "b" not in mode:
            assert ours.mode == theirs.mode == mode


def test_it_reads_and_writes(opened: Opened) -> None:
    file, raw = opened("rwb")
    assert file.readline() == b"read\n"
    file.write(b"written")
    assert raw.kept == b""
    file.flush()
    assert raw.kept == b"written"


def test_text(opened: Opened) -> None:
    file, raw = opened("w", None, "latin-1", "replace", "\r\n")
    file.write("höh€\n")
    file.flush()
    assert raw.kept == "höh?\r\n".encode("latin-1")


def test_a_mode_that_sockets_do_not_have(opened: Opened) -> None:
    with pytest.raises(ValueError, match="mode must be made of r, w and b, not 'a'"):
        opened("a")


def sent(file: Any, *arguments: Any) -> tuple[int, list[bytes]]:
    pieces: list[bytes] = []
    return send_file(pieces.append, file, *arguments), pieces


def test_a_file_in_memory_is_sent_from_where_it_stands() -> None:
    file = io.BytesIO(b"0123456789")
    file.read(2)
    assert sent(file) == (8, [b"23456789"])
    assert sent(file, 4, 3) == (3, [b"456"])
    assert sent(file, 8, 5) == (2, [b"89"])
    assert sent(io.BytesIO(b"a" * 70_000)) == (70_000, [b"a" * 65_536, b"a" * 4_464])


def test_a_file_of_the_system_is_sent_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    with path.open("rb") as file:
        file.read(2)
        assert sent(file) == (10, [b"0123456789"])


def test_what_is_only_read_will_do() -> None:
    class Pieces:
        left = (b"a", b"bc", b"")

        def read(self, size: int) -> bytes:
            piece, *self.left = self.left  # type: ignore[assignment]
            return piece

    assert sent(Pieces()) == (3, [b"a", b"bc"])


def test_what_cannot_be_sent(tmp_path: Path) -> None:
    for count in (0, -1):
        with pytest.raises(ValueError, match=f"count must be 1 byte or more, not {count}"):
            sent(io.BytesIO(b"a"), 0, count)
    path = tmp_path / "file"
    path.write_text("a")
    with path.open() as text, pytest.raises(ValueError, match="a file to be sent must be binary"):
        sent(text)


class WithFiles(SocketFiles):
    def __init__(self) -> None:
        self.raw: Raw | None = None
        self.sent = b""

    def sendall(self, data: bytes) -> None:
        self.sent += data

    def _raw_file(self, reading: bool, writing: bool) -> Raw:
        self.raw = Raw(reading, writing)
        return self.raw


def test_what_has_files_need_only_open_the_raw_one_and_send() -> None:
    sock = WithFiles()
    assert sock.makefile("rb", 0) is sock.raw
    text = sock.makefile("w", 100, encoding="latin-1", errors="replace", newline="\r\n")
    text.write("höh€\n")
    text.close()
    assert sock.raw is not None
    assert sock.raw.kept == "höh?\r\n".encode("latin-1")
    assert sock.sendfile(io.BytesIO(b"0123456789"), 4, 3) == 3
    assert sock.sent == b"456"


def test_what_opens_no_raw_file_has_none() -> None:
    with pytest.raises(NotImplementedError):
        SocketFiles().makefile()
