"""Clients of the servers under comparison: real sockets, each step one call."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable
from typing import Any

from sansio_server.testing.real_sockets.client_sockets import closed_in_children
from tests.parity.instrument import DATAGRAMS
from tests.parity.recorder import PATIENCE

# Closes with a reset: linger is on, for no time.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Client:
    """One client of a server of any kind."""

    def __init__(
        self,
        kind: str,
        server_address: Any,
        own_address: str | None,
        make_socket: Callable[[int, int], Any],
    ) -> None:
        self._datagrams = kind in DATAGRAMS
        family = socket.AF_UNIX if kind.startswith("Unix") else socket.AF_INET
        if isinstance(server_address, tuple) and len(server_address) == 4:
            family = socket.AF_INET6
        self._socket = make_socket(
            family, socket.SOCK_DGRAM if self._datagrams else socket.SOCK_STREAM
        )
        self._socket.settimeout(PATIENCE)
        self._server_address = server_address
        self.ended = False
        if family == socket.AF_UNIX:
            if own_address is not None:
                self._socket.bind(own_address)
        elif self._datagrams:
            self._socket.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 0))
        if not self._datagrams:
            self._socket.connect(server_address)
        self.address = self._socket.getsockname()

    def begin_tls(self, context: ssl.SSLContext) -> None:
        """Go on over TLS."""
        plain = self._socket
        self._socket = encrypted = closed_in_children(
            lambda: context.wrap_socket(plain, do_handshake_on_connect=False)
        )
        encrypted.do_handshake()

    def send(self, data: bytes) -> None:
        """Send a datagram, or bytes of the stream."""
        if self._datagrams:
            self._socket.sendto(data, self._server_address)
        else:
            self._socket.sendall(data)

    def read_line(self) -> bytes:
        """Return one datagram, or the stream's bytes up to a newline or the end."""
        if self._datagrams:
            data: bytes = self._socket.recv(65536)
            return data
        line = b""
        while not line.endswith(b"\n"):
            byte = self._socket.recv(1)
            if not byte:
                self.ended = True
                break
            line += byte
        return line

    def read_rest(self) -> str:
        """Say what else there is: all of a stream, and the datagrams that have come."""
        return self._read_datagrams() if self._datagrams else self._read_stream()

    def half_close(self) -> None:
        """Send no more."""
        self._socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Cut the connection off."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.close()

    def close(self) -> None:
        """Close the client's socket."""
        self.ended = True
        self._socket.close()

    def _read_datagrams(self) -> str:
        found = []
        self._socket.setblocking(False)
        while True:
            try:
                found.append(self._socket.recv(65536))
            except BlockingIOError:
                return f"{sorted(found)}"

    def _read_stream(self) -> str:
        data = b""
        while not self.ended:
            try:
                piece = self._socket.recv(65536)
            except ConnectionResetError:
                self.ended = True
                return f"{_shorten(data)} and a reset"
            data += piece
            self.ended = not piece
        return f"{_shorten(data)} and the end"


def _shorten(data: bytes) -> str:
    return repr(data) if len(data) <= 200 else f"{len(data)} bytes ending in {data[-20:]!r}"
