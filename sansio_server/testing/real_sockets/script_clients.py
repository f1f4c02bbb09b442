"""A client of a script, on a real socket."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from sansio_server.testing.runs.run import Seen
from sansio_server.testing.scripts.actions import (
    RECEIVING,
    ClientScript,
    Close,
    Connect,
    Expect,
    HalfClose,
    Receive,
    ReceiveDatagram,
    ReceiveExactly,
    ReceiveLine,
    Reset,
    Send,
    SendDatagram,
    Wait,
)
from sansio_server.testing.sockets.stream import RESET_ON_CLOSE
from sansio_server.testing.timeline.moments import shown

from .client_sockets import client_socket

__all__ = ["Operator", "PatienceError", "RealClient"]

_LARGEST_DATAGRAM: Final = 65536
#: Seconds between two sends, so that they do not leave as one segment.
_GAP: Final = 0.002


class PatienceError(Exception):
    """A client has waited for longer than it may."""


class Operator(Protocol):
    """What carries out what clients ask of the server itself."""

    def operate(self, action: Any) -> None:
        """Do it, and wait until it is done."""


class RealClient:
    """Does what a :class:`~.actions.ClientScript` says.

    :param script: that.
    :param address: of the server.
    :param operator: carries out what is asked of the server.
    :param patience: seconds that it waits for the server where the script names no time.
    :param own_path: where its datagrams' socket is bound, if it is a Unix one.
    :param note: called with what is done, and a detail of it.
    """

    def __init__(
        self,
        script: ClientScript,
        address: Any,
        operator: Operator,
        *,
        patience: float,
        own_path: str,
        note: Callable[[str, str], object],
    ) -> None:
        self._script = script
        self._address = address
        self._operator = operator
        self._patience = patience
        self._own_path = own_path
        self._note = note
        self._socket: socket.socket | None = None
        self._replies: list[bytes] = []
        self._unexpected = ""
        self._rest = b""

    def play(self) -> Seen:
        """Do it all; return what was seen.

        :raises PatienceError: the server kept it waiting.
        """
        error = ""
        try:
            time.sleep(self._script.start)
            for action in self._script.actions:
                self._do(action)
        except OSError as failure:
            error = type(failure).__name__
            self._note("error", error)
        finally:
            self._close()
        return Seen(tuple(self._replies), error, self._unexpected)

    def _do(self, action: Any) -> None:
        if isinstance(action, RECEIVING):
            self._receive(action)
            return
        self._note(type(action).__name__.lower(), _detail(action))
        if isinstance(action, Connect):
            self._connect()
        elif isinstance(action, Send):
            self._open.settimeout(self._patience)
            self._open.sendall(action.data)
            time.sleep(_GAP)
        elif isinstance(action, SendDatagram):
            self._datagrams().sendto(action.data, self._address)
        elif isinstance(action, HalfClose):
            self._open.shutdown(socket.SHUT_WR)
        elif isinstance(action, Reset):
            self._open.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            self._close()
        elif isinstance(action, Close):
            self._close()
        elif isinstance(action, Wait):
            time.sleep(action.seconds)
        else:
            self._operator.operate(action)

    def _receive(self, action: Any) -> None:
        limit = self._patience if action.timeout is None else action.timeout
        until = time.monotonic() + limit
        try:
            data = self._received(action, until)
        except TimeoutError:
            if action.timeout is None:
                raise PatienceError(f"{action!r} waited for {self._patience:g} s") from None
            raise
        self._note(type(action).__name__.lower(), shown(data))
        self._replies.append(data)
        if isinstance(action, Expect) and data != action.data and not self._unexpected:
            self._unexpected = f"got {shown(data)}, not {shown(action.data)}"

    def _received(self, action: Any, until: float) -> bytes:
        on_datagrams = self._socket is None or self._socket.type == socket.SOCK_DGRAM
        if isinstance(action, ReceiveDatagram) or on_datagrams:
            receiver = self._datagrams()
            receiver.settimeout(max(1e-3, until - time.monotonic()))
            return receiver.recv(_LARGEST_DATAGRAM)
        if isinstance(action, Receive):
            return self._take(min(action.size, len(self._rest) or self._more(until)))
        if isinstance(action, (ReceiveExactly, Expect)):
            size = action.size if isinstance(action, ReceiveExactly) else len(action.data)
            while len(self._rest) < size and self._more(until):
                pass
            return self._take(size)
        if isinstance(action, ReceiveLine):
            while b"\n" not in self._rest and self._more(until):
                pass
            end = self._rest.find(b"\n") + 1
            return self._take(end or len(self._rest))
        while self._more(until):
            pass
        return self._take(len(self._rest))

    def _more(self, until: float) -> int:
        """Receive more; return how many bytes are there now, 0 at the end of the stream."""
        self._open.settimeout(max(1e-3, until - time.monotonic()))
        data = self._open.recv(65536)
        self._rest += data
        return len(self._rest) if data else 0

    def _take(self, size: int) -> bytes:
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken

    @property
    def _open(self) -> socket.socket:
        if self._socket is None:
            raise ConnectionError("nothing is open")
        return self._socket

    def _datagrams(self) -> socket.socket:
        if self._socket is None:
            if isinstance(self._address, tuple):
                family = socket.AF_INET6 if ":" in self._address[0] else socket.AF_INET
                return self._new_socket(family, socket.SOCK_DGRAM)
            sock = self._new_socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            sock.bind(self._own_path)
            return sock
        return self._socket

    def _connect(self) -> None:
        if isinstance(self._address, tuple):
            family = socket.AF_INET6 if ":" in self._address[0] else socket.AF_INET
            sock = self._new_socket(family, socket.SOCK_STREAM)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        else:
            sock = self._new_socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(self._patience)
        sock.connect(self._address)

    def _new_socket(self, family: int, kind: int) -> socket.socket:
        self._socket = sock = client_socket(family, kind)
        return sock

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._rest = b""


def _detail(action: Any) -> str:
    data = getattr(action, "data", None)
    return shown(data) if data is not None else ""
