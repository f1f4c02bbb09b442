"""A request for blocking handlers that do not run where they could block."""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

if TYPE_CHECKING:
    from typing_extensions import Buffer

_Self = TypeVar("_Self", bound="BridgedRequest")

__all__ = ["BridgedRequest"]


def _given(flags: int) -> tuple[int, ...]:
    """Return *flags* as arguments: streams that are no sockets know none."""
    return (flags,) if flags else ()


class BridgedRequest:
    """A request as a blocking handler has it whose waiting a task does: a socket by its methods.

    :param request: the same request, as an asynchronous handler has it.
    :param inner: what the request is of; its other methods can be had from this.
    :param wait_for: waits for an awaitable, and returns its result.
    """

    def __init__(self, request: Any, inner: Any, wait_for: Callable[[Awaitable[Any]], Any]) -> None:
        self._request = request
        self._inner = inner
        self._wait_for = wait_for

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __enter__(self: _Self) -> _Self:  # noqa: PYI019 - typing.Self came with Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def settimeout(self, seconds: float | None) -> None:
        """Let each operation that waits raise TimeoutError after so many *seconds*; None: never."""
        self._request.settimeout(seconds)

    def gettimeout(self) -> float | None:
        """Return what :meth:`settimeout` was told."""
        seconds: float | None = self._request.gettimeout()
        return seconds

    def setblocking(self, flag: bool) -> None:
        """Let operations wait for ever, or not at all."""
        self.settimeout(None if flag else 0.0)

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Wait for up to *size* bytes; none at the end of the stream."""
        data: bytes = self._wait_for(self._request.recv(size, *_given(flags)))
        return data

    def recv_into(self, buffer: Buffer, size: int = 0, flags: int = 0) -> int:
        """Wait for bytes, put them into *buffer*, return how many came."""
        if not hasattr(self._request, "recv_into"):  # a stream of another kind than a socket
            with memoryview(buffer).cast("B") as view:
                data = self.recv(size or len(view), flags)
                view[: len(data)] = data
                return len(data)
        count: int = self._wait_for(self._request.recv_into(buffer, size, flags))
        return count

    def send(self, data: Buffer, flags: int = 0, /) -> int:
        """Send some of *data*; return how many bytes that is."""
        count: int = self._wait_for(self._request.send(data, *_given(flags)))
        return count

    def sendall(self, data: Buffer, flags: int = 0, /) -> None:
        """Send all of *data*."""
        self._wait_for(self._request.sendall(data, *_given(flags)))

    def sendto(self, data: Buffer, *where: Any) -> int:
        """Send *data* as a datagram."""
        count: int = self._wait_for(self._request.sendto(data, *where))
        return count

    def sendfile(self, file: BinaryIO, offset: int = 0, count: int | None = None) -> int:
        """Send a file from *offset* on, *count* bytes of it or all; return how many that is."""
        if offset:
            file.seek(offset)
        total = 0
        while count is None or total < count:
            data = file.read(65536 if count is None else min(65536, count - total))
            if not data:
                break
            self.sendall(data)
            total += len(data)
        return total

    def makefile(
        self,
        mode: str = "r",
        buffering: int | None = None,
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> Any:
        """Return a file that reads or writes this, as sockets do."""
        reading = "r" in mode or "w" not in mode
        raw = _RequestIO(self, reading, "w" in mode)
        size = -1 if buffering is None else buffering
        if size == 0:
            if "b" not in mode:
                raise ValueError("unbuffered streams must be binary")
            return raw
        size = io.DEFAULT_BUFFER_SIZE if size < 0 else size
        buffer: Any
        if reading and "w" in mode:
            buffer = io.BufferedRWPair(raw, raw, size)
        elif reading:
            buffer = io.BufferedReader(raw, size)
        else:
            buffer = io.BufferedWriter(raw, size)
        return buffer if "b" in mode else io.TextIOWrapper(buffer, encoding, errors, newline)

    def close(self) -> None:
        """Close the connection before the server does."""
        self._wait_for(self._request.aclose())


class _RequestIO(io.RawIOBase):
    """A request as a raw file."""

    def __init__(self, request: BridgedRequest, reading: bool, writing: bool) -> None:
        self._request = request
        self._reading = reading
        self._writing = writing

    def readable(self) -> bool:
        return self._reading

    def writable(self) -> bool:
        return self._writing

    def readinto(self, buffer: Buffer, /) -> int:
        return self._request.recv_into(buffer)

    def write(self, data: Buffer, /) -> int:
        return self._request.send(data)

    def fileno(self) -> int:
        return int(self._request.fileno())
