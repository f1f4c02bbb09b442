"""The network of a world: who listens where, and which addresses are taken."""

from __future__ import annotations

import errno
import socket
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Protocol

from .channels import BUFFER_SIZE, End, connect_ends, os_error
from .scheduler import Signal

if TYPE_CHECKING:
    from .world import World

__all__ = ["Endpoint", "Listening", "Network"]

#: Descriptors of memory sockets are larger than any of the system's.
_FIRST_DESCRIPTOR: Final = 1_000_000

#: The ports that are given to servers who ask for any, and to clients.
_SERVER_PORTS: Final = 50_000
_CLIENT_PORTS: Final = 40_000

_UNIX: Final = getattr(socket, "AF_UNIX", None)


class Listening:
    """What a listening socket has: those who wait to be accepted.

    :ivar queue: their ends of the connections, and their addresses.
    :ivar backlog: how many there may be.
    :ivar arrived: told when one has come, or no more will.
    :ivar room: told when one more may come, or the listener is gone.
    """

    def __init__(self, backlog: int) -> None:
        self.queue: deque[tuple[End, Any, str]] = deque()
        self.backlog = max(1, backlog)
        self.arrived = Signal()
        self.room = Signal()
        self.is_open = True


class Endpoint(Protocol):
    """What a socket is to the network.

    :ivar label: what its moments are told of; None for the actor who moves.
    :ivar address: its own address.
    :ivar listening: who waits to be accepted; None where it does not listen.
    """

    family: int
    label: str | None
    address: Any
    listening: Listening | None

    @property
    def type(self) -> int:
        """SOCK_STREAM or SOCK_DGRAM."""


class Network:
    """Addresses, and who has them.

    :ivar sockets: the open sockets by their descriptors.
    :ivar buffer_size: how many bytes fit into a connection in each direction.
    :ivar accepted: the label of the client whose connection was accepted last.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.sockets: dict[int, Endpoint] = {}
        self.buffer_size = BUFFER_SIZE
        self.accepted = ""
        self._descriptors = _FIRST_DESCRIPTOR
        self._ports = {"server": _SERVER_PORTS, "client": _CLIENT_PORTS}
        self._bound: dict[Any, Endpoint] = {}

    def new_descriptor(self, sock: Endpoint) -> int:
        """Return a descriptor for *sock*, which no other had or will have."""
        self._descriptors += 1
        self.sockets[self._descriptors] = sock
        return self._descriptors

    def find(self, descriptor: int) -> Endpoint | None:
        """Return the open socket with this descriptor."""
        return self.sockets.get(descriptor)

    # Addresses.

    def _key(self, sock: Endpoint, address: Any) -> Any:
        if sock.family == _UNIX:
            return (sock.type, sock.family, address)
        return (sock.type, sock.family, address[1])

    def bind(self, sock: Endpoint, address: Any, *, client: bool = False) -> Any:
        """Give *sock* an address; return it in the form that the family has for it.

        :raises OSError: it is taken.
        :raises TypeError: it has the wrong form.
        """
        address = self._complete(sock, address, "client" if client else "server")
        key = self._key(sock, address)
        if key in self._bound:
            raise os_error(errno.EADDRINUSE)
        self._bound[key] = sock
        return address

    def _complete(self, sock: Endpoint, address: Any, who: str) -> Any:
        if sock.family == _UNIX:
            if not isinstance(address, (str, bytes)):
                raise TypeError(f"a Unix socket's address is a path, not {address!r}")
            return address
        if not isinstance(address, tuple) or len(address) < 2 or not isinstance(address[1], int):
            raise TypeError(f"an address must be a pair (host, port), not {address!r}")
        host, port = address[:2]
        if not 0 <= port <= 65535:
            raise OverflowError("bind(): port must be 0-65535.")
        while port == 0:
            self._ports[who] += 1
            if (sock.type, sock.family, self._ports[who]) not in self._bound:
                port = self._ports[who]
        if sock.family == socket.AF_INET6:
            return (host or "::", port, *(address[2:] or (0, 0)))
        return (host or "0.0.0.0", port)

    def unbind(self, sock: Endpoint) -> None:
        """Let another have the address of *sock*."""
        for key, holder in list(self._bound.items()):
            if holder is sock:
                del self._bound[key]

    def at(self, sock: Endpoint, address: Any) -> Endpoint | None:
        """Return the socket at *address*, of the kind of *sock*, if there is one."""
        try:
            return self._bound.get(self._key(sock, address))
        except (TypeError, IndexError):
            raise TypeError(f"{address!r} is no address") from None

    # Connections.

    def connect(self, sock: Endpoint, address: Any, deadline: float) -> tuple[End, Any]:
        """Connect *sock* to who listens at *address*; return its end, and the peer's address.

        Waits while the backlog of the listener is full.

        :raises ConnectionRefusedError: nobody listens there.
        :raises TimeoutError: there was no room until *deadline*.
        """
        world = self.world
        while True:
            target = self.at(sock, address)
            listening = None if target is None else target.listening
            if target is None or listening is None:
                missing = sock.family == _UNIX and target is None
                raise os_error(errno.ENOENT if missing else errno.ECONNREFUSED)
            if len(listening.queue) < listening.backlog:
                break
            waited = world.now < deadline and world.wait(
                listening.room, until=deadline, why="room in the backlog of the server"
            )
            if not waited:
                raise TimeoutError("timed out")
        near, far = connect_ends(world, self.buffer_size)
        near.told_at_once = far.told_at_once = sock.family == _UNIX
        listening.queue.append((far, sock.address, sock.label or world.current.label))
        world.tell(listening.arrived)
        return near, target.address
