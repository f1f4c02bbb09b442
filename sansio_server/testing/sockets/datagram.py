"""Datagram sockets of a world."""

from __future__ import annotations

import errno
import socket
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from sansio_server.testing.timeline.moments import shown
from sansio_server.testing.world.channels import os_error
from sansio_server.testing.world.scheduler import Signal

from .base import AF_UNIX, MemorySocket

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["DatagramSocket"]

_DONTWAIT: Final = getattr(socket, "MSG_DONTWAIT", 0)

#: How many datagrams wait for a socket at most; what comes then is lost.
_DATAGRAMS: Final = 256

#: Seconds after which a datagram comes that another was to overtake, if none has.
_LATE: Final = 1.0


class DatagramSocket(MemorySocket):
    """A datagram socket of a world; see :class:`~.sockets.base.MemorySocket`."""

    type = socket.SOCK_DGRAM

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._packets: deque[tuple[bytes, Any, str]] = deque()
        self._arrived = Signal()
        self._kept_back: tuple[bytes, Any, str] | None = None

    def readable(self) -> tuple[bool, Signal]:
        """Say whether receiving would not wait, and what is told when that changes."""
        return bool(self._packets), self._arrived

    def connect(self, address: Any, /) -> None:
        """Choose whom to send to."""
        self._check_open()
        self.peer_address = address

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Wait for a datagram; return up to *size* bytes of it.

        :raises TimeoutError: none came in time.
        """
        return self.recvfrom(size, flags)[0]

    def send(self, data: Buffer, flags: int = 0, /) -> int:
        """Send a datagram to whom :meth:`connect` has chosen."""
        return self.sendto(data, self.getpeername())

    def sendall(self, data: Buffer, flags: int = 0, /) -> None:
        """Send a datagram to whom :meth:`connect` has chosen."""
        self.send(data)

    def recvfrom(self, size: int, flags: int = 0, /) -> tuple[bytes, Any]:
        """Wait for a datagram; return up to *size* bytes of it, and whom it is from.

        :raises TimeoutError: none came in time.
        """
        self._check_open()
        self.world.pause("its turn to receive")
        self._wait_for(
            lambda: bool(self._packets),
            self._arrived,
            why="a datagram",
            may_wait=not flags & _DONTWAIT,
        )
        self._check_open()
        data, address, sender = self._packets.popleft()
        self.world.record("recvfrom", f"{sender} {shown(data[:size])}", self.label)
        return data[:size], address

    def recvfrom_into(self, buffer: Buffer, nbytes: int = 0, flags: int = 0) -> tuple[int, Any]:
        """Wait for a datagram, put it into *buffer*; return its size and whom it is from."""
        with memoryview(buffer) as whole, whole.cast("B") as view:
            data, address = self.recvfrom(nbytes or view.nbytes, flags)
            view[: len(data)] = data
        return len(data), address

    def sendto(self, data: Buffer, *where: Any) -> int:
        """Send a datagram: to an address, or with flags and to an address.

        :raises OSError: nobody has that address, on Unix sockets; elsewhere it is lost.
        """
        self._check_open()
        address = where[-1] if where else self.peer_address
        with memoryview(data) as view:
            sent = view.tobytes()
        self.world.pause("its turn to send")
        self._be_client()
        target = self.world.network.at(self, address)
        if target is None and self.family == AF_UNIX:
            is_name = isinstance(address, str) and address.startswith("\0")  # unix(7), "abstract"
            raise os_error(errno.ECONNREFUSED if is_name else errno.ENOENT)
        self.world.record("sendto", f"{address} {shown(sent)}", self.label)
        if self.observer is not None:
            self.observer("out", len(sent))
        if isinstance(target, DatagramSocket):
            target.arrive(sent, self)
        return len(sent)

    def arrive(self, data: bytes, sender: DatagramSocket) -> None:
        """Take in a datagram, if there is room; what goes wrong on the way happens here."""
        who = sender.label or self.world.current.label
        packet = (data, sender.address or None, who)  # None for a Unix socket without a name
        # From the server's point of view: it is its receiving, or its sending.
        if sender.label is None:
            fault = self.world.fault("sendto", client=self.label or "", blocking=True)
        else:
            fault = self.world.fault("recvfrom", "loop", client=who, blocking=True)
        kept, self._kept_back = self._kept_back, None
        packets = [packet]
        if fault is not None:
            if fault.kind == "lost":
                packets = []
            elif fault.kind == "doubled":
                packets = [packet, packet]
            elif fault.kind == "cut":
                packets = [(data[: int(fault.amount or len(data) // 2)], *packet[1:])]
            elif fault.kind == "reordered":
                packets, self._kept_back = [], packet
        if kept is not None:
            packets.append(kept)
        self._deliver(packets)
        if self._kept_back is not None:
            # It is only late: if nothing overtakes it, it comes all the same.
            self.world.call_at(self.world.now + _LATE, self._deliver_late)

    def _deliver_late(self) -> None:
        kept, self._kept_back = self._kept_back, None
        if kept is not None:
            self._deliver([kept])

    def _deliver(self, packets: Iterable[tuple[bytes, Any, str]]) -> None:
        for packet in packets:
            if len(self._packets) < _DATAGRAMS and self._descriptor >= 0:
                self._packets.append(packet)
                self.world.tell(self._arrived)

    def dup(self) -> DatagramSocket:
        """Return another socket at the same address, with the same datagrams.

        What is sent there arrives as long as this one is open.
        """
        self._check_open()
        other = DatagramSocket(self.world, self.family, label=self.label)
        other.address, other.peer_address = self.address, self.peer_address
        other.observer = self.observer
        other._packets, other._arrived = self._packets, self._arrived
        other._timeout = self._timeout
        return other

    def _let_go(self) -> None:
        self.world.tell(self._arrived)
