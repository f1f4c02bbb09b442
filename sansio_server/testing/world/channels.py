"""What lies between two memory sockets: bytes on their way, ends, resets."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Final

from .scheduler import Scheduler, Signal

__all__ = ["BUFFER_SIZE", "Channel", "End", "connect_ends", "os_error"]

#: How many bytes are on their way in one direction, at most, before sending blocks; the kernel's
#: buffers on both sides hold about as much (tcp(7), wmem_max and rmem_max).
BUFFER_SIZE: Final = 212_992


def os_error(number: int) -> OSError:
    """Return the error that the system would give, of the class that belongs to *number*."""
    return OSError(number, os.strerror(number))


class Channel:
    """One direction of a connection.

    :ivar data: the bytes on their way.
    :ivar capacity: how many there may be.
    :ivar ended: whether no more will come.
    :ivar swallows: whether what is sent from now on gets lost.
    :ivar held: whether the receiver takes nothing for now.
    :ivar readable: told when there is something to receive, be it the end.
    :ivar writable: told when there is room, or nobody left to make any.
    """

    def __init__(self, capacity: int) -> None:
        self.data = bytearray()
        self.capacity = capacity
        self.ended = False
        self.swallows = False
        self.held = False
        self.readable = Signal()
        self.writable = Signal()

    def room(self) -> int:
        """Return how many bytes may be sent now."""
        if self.swallows:
            return self.capacity
        return 0 if self.held else max(0, self.capacity - len(self.data))


class End:
    """One end of a connection.

    :ivar holders: how many sockets have it.
    :ivar gone: whether it was closed.
    :ivar shut: whether it has said that it sends no more.
    :ivar broken: the errno that the next call gets, once; 0 for none.
    :ivar cut: whether the connection was reset: nothing moves any more.
    """

    peer: End

    def __init__(self, scheduler: Scheduler, incoming: Channel, outgoing: Channel) -> None:
        self._scheduler = scheduler
        self.incoming = incoming
        self.outgoing = outgoing
        self.holders = 1
        self.gone = False
        self.shut = False
        self.broken = 0
        self.cut = False
        #: Whether sending to a closed end fails at once, as on Unix sockets.
        self.told_at_once = False

    # What its socket does.

    def ready_to_read(self) -> bool:
        """Say whether receiving would not wait."""
        return bool(self.incoming.data or self.incoming.ended or self.broken or self.cut)

    def take(self, size: int, *, peek: bool = False) -> bytes:
        """Return up to *size* bytes of what has come; none at the end.

        :raises OSError: the connection was reset.
        """
        data = bytes(self.incoming.data[:size])
        if data:
            if not peek:
                del self.incoming.data[:size]
                self._scheduler.tell(self.incoming.writable)
        elif self.told_at_once or not self.incoming.ended:
            self._raise_broken()
        return data

    def put(self, data: memoryview) -> int:
        """Send as much of *data* as there is room for; return how much that is.

        :raises OSError: nobody will receive it.
        """
        self._raise_broken()
        if self.shut or self.cut:
            raise os_error(errno.EPIPE)
        if self.peer.gone:
            if self.told_at_once:
                raise os_error(errno.EPIPE)
            # The first to be sent is answered by a reset; only what comes after it fails. Nothing
            # is sent, and so nothing answered, where there are no bytes.
            if data:
                self.be_reset()
            return len(data)
        count = min(len(data), self.outgoing.room())
        if count and not self.outgoing.swallows:
            self.outgoing.data += data[:count]
            self._scheduler.tell(self.outgoing.readable)
        return count

    def would_wait(self) -> bool:
        """Say whether sending has to wait."""
        out = self.outgoing
        return not (self.broken or self.cut or self.shut or self.peer.gone or out.room())

    def end(self) -> None:
        """Say that no more will be sent."""
        if not self.shut:
            self.shut = True
            if not (self.peer.gone or self.outgoing.swallows):
                self.outgoing.ended = True
                self._tell(self.outgoing)

    def stop_reading(self) -> None:
        """Let what there is to receive come to an end here."""
        self.incoming.ended = True
        self._tell(self.incoming)

    def close(self) -> None:
        """Let go. If something has come that nobody took, the other end is reset."""
        if self.gone:
            return
        self.gone = True
        if self.incoming.data and not self.incoming.swallows:
            self.peer.be_reset()
        if self.peer.cut:
            self.shut = True  # a reset says more than the end of the stream
        else:
            self.end()
        self.incoming.data.clear()
        self._tell(self.incoming)

    def reset(self) -> None:
        """Break the connection, and let go."""
        self.gone = True
        self.peer.be_reset()
        self.be_reset()

    def be_reset(self) -> None:
        """Find that the connection was broken by the other end."""
        if not self.cut:
            self.cut = True
            # Where the end of the stream has come already it is sending that is told; but for Unix
            # sockets, on which it is whatever comes next.
            late = self.incoming.ended and not self.told_at_once
            self.broken = errno.EPIPE if late else errno.ECONNRESET
            self._tell(self.incoming)
            self._tell(self.outgoing)

    def _raise_broken(self) -> None:
        number, self.broken = self.broken, 0
        if number:
            raise os_error(number)

    def _tell(self, channel: Channel) -> None:
        self._scheduler.tell(channel.readable)
        self._scheduler.tell(channel.writable)

    # What may go wrong in between.

    def show_end(self) -> None:
        """Lose what has come, and all that will: the stream ends here."""
        self.incoming.data.clear()
        self.incoming.swallows = True
        self.stop_reading()

    def mute(self, seconds: float) -> None:
        """Lose what has come, and all that will; break the connection after *seconds*."""
        self.incoming.data.clear()
        self.incoming.swallows = True
        self._later(seconds, self.reset_by_time)

    def reset_by_time(self) -> None:
        """Break the connection, as the system does that gives it up."""
        if not self.gone:
            self.peer.be_reset()
            self.be_reset()

    def hold(self, seconds: float) -> None:
        """Let the other end take nothing for *seconds*."""
        channel = self.outgoing
        channel.held = True

        def release() -> None:
            channel.held = False
            self._scheduler.tell(channel.writable)

        self._later(seconds, release)

    def _later(self, seconds: float, action: Callable[[], object]) -> None:
        self._scheduler.call_at(self._scheduler.now + seconds, action)


def connect_ends(scheduler: Scheduler, capacity: int = BUFFER_SIZE) -> tuple[End, End]:
    """Return the two ends of a new connection."""
    there, back = Channel(capacity), Channel(capacity)
    one, other = End(scheduler, back, there), End(scheduler, there, back)
    one.peer, other.peer = other, one
    return one, other
