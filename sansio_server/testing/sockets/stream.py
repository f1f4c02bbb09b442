"""Stream sockets of a world: listening, accepting, and connections."""

from __future__ import annotations

import copy
import errno
import socket
import struct
from typing import TYPE_CHECKING, Any, Final

from sansio_server.testing.timeline.moments import shown
from sansio_server.testing.world.channels import End, os_error
from sansio_server.testing.world.network import Listening
from sansio_server.testing.world.scheduler import Signal

from .base import AF_UNIX, MemorySocket

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from sansio_server.testing.scripts.faults import Fault

__all__ = ["RESET_ON_CLOSE", "StreamSocket"]

#: SO_LINGER as it breaks the connection on closing: l_onoff 1, l_linger 0 (socket(7)).
RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
_DONTWAIT: Final = getattr(socket, "MSG_DONTWAIT", 0)


class StreamSocket(MemorySocket):
    """A stream socket of a world; see :class:`~.sockets.base.MemorySocket`.

    :ivar end: its end of a connection; None where there is none.
    :ivar os_blocking: whether waiting is allowed to ``accept()``, whatever ``gettimeout()`` shows.
    :ivar peer_label: what the other end of the connection is called.
    """

    type = socket.SOCK_STREAM

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.end: End | None = None
        self.os_blocking = True
        self.peer_label = ""
        self._arrived = Signal()

    # Listeners.

    def listen(self, backlog: int = 128, /) -> None:
        """Let clients connect, *backlog* of them before the first is accepted."""
        self._check_open()
        if self.listening is None:
            self.listening = Listening(backlog)
        self.listening.backlog = max(1, backlog)

    def accept(self) -> tuple[StreamSocket, Any]:
        """Wait for a client; return a socket for it, and its address.

        :raises OSError: this does not listen, or what a fault brings.
        """
        self._check_open()
        listening = self.listening
        if listening is None:
            raise os_error(errno.EINVAL)
        self.world.pause("its turn to accept")
        self._wait_for(
            lambda: bool(listening.queue or not listening.is_open),
            listening.arrived,
            why="a client",
            may_wait=self.os_blocking,
        )
        self._check_open()
        fault = self.world.fault("accept", client=listening.queue[0][2])
        if fault is not None:
            self._fail_to_accept(listening, fault)
        end, address, label = listening.queue.popleft()
        self.world.tell(listening.room)
        sock = StreamSocket(self.world, self.family)
        sock.address, sock.peer_address, sock.end, sock.peer_label = (
            self.address,
            address,
            end,
            label,
        )
        self.world.network.accepted = label
        self.world.record("accept", label)
        return sock, address

    def _fail_to_accept(self, listening: Listening, fault: Fault) -> None:
        if fault.kind == "ECONNABORTED":
            end, _, _ = listening.queue.popleft()
            end.reset()
            self.world.tell(listening.room)
        raise os_error(getattr(errno, fault.kind))

    def readable(self) -> tuple[bool, Signal]:
        """Say whether reading or accepting would not wait, and what is told when that changes."""
        if self.listening is not None:
            return bool(self.listening.queue), self.listening.arrived
        if self.end is not None:
            return self.end.ready_to_read(), self.end.incoming.readable
        return False, self._arrived

    # Connections.

    def connect(self, address: Any, /) -> None:
        """Connect to a server of the world, or choose whom to send datagrams to.

        :raises OSError: nobody listens there.
        """
        self._check_open()
        if self.end is not None:
            raise os_error(errno.EISCONN)
        self._be_client()
        end, self.peer_address = self.world.network.connect(self, address, self._deadline())
        self.end = end
        self.world.record("connect", str(address), self.label)

    def connect_ex(self, address: Any, /) -> int:
        """Connect; return the errno instead of raising."""
        try:
            self.connect(address)
        except OSError as error:
            return error.errno or errno.EIO
        return 0

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Wait for up to *size* bytes; none at the end of the stream.

        :raises TimeoutError: none came in time.
        :raises OSError: the connection was reset.
        """
        if size < 0:
            raise ValueError("negative buffersize in recv")
        end = self._connected()
        self.world.pause("its turn to receive")
        if self.label is None:
            size = self._receive_badly(end, size)
        self._wait_for(
            end.ready_to_read,
            end.incoming.readable,
            why="bytes from " + (self.peer_label or "the server"),
            may_wait=not flags & _DONTWAIT,
        )
        self._check_open()
        data = end.take(size, peek=bool(flags & socket.MSG_PEEK))
        self.world.record("recv", shown(data), self.label)
        if self.observer is not None:
            self.observer("in", len(data))
        return data

    def _receive_badly(self, end: End, size: int) -> int:
        """Do what a fault brings; return how many bytes may be received."""
        fault = self.world.fault("recv", client=self.peer_label, blocking=self._timeout != 0)
        if fault is None:
            return size
        if fault.kind == "short":
            there = len(end.incoming.data) or size
            return max(1, min(size, int(fault.amount or there // 2)))
        if fault.kind == "one-byte":
            return min(size, 1)
        if fault.kind == "eof":
            end.show_end()
        elif fault.kind == "mute":
            end.mute(fault.amount or 300.0)
        else:
            self._go_wrong(end, fault)
        return size

    def _go_wrong(self, end: End, fault: Fault) -> None:
        """Do what a fault brings that receiving and sending have in common."""
        if fault.kind == "reset":
            end.reset_by_time()
        elif fault.kind == "delay":
            self.world.sleep(fault.amount or 0.05, "a delay to pass")
        elif fault.kind == "EINTR":
            raise os_error(errno.EINTR)
        elif fault.kind == "EAGAIN" and self._timeout == 0:
            raise os_error(errno.EAGAIN)

    def send(self, data: Buffer, flags: int = 0, /) -> int:
        """Send some of *data*; return how many bytes that is.

        :raises TimeoutError: there was no room in time.
        :raises OSError: nobody will receive it.
        """
        with memoryview(data) as whole, whole.cast("B") as view:
            return self._send(view, self._deadline())

    def _send(self, view: memoryview, deadline: float) -> int:
        end = self._connected()
        self.world.pause("its turn to send")
        limit = len(view)
        if self.label is None:
            limit = self._send_badly(end, limit)
        self._wait_for(
            lambda: not end.would_wait(),
            end.outgoing.writable,
            why="room to send to " + (self.peer_label or "the server"),
            deadline=deadline,
        )
        self._check_open()
        count = end.put(view[:limit])
        self.world.record("send", shown(bytes(view[:count])), self.label)
        if self.observer is not None:
            self.observer("out", count)
        return count

    def _send_badly(self, end: End, size: int) -> int:
        """Do what a fault brings; return how many bytes may be sent."""
        fault = self.world.fault("send", client=self.peer_label, blocking=self._timeout != 0)
        if fault is None:
            return size
        if fault.kind == "short":
            return max(1, min(size, int(fault.amount or size // 2)))
        if fault.kind == "one-byte":
            return min(size, 1)
        if fault.kind == "slow-reader":
            end.hold(fault.amount or 5.0)
        else:
            self._go_wrong(end, fault)
        return size

    def sendall(self, data: Buffer, flags: int = 0, /) -> None:
        """Send all of *data*.

        :raises TimeoutError: there was no room in time.
        :raises OSError: nobody will receive it.
        """
        deadline = self._deadline()  # one for all of it
        with memoryview(data) as whole, whole.cast("B") as view:
            done = 0
            while True:
                done += self._send(view[done:], deadline)
                if done >= len(view):
                    return

    def recvfrom(self, size: int, flags: int = 0, /) -> tuple[bytes, Any]:
        """Wait for up to *size* bytes; return them, and None for whom they are from."""
        return self.recv(size, flags), None

    def dup(self) -> StreamSocket:
        """Return another socket for the same connection, which ends when both are closed.

        :raises OSError: there is none.
        """
        end = self._connected()
        other = StreamSocket(self.world, self.family, label=self.label)
        other.address, other.peer_address, other.peer_label = (
            self.address,
            self.peer_address,
            self.peer_label,
        )
        other._timeout = self._timeout
        end.holders += 1
        other.end = end
        return other

    def closed_copy(self) -> StreamSocket:
        """Return what another process has of this that has closed it."""
        other = copy.copy(self)
        other.detach()
        return other

    # The end.

    def shutdown(self, how: int, /) -> None:
        """End the connection in one direction or in both.

        :raises OSError: there is none.
        """
        self._check_open()
        end = self.end
        if end is None:
            raise os_error(errno.ENOTCONN)
        if how not in (socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR):
            raise os_error(errno.EINVAL)
        if end.cut:
            raise os_error(errno.ENOTCONN)
        if how != socket.SHUT_RD:
            end.end()
        if how != socket.SHUT_WR:
            end.stop_reading()
        self.world.record("shutdown", ("read", "write", "both")[how], self.label)

    def reset(self) -> None:
        """Break the connection: the other end gets ConnectionResetError."""
        if self._descriptor >= 0 and self.end is not None:
            self.end.reset()
            self._close("reset")

    def _let_go(self) -> None:
        if self.end is not None:
            self.end.holders -= 1
            if self.end.holders == 0 and self._aborts():
                self.end.reset()
            elif self.end.holders == 0:
                self.end.close()
        if self.listening is not None:
            self.listening.is_open = False
            for end, _, _ in self.listening.queue:
                end.reset()
            self.listening.queue.clear()
            self.world.tell(self.listening.arrived)
            self.world.tell(self.listening.room)

    def _aborts(self) -> bool:
        """Say whether closing breaks the connection."""
        linger = self._options.get((socket.SOL_SOCKET, socket.SO_LINGER))
        return linger == RESET_ON_CLOSE and self.family != AF_UNIX

    def _connected(self) -> End:
        self._check_open()
        if self.end is None:
            raise os_error(errno.ENOTCONN)
        return self.end
