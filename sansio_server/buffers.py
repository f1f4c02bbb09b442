"""Bounded buffers without I/O: bytes go in as they come, lines and blocks come out.

Shared by the asynchronous ``rfile`` of every backend. No answer yet is None, not an exception.
"""

from __future__ import annotations

from typing import Final

from .exceptions import LineTooLong

__all__ = ["DEFAULT_LIMIT", "ReadBuffer"]

#: The most bytes a delimiter may be away, unless said otherwise: 64 KiB, as in asyncio's streams
#: and twice the line length that http.server allows.
DEFAULT_LIMIT: Final = 65536


class ReadBuffer:
    """Bytes that came and were not yet taken.

    Call :meth:`feed` with bytes that came, :meth:`feed_eof` at the end of the stream, and the
    ``take_…`` methods for what you want; each returns None until that has come.

    Bytes are kept as they came, and copied once when they are taken, or not at all if they are
    taken as a whole. They are joined only if some are left when more come.

    :param limit: the most bytes a delimiter may be away.
    :ivar left: how many bytes came and were not yet taken.
    :ivar eof: whether no more bytes will come.
    """

    __slots__ = ("_data", "_delimiter", "_limit", "_searched", "_start", "eof", "left")

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        if limit < 1:
            raise ValueError(f"limit must be 1 byte or more, not {limit!r}")
        self._limit = limit
        self._data: bytes | bytearray = b""
        self._start = 0  # of what was not yet taken
        self.left = 0
        self._delimiter = b""
        self._searched = 0
        self.eof = False

    def __len__(self) -> int:
        return self.left

    @property
    def at_eof(self) -> bool:
        """Whether all bytes have come and all have been taken."""
        return self.eof and not self.left

    def feed(self, data: bytes) -> None:
        """Add bytes that came."""
        kept, start = self._data, self._start
        if not self.left:
            self._data = data
        elif isinstance(kept, bytes):
            self._data = bytearray().join((memoryview(kept)[start:], data))
        else:
            del kept[:start]
            kept += data
        self._start = 0
        self.left += len(data)

    def feed_line(self, data: bytes) -> bytes | None:
        """Add bytes that came; take a line, as :meth:`take_line` without a size does."""
        if not self.left:
            end = data.find(b"\n", 0, self._limit) + 1
            if end == len(data) > 0:
                return data  # as most often: a client sends a line, and waits for its answer
            if end:
                self._data, self._start, self.left = data, end, len(data) - end
                return data[:end]
        self.feed(data)
        return self.take_line()

    def feed_eof(self) -> None:
        """Note that no more bytes will come."""
        self.eof = True

    def take(self, most: int = -1) -> bytes:
        """Take up to *most* bytes, or all there are if *most* is negative."""
        size = self.left if most < 0 else min(most, self.left)
        return self._cut(size)

    def take_exactly(self, size: int) -> bytes | None:
        """Take *size* bytes, or None while there are fewer."""
        if size < 0:
            raise ValueError(f"size must be 0 bytes or more, not {size!r}")
        return self._cut(size) if self.left >= size else None

    def take_until(self, delimiter: bytes) -> bytes | None:
        """Take all up to *delimiter* and that too, or None while it has not come.

        :raises LineTooLong: it did not come within the limit; nothing has been taken.
        """
        if not delimiter:
            raise ValueError("delimiter must not be empty")
        end = self._find(delimiter, self._limit)
        if end >= 0:
            return self._cut(end)
        if self.left >= self._limit:
            raise LineTooLong(self._limit)
        return None

    def take_line(self, most: int = -1) -> bytes | None:
        r"""Take a line with its ``\n``, or None while there is none.

        At the end of the stream what is left is the last line. A line longer than *most* bytes is
        returned in pieces of that length, as :meth:`io.IOBase.readline` does; if *most* is
        negative, the limit of the buffer counts.

        :raises LineTooLong: *most* is negative and the line longer than the limit.
        """
        if most < 0 and type(self._data) is bytes and not self._searched:
            # As most often: nothing but lines is read, and this one is there.
            data, start = self._data, self._start
            end = data.find(b"\n", start, start + self._limit) + 1
            if end > 0:
                self.left -= end - start
                if self.left:
                    self._start = end
                else:
                    self._data, self._start = b"", 0
                return data[start:end]
            self._delimiter = b"\n"
            self._searched = min(self.left, self._limit)
        if most == 0:
            return b""
        end = self._find(b"\n", most if most > 0 else self._limit)
        if end >= 0:
            return self._cut(end)
        if most > 0 and self.left >= most:
            return self._cut(most)
        if most < 0 and self.left >= self._limit:
            raise LineTooLong(self._limit)
        if self.eof:
            return self._cut(self.left)
        return None

    def _find(self, delimiter: bytes, limit: int) -> int:
        """Return where the first *delimiter* ends, or -1; no byte is searched twice for it."""
        if delimiter != self._delimiter:
            self._delimiter = delimiter
            self._searched = 0
        first = self._start
        start = first + max(0, self._searched - len(delimiter) + 1)
        found = self._data.find(delimiter, start, first + limit)
        if found < 0:
            self._searched = min(self.left, limit)
            return -1
        return found + len(delimiter) - first

    def _cut(self, size: int) -> bytes:
        data, start = self._data, self._start
        end = start + size
        self._searched = 0
        self.left -= size
        if self.left:
            self._start = end
        else:
            self._data, self._start = b"", 0
        if isinstance(data, bytes):
            return data[start:end]
        with memoryview(data) as view:
            return bytes(view[start:end])
