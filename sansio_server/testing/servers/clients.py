"""The clients of a server under test: in a world, and what those on real sockets share."""

from __future__ import annotations

import time
from collections.abc import Callable
from socket import AF_INET, SHUT_WR, SO_LINGER, SOL_SOCKET
from typing import TYPE_CHECKING, Any, TypeVar

from sansio_server.testing.sockets.base import AF_UNIX
from sansio_server.testing.sockets.datagram import DatagramSocket
from sansio_server.testing.sockets.stream import RESET_ON_CLOSE, StreamSocket

if TYPE_CHECKING:
    from sansio_server.testing.world.world import World

__all__ = ["Client", "DatagramClient", "PacketClient", "StreamClient"]

_BLOCK = 65536

_S = TypeVar("_S", bound="_Base")


class _Base:
    """What all clients have."""

    socket: Any

    @property
    def address(self) -> Any:
        """Its own address."""
        return self.socket.getsockname()

    def close(self) -> None:
        """Close the socket. Harmless when done before."""
        self.socket.close()

    def __enter__(self: _S) -> _S:  # noqa: PYI019 - typing.Self came with Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class StreamClient(_Base):
    """A client with a connection, on a socket of any kind.

    A method that waits raises :exc:`TimeoutError` after *timeout* seconds. What has come by then is
    kept for the next call.

    :param socket: with the methods of Python's sockets.
    :param patience: seconds to wait where a method is given no *timeout*; None for any time.
    """

    def __init__(self, socket: Any, patience: float | None = None) -> None:
        #: Its socket.
        self.socket: Any = socket
        self._patience = patience
        self._buffer = bytearray()
        self._ended = False

    def _allow(self, timeout: float | None) -> None:
        self.socket.settimeout(self._patience if timeout is None else timeout)

    def connect(self, address: Any, timeout: float | None = None) -> None:
        """Connect to the server at *address*.

        :raises OSError: nobody listens there.
        """
        self._allow(timeout)
        self.socket.connect(address)

    def send(self, data: bytes, timeout: float | None = None) -> None:
        """Send all of *data*.

        :raises OSError: nobody will receive it.
        """
        self._allow(timeout)
        self.socket.sendall(data)

    def recv(self, size: int = _BLOCK, timeout: float | None = None) -> bytes:
        """Wait for bytes; return at most *size* of what is there; none at the end of the stream.

        :raises OSError: the connection was reset.
        """
        if not self._buffer and not self._ended:
            self._more(self._limit(timeout), size)
        return self._take(size)

    def recv_exactly(self, size: int, timeout: float | None = None) -> bytes:
        """Return *size* bytes, or fewer if the stream ends before.

        :raises OSError: the connection was reset.
        """
        left = self._limit(timeout)
        while len(self._buffer) < size and not self._ended:
            self._more(left)
        return self._take(size)

    def readline(self, timeout: float | None = None) -> bytes:
        """Return what comes up to the next line feed, with that, or to the end of the stream.

        :raises OSError: the connection was reset.
        """
        left = self._limit(timeout)
        while (end := self._buffer.find(b"\n")) < 0 and not self._ended:
            self._more(left)
        return self._take(len(self._buffer) if end < 0 else end + 1)

    def read_to_end(self, timeout: float | None = None) -> bytes:
        """Return all that comes until the server ends the stream.

        :raises OSError: the connection was reset.
        """
        left = self._limit(timeout)
        while not self._ended:
            self._more(left)
        return self._take(len(self._buffer))

    def _limit(self, timeout: float | None) -> Callable[[], float | None]:
        """Return what says how many of *timeout* seconds are left, by the clock of its socket."""
        seconds = self._patience if timeout is None else timeout
        begun = time.monotonic()

        def left() -> float | None:
            return None if seconds is None else max(0.0, seconds - (time.monotonic() - begun))

        return left

    def _more(self, left: Callable[[], float | None], size: int = _BLOCK) -> None:
        self.socket.settimeout(left())
        try:
            data = self.socket.recv(size)
        except BlockingIOError:  # no time was left
            raise TimeoutError("timed out") from None
        self._buffer += data
        self._ended = not data

    def _take(self, size: int) -> bytes:
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def shutdown_write(self) -> None:
        """Say that no more will be sent, and go on receiving."""
        self.socket.shutdown(SHUT_WR)

    def reset(self) -> None:
        """Break the connection: the server gets ConnectionResetError.

        On a Unix socket this is a mere :meth:`close`.
        """
        self.socket.setsockopt(SOL_SOCKET, SO_LINGER, RESET_ON_CLOSE)
        self.socket.close()


class Client(StreamClient):
    """A client with a connection, in a world.

    A method that waits raises :class:`~.errors.Deadlock` if no answer can ever come, and
    :exc:`TimeoutError` if none has come after *timeout* seconds of the world's time.

    :param world: the world that it is part of.
    :param name: what the timeline calls it.
    :param family: AF_INET, AF_INET6 or AF_UNIX.
    """

    def __init__(self, world: World, name: str, family: int = AF_INET) -> None:
        super().__init__(StreamSocket(world, family, label=name))
        self._world = world
        self.name = name

    def reset(self) -> None:
        """Break the connection: the server gets ConnectionResetError."""
        self.socket.reset()

    @property
    def closed_by_server(self) -> bool:
        """Whether the server has ended the stream, or broken it, once all who can have moved."""
        self._world.settle()
        end = self.socket.end
        return end is not None and (end.peer.gone or end.incoming.ended or end.cut)


class PacketClient(_Base):
    """A client that sends datagrams, on a socket of any kind.

    :param socket: with the methods of Python's sockets.
    :param server_address: the address it sends to.
    :param patience: seconds to wait where :meth:`recv` is given no *timeout*; None for any time.
    """

    def __init__(self, socket: Any, server_address: Any, patience: float | None = None) -> None:
        #: Its socket.
        self.socket: Any = socket
        self._server_address = server_address
        self._patience = patience

    def send(self, data: bytes) -> None:
        """Send a datagram."""
        self.socket.sendto(data, self._server_address)

    def recv(self, timeout: float | None = None, size: int = _BLOCK) -> bytes:
        """Wait for a datagram; return up to *size* bytes of it.

        :raises TimeoutError: none came in time.
        """
        self.socket.settimeout(self._patience if timeout is None else timeout)
        data: bytes = self.socket.recvfrom(size)[0]
        return data


class DatagramClient(PacketClient):
    """A client that sends datagrams, in a world; it waits in the world's time.

    :param world: where it lives.
    :param name: what the timeline calls it.
    :param server_address: the address it sends to.
    :param family: AF_INET, AF_INET6 or AF_UNIX.
    """

    def __init__(self, world: World, name: str, server_address: Any, family: int = AF_INET) -> None:
        super().__init__(DatagramSocket(world, family, label=name), server_address)
        self.name = name
        if family == AF_UNIX:
            self.socket.bind(f"\0{name}")  # or nobody could answer
