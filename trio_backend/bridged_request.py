"""A request for blocking handlers that do not run where they could block."""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from sansio_server.deferred import is_awaitable
from sansio_server.socket_files import SocketFiles

if TYPE_CHECKING:
    from typing_extensions import Buffer

_Self = TypeVar("_Self", bound="BridgedRequest")

__all__ = ["BridgedRequest"]


def _given(flags: int) -> tuple[int, ...]:
    """Return *flags* as arguments: streams that are no sockets know none."""
    return (flags,) if flags else ()


class BridgedRequest(SocketFiles):
    """A request as a blocking handler has it whose waiting a task does: a socket by its methods.

    :param request: the same request, as an asynchronous handler has it.
    :param inner: what the request is of; its other methods can be had from this.
    :param wait_for: waits for an awaitable, and returns its result.
    """

    def __init__(self, request: Any, inner: Any, wait_for: Callable[[Awaitable[Any]], Any]) -> None:
        self._request = request
        self._inner = inner
        self._wait_for = wait_for
        self._files = 0
        self._closed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._inner!r}>"

    def __getstate__(self) -> Any:
        raise TypeError(f"a {type(self).__name__} can be neither copied nor pickled")

    def __enter__(self: _Self) -> _Self:  # noqa: PYI019 - typing.Self came with Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        if not self._closed:
            self.close()

    @property
    def awaitable(self) -> Any:
        """The same request, as an asynchronous handler has it."""
        return self._request

    @property
    def timeout(self) -> float | None:
        """What :meth:`settimeout` was told."""
        return self.gettimeout()

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

    def getblocking(self) -> bool:
        """Say whether operations wait."""
        return self.gettimeout() != 0

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Wait for up to *size* bytes; none at the end of the stream."""
        data: bytes = self._wait_for(self._request.recv(size, *_given(flags)))
        return data

    def recv_into(self, buffer: Buffer, nbytes: int = 0, flags: int = 0) -> int:
        """Wait for bytes, put them into *buffer*, return how many came."""
        count: int = self._wait_for(self._request.recv_into(buffer, nbytes, *_given(flags)))
        return count

    def _recv_into_for_file(self, buffer: Buffer) -> int:
        own = getattr(self._request, "recv_into_for_file", None)
        if own is None:
            return self.recv_into(buffer)
        count: int = self._wait_for(own(buffer))
        return count

    def recvfrom(self, size: int, flags: int = 0, /) -> tuple[bytes, Any]:
        """Wait for up to *size* bytes; return them and whom they are from."""
        came: tuple[bytes, Any] = self._wait_for(self._request.recvfrom(size, flags))
        return came

    def recvfrom_into(self, buffer: Buffer, nbytes: int = 0, flags: int = 0) -> tuple[int, Any]:
        """Wait for bytes, put them into *buffer*, return how many and whom they are from."""
        came: tuple[int, Any] = self._wait_for(self._request.recvfrom_into(buffer, nbytes, flags))
        return came

    def recvmsg(self, size: int, ancillary: int = 0, flags: int = 0, /) -> Any:
        """Wait for up to *size* bytes and *ancillary* bytes beside them; return what sockets do."""
        return self._wait_for(self._request.recvmsg(size, ancillary, flags))

    def recvmsg_into(self, buffers: Iterable[Buffer], ancillary: int = 0, flags: int = 0, /) -> Any:
        """Wait for bytes, put them into *buffers*, return what sockets do."""
        return self._wait_for(self._request.recvmsg_into(buffers, ancillary, flags))

    def send(self, data: Buffer, flags: int = 0, /) -> int:
        """Send some of *data*; return how many bytes that is."""
        count: int = self._wait_for(self._request.send(data, *_given(flags)))
        return count

    def sendmsg(
        self,
        buffers: Iterable[Buffer],
        ancillary: Iterable[Any] = (),
        flags: int = 0,
        address: Any = None,
        /,
    ) -> int:
        """Send some of *buffers*, and *ancillary* data beside them; return how many bytes."""
        count: int = self._wait_for(self._request.sendmsg(buffers, ancillary, flags, address))
        return count

    def sendall(self, data: Buffer, flags: int = 0, /) -> None:
        """Send all of *data*."""
        self._wait_for(self._request.sendall(data, *_given(flags)))

    def sendto(self, data: Buffer, *where: Any) -> int:
        """Send *data* as a datagram."""
        count: int = self._wait_for(self._request.sendto(data, *where))
        return count

    def send_reply(self, data: Buffer, address: Any, /) -> None:
        """Send *data* as the last thing that a handler of a datagram does."""
        rest = self._request.send_reply(data, address)
        if rest is not None:
            self._wait_for(rest)

    def _raw_file(self, reading: bool, writing: bool) -> _RequestIO:
        return _RequestIO(self, reading, writing)

    def shutdown(self, how: int, /) -> None:
        """End the connection in one direction or in both."""
        result = self._inner.shutdown(how)
        if is_awaitable(result):
            self._wait_for(result)

    def close(self) -> None:
        """Close the connection before the server does, as soon as no file of it is open."""
        self._closed = True
        if self._files == 0:
            self._wait_for(self._request.aclose())

    def _file_opened(self) -> None:
        self._files += 1

    def _file_closed(self) -> None:
        self._files -= 1
        if self._closed and self._files == 0:
            with suppress(OSError, RuntimeError):  # collected in the middle of something else
                self._wait_for(self._request.aclose())


class _RequestIO(io.RawIOBase):
    """A request as a raw file."""

    def __init__(self, request: BridgedRequest, reading: bool, writing: bool) -> None:
        request._file_opened()
        self._request = request
        self._reading = reading
        self._writing = writing
        self._timed_out = False

    @property
    def name(self) -> int:
        """The descriptor, as sockets' files have it; -1 if this is closed."""
        return -1 if self.closed else self.fileno()

    @property
    def mode(self) -> str:
        """What it was opened for."""
        return "r" * self._reading + "w" * self._writing + "b"

    def readable(self) -> bool:
        return self._reading

    def writable(self) -> bool:
        return self._writing

    def readinto(self, buffer: Buffer, /) -> int | None:
        if self._timed_out:  # something may have been lost: sockets' files refuse, too
            raise OSError("cannot read from timed out object")
        try:
            return self._request._recv_into_for_file(buffer)
        except BlockingIOError:
            return None
        except TimeoutError:
            self._timed_out = True
            raise

    def write(self, data: Buffer, /) -> int | None:
        try:
            return self._request.send(data)
        except BlockingIOError:
            return None

    def fileno(self) -> int:
        return int(self._request.fileno())

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._request._file_closed()
