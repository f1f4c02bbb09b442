"""Faults of a script, on a server's real sockets.

What can be shown to a server and its handlers on a real socket are errors of accepting, and reads
and writes on connections of blocking handlers that move less than they could, or end.
"""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

from sansio_server.testing.scripts.faults import Fault

__all__ = ["FaultySocket", "Injector", "with_faults"]

_ON_CONNECTIONS: Final = frozenset({"short", "one-byte", "reset", "eof", "delay"})
_DELAY: Final = 0.05


class Injector:
    """Knows which faults are due, and who has got where.

    :param faults: all that the script has.
    :param on_connections: whether connections are blocking sockets, as a blocking handler has them.
    :ivar left_out: those that cannot be shown on real sockets.
    """

    def __init__(self, faults: Iterable[Fault], *, on_connections: bool) -> None:
        self._faults = list(faults)
        self.left_out = tuple(
            fault for fault in self._faults if not _can_be_shown(fault, on_connections)
        )
        self._due = [fault for fault in self._faults if fault not in self.left_out]
        self._visits: Counter[tuple[str, str | None]] = Counter()
        self._lock = threading.Lock()
        self.requests = 0

    @property
    def touches_connections(self) -> bool:
        """Whether any fault is shown on connections."""
        return any(fault.point in {"recv", "send"} for fault in self._due)

    def at(self, point: str, actor: str) -> Fault | None:
        """Note that *actor* is at *point*; return the fault that is due there, if any is."""
        with self._lock:
            self._visits[point, None] += 1
            self._visits[point, actor] += 1
            for fault in self._due:
                if (
                    fault.point == point
                    and fault.actor in {None, actor}
                    and self._visits[point, fault.actor] == fault.nth
                ):
                    return fault
        return None


def _can_be_shown(fault: Fault, on_connections: bool) -> bool:
    if fault.point == "accept":
        return True
    return on_connections and fault.point in {"recv", "send"} and fault.kind in _ON_CONNECTIONS


class FaultySocket(socket.socket):
    """A connection on which faults are due.

    Set :attr:`injector` and :attr:`actor` once it is made.
    """

    injector: Injector
    actor: str

    @classmethod
    def around(cls, connection: socket.socket, injector: Injector, actor: str) -> FaultySocket:
        """Return what takes the descriptor of *connection* over."""
        timeout = connection.gettimeout()
        faulty = cls(connection.family, connection.type, connection.proto, connection.detach())
        faulty.settimeout(timeout)
        faulty.injector, faulty.actor = injector, actor
        return faulty

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Receive, as far as a fault allows."""
        allowed = self._allowed("recv", size)
        return super().recv(allowed, flags) if allowed or not size else b""

    def recv_into(self, buffer: Any, size: int = 0, flags: int = 0) -> int:
        """Receive, as far as a fault allows."""
        wanted = size or memoryview(buffer).nbytes
        allowed = self._allowed("recv", wanted)
        return super().recv_into(buffer, allowed, flags) if allowed else 0

    def send(self, data: Any, flags: int = 0, /) -> int:
        """Send, as far as a fault allows."""
        view = memoryview(data).cast("B")
        allowed = self._allowed("send", len(view))
        return super().send(view[:allowed], flags)

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        """Send it all, in as many pieces as faults make of it."""
        view = memoryview(data).cast("B")
        while view:
            view = view[self.send(view, flags) :]

    def _allowed(self, point: str, size: int) -> int:
        """Return how many of *size* bytes may be moved now."""
        fault = self.injector.at(point, self.actor)
        if fault is None:
            return size
        if fault.kind == "reset":
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        if fault.kind == "eof":
            self.shutdown(socket.SHUT_RD)
            return 0
        if fault.kind == "delay":
            time.sleep(_DELAY if fault.amount is None else fault.amount)
            return size
        if fault.kind == "one-byte":
            return min(1, size)
        # What is there is not known before it is read: a few bytes are less, as a rule.
        return max(1, min(size, 2 if fault.amount is None else int(fault.amount)))


def with_faults(server_class: type, injector: Injector) -> type:
    """Return a subclass of *server_class* whose ``get_request()`` meets the faults."""

    class Replayed(server_class):  # type: ignore[misc]  # a base known at run time only
        def get_request(self) -> Any:
            """Accept, unless it is to fail."""
            fault = injector.at("accept", "loop")
            if fault is not None:
                code = getattr(errno, fault.kind)
                raise OSError(code, os.strerror(code))
            pair = super().get_request()
            injector.requests += 1
            request, address = pair
            if injector.touches_connections and isinstance(request, socket.socket):
                actor = f"request {injector.requests}"
                request = FaultySocket.around(request, injector, actor)
            return request, address

    Replayed.__name__ = server_class.__name__
    Replayed.__qualname__ = server_class.__qualname__
    return Replayed
