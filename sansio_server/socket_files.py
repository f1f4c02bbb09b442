"""``makefile()`` and ``sendfile()`` for what has the methods of a socket and is none."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, BinaryIO, Final

__all__ = ["SocketFiles", "open_file", "send_file"]

_BLOCK: Final = 65536


class SocketFiles:
    """``makefile()`` and ``sendfile()`` for classes that have ``sendall()`` and ``_raw_file()``."""

    sendall: Any

    def makefile(
        self,
        mode: str = "r",
        buffering: int | None = None,
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> Any:
        """Return a file that reads or writes this, as sockets do.

        :raises ValueError: *mode* has other letters than r, w and b, or text is not to be buffered.
        """
        return open_file(self._raw_file, mode, buffering, encoding, errors, newline)

    def sendfile(self, file: BinaryIO, offset: int = 0, count: int | None = None) -> int:
        """Send a file from *offset* on, *count* bytes of it or all; return how many that is.

        :raises ValueError: *count* is not positive, or the file is one of text.
        """
        return send_file(self.sendall, file, offset, count)

    def _raw_file(self, reading: bool, writing: bool) -> io.RawIOBase:
        """Return a file without a buffer that reads or writes this, or both."""
        raise NotImplementedError


def open_file(
    open_raw: Callable[[bool, bool], io.RawIOBase],
    mode: str = "r",
    buffering: int | None = None,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
) -> Any:
    """Return a file as ``socket.makefile()`` makes it.

    Call this when a handler asks a request for a file. The arguments are those of ``makefile()``.

    :param open_raw: given whether to read and whether to write, returns the raw file.
    :raises ValueError: *mode* has other letters than r, w and b, or text is not to be buffered.
    """
    if not set(mode) <= set("rwb"):
        raise ValueError(f"mode must be made of r, w and b, not {mode!r}")
    if buffering == 0 and "b" not in mode:
        raise ValueError("a file of text must be buffered")
    writing = "w" in mode
    reading = "r" in mode or not writing
    raw: Any = open_raw(reading, writing)
    if buffering == 0:
        return raw
    size = io.DEFAULT_BUFFER_SIZE if buffering is None or buffering < 0 else buffering
    buffer: Any
    if reading and writing:
        buffer = io.BufferedRWPair(raw, raw, size)
    elif reading:
        buffer = io.BufferedReader(raw, size)
    else:
        buffer = io.BufferedWriter(raw, size)
    if "b" in mode:
        return buffer
    text = io.TextIOWrapper(buffer, encoding, errors, newline)
    text.mode = mode  # type: ignore[misc]  # as sockets do it
    return text


def send_file(
    sendall: Callable[[bytes], object], file: BinaryIO, offset: int = 0, count: int | None = None
) -> int:
    """Send a file as ``socket.sendfile()`` does; return how many bytes that was.

    Call this when a handler has a request send a file.

    :param sendall: sends bytes, and returns when they are sent.
    :param offset: the byte to begin with.
    :param count: how many bytes to send at most; None for all that follow.
    :raises ValueError: *count* is not positive, or the file is one of text.
    """
    if count is not None and count <= 0:
        raise ValueError(f"count must be 1 byte or more, not {count!r}")
    if "b" not in getattr(file, "mode", "b"):
        raise ValueError("a file to be sent must be binary")
    if offset or _has_position(file):
        file.seek(offset)
    total = 0
    while count is None or total < count:
        data = file.read(_BLOCK if count is None else min(_BLOCK, count - total))
        if not data:
            break
        sendall(data)
        total += len(data)
    return total


def _has_position(file: Any) -> bool:
    """Say whether *file* is one that the system would send, from where it is told to begin."""
    try:
        return bool(file.seekable() and file.fileno() >= 0)
    except (AttributeError, OSError):
        return False
