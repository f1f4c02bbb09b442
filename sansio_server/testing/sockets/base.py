"""What all sockets of a world have: names, options, files, waiting.

They have the methods of ``socket.socket``, and nothing of the system behind them.
"""

from __future__ import annotations

import errno
import math
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sansio_server.socket_files import SocketFiles
from sansio_server.testing.world.channels import os_error
from sansio_server.testing.world.network import Listening
from sansio_server.testing.world.scheduler import Signal

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from sansio_server.testing.world.world import World

__all__ = ["AF_UNIX", "MemorySocket"]

_Self = TypeVar("_Self", bound="MemorySocket")

#: The family of Unix sockets, which a world has everywhere.
AF_UNIX: Final[int] = getattr(socket, "AF_UNIX", 1)
_DONTWAIT: Final = getattr(socket, "MSG_DONTWAIT", 0)

#: How many datagrams wait for a socket at most; what comes then is lost.
_DATAGRAMS: Final = 256


class MemorySocket(SocketFiles):
    """A socket of a world.

    There are two kinds, in :mod:`~.sockets.stream` and :mod:`~.sockets.datagram`.

    :param world: the world.
    :param family: the address family: AF_INET, AF_INET6 or AF_UNIX.
    :param label: what its moments are told of; None for the actor who moves.

    :ivar address: its own address.
    :ivar observer: called with "in" or "out" and the number of bytes moved; None for nobody.
    """

    def __init__(
        self,
        world: World,
        family: int = socket.AF_INET,
        *,
        label: str | None = None,
    ) -> None:
        self.world = world
        self.family = family
        self.proto = 0
        self.label = label
        self.address: Any = "" if family == AF_UNIX else ("0.0.0.0", 0)
        self.peer_address: Any = None
        self.observer: Callable[[str, int], object] | None = None
        self._options: dict[tuple[int, int], int | bytes] = {}
        self._timeout: float | None = None
        self._io_refs = 0
        self._closed = False
        self._descriptor = world.network.new_descriptor(self)

    #: SOCK_STREAM or SOCK_DGRAM.
    type: int
    #: Who waits to be accepted; None where it does not listen.
    listening: Listening | None = None

    def __repr__(self) -> str:
        return f"<MemorySocket {self._descriptor} at {self.address!r}>"

    def __enter__(self: _Self) -> _Self:  # noqa: PYI019 - typing.Self came with Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # What needs no waiting.

    def fileno(self) -> int:
        """Return a number that no other socket of the world has; -1 when it is closed."""
        return self._descriptor

    def getsockname(self) -> Any:
        """Return its own address."""
        self._check_open()
        return self.address

    def getpeername(self) -> Any:
        """Return the address of the other end.

        :raises OSError: there is none.
        """
        self._check_open()
        if self.peer_address is None:
            raise os_error(errno.ENOTCONN)
        return self.peer_address

    @property
    def timeout(self) -> float | None:
        """What :meth:`settimeout` was told."""
        return self._timeout

    def settimeout(self, seconds: float | None, /) -> None:
        """Let each operation that waits raise TimeoutError after so many *seconds*; None: never."""
        self._check_open()
        if seconds is not None and seconds < 0:
            raise ValueError("Timeout value out of range")
        self._timeout = seconds

    def gettimeout(self) -> float | None:
        """Return what :meth:`settimeout` was told."""
        return self._timeout

    def setblocking(self, flag: bool, /) -> None:
        """Let operations wait for ever, or not at all."""
        self.settimeout(None if flag else 0.0)

    def get_inheritable(self) -> bool:
        """Say that it is not kept when another program is run."""
        return False

    def getblocking(self) -> bool:
        """Say whether operations wait."""
        return self._timeout != 0

    def setsockopt(self, level: int, option: int, value: Any = None, length: int = 0, /) -> None:
        """Keep an option; none has an effect here.

        :raises OSError: Unix sockets know nothing of TCP.
        """
        self._check_open()
        if self.family == AF_UNIX and level == socket.IPPROTO_TCP:
            raise os_error(errno.EOPNOTSUPP)
        if isinstance(value, (bytes, bytearray, memoryview)) and len(value) != 4:
            self._options[level, option] = bytes(value)
            return
        if isinstance(value, (bytes, bytearray, memoryview)):
            value = int.from_bytes(bytes(value)[:4], "little")
        self._options[level, option] = int(value or 0)

    def getsockopt(self, level: int, option: int, length: int = 0, /) -> Any:
        """Return an option: a number, or *length* bytes of it."""
        self._check_open()
        known = {
            getattr(socket, "SO_ACCEPTCONN", -1): int(self.listening is not None),
            getattr(socket, "SO_TYPE", -1): int(self.type),
            getattr(socket, "SO_ERROR", -1): 0,
        }
        value = self._options.get((level, option), 0)
        if level == socket.SOL_SOCKET:
            value = known.get(option, value)
        if isinstance(value, bytes):
            return value[:length] if length else value
        return value.to_bytes(length, "little") if length else value

    if TYPE_CHECKING:

        def recv(self, size: int, flags: int = 0, /) -> bytes:
            """Wait for bytes; the two kinds bring this."""

        def sendall(self, data: Buffer, flags: int = 0, /) -> None:
            """Send all of *data*; the two kinds bring this."""

    def readable(self) -> tuple[bool, Signal]:
        """Say whether reading or accepting would not wait, and what is told when that changes."""
        raise NotImplementedError

    def recv_into(self, buffer: Buffer, nbytes: int = 0, flags: int = 0) -> int:
        """Wait for bytes, put them into *buffer*, return how many came."""
        with memoryview(buffer) as whole, whole.cast("B") as view:
            data = self.recv(nbytes or view.nbytes, flags)
            view[: len(data)] = data
        return len(data)

    # Addresses.

    def bind(self, address: Any, /) -> None:
        """Take an address; port 0 is any that is free.

        :raises OSError: another socket of the world has it.
        :raises TypeError: it has the wrong form.
        """
        self._check_open()
        self.address = self.world.network.bind(self, address)

    def _be_client(self) -> None:
        """Take an address as clients do, unless there is one."""
        if self.family != AF_UNIX and self.address[1] == 0:
            host = "::1" if self.family == socket.AF_INET6 else "127.0.0.1"
            self.address = self.world.network.bind(self, (host, 0), client=True)

    # Files.

    def _raw_file(self, reading: bool, writing: bool) -> Any:
        # The standard library's own, which asks no more of a socket than its methods.
        raw = socket.SocketIO(self, "r" * reading + "w" * writing)  # type: ignore[arg-type]  # as above
        self._io_refs += 1
        return raw

    def _decref_socketios(self) -> None:
        if self._io_refs > 0:
            self._io_refs -= 1
        if self._closed:
            self.close()

    # The end.

    def close(self) -> None:
        """Close, as soon as no file of it is open."""
        self._closed = True
        if self._io_refs == 0:
            self._close()

    def detach(self) -> int:
        """Let the descriptor go without closing anything; return it."""
        self._closed = True
        number, self._descriptor = self._descriptor, -1
        return number

    def abandon(self) -> None:
        """Close, though files of it be open."""
        self._closed = True
        self._close()

    def _close(self, what: str = "close") -> None:
        if self._descriptor < 0:
            return
        network = self.world.network
        network.sockets.pop(self._descriptor, None)
        self._descriptor = -1
        network.unbind(self)
        self._let_go()
        self.world.record(what, "", self.label)

    def _let_go(self) -> None:
        """Let go of what this kind of socket has."""

    # Waiting.

    def _check_open(self) -> None:
        if self._descriptor < 0:
            raise os_error(errno.EBADF)

    def _deadline(self) -> float:
        return math.inf if self._timeout is None else self.world.now + self._timeout

    def _wait_for(
        self,
        ready: Callable[[], bool],
        signal: Signal,
        *,
        why: str,
        may_wait: bool = True,
        deadline: float | None = None,
    ) -> None:
        """Wait until *ready*, or this is closed.

        :raises BlockingIOError: it is not, and waiting is not allowed.
        :raises TimeoutError: the time has passed.
        """
        if ready():
            return
        if not may_wait or self._timeout == 0:
            raise os_error(errno.EAGAIN)
        deadline = self._deadline() if deadline is None else deadline
        while not ready() and self._descriptor >= 0:
            if not self.world.wait(signal, until=deadline, why=why) and not ready():
                raise TimeoutError("timed out")
