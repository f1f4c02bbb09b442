"""Addresses as people write them: ``tcp:127.0.0.1:9999``, ``udp:[::1]:53``, ``unix:/run/echo``."""

from __future__ import annotations

import re
import socket
from typing import Any, Final, Literal, get_args

import attrs

__all__ = ["KINDS", "Address", "Kind", "parse_address", "resolve"]

Kind = Literal["tcp", "udp", "unix", "unixgram"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

_FORMS: Final = "tcp:HOST:PORT, udp:HOST:PORT, unix:PATH or unixgram:PATH"
_HIGHEST_PORT: Final = 65535


@attrs.frozen
class Address:
    """Where to serve.

    :ivar kind: which sort of socket.
    :ivar host: for tcp and udp: a name or a number; empty for all IPv4 interfaces.
    :ivar port: for tcp and udp; 0 for any that is free.
    :ivar path: for unix and unixgram.
    :ivar listener: a socket that is bound there already, if there is one.
    """

    kind: Kind
    host: str = ""
    port: int = 0
    path: str = ""
    listener: socket.socket | None = attrs.field(default=None, eq=False, repr=False)

    @property
    def datagrams(self) -> bool:
        """Whether requests are datagrams, not connections."""
        return self.kind in ("udp", "unixgram")

    def bound(self, server_address: Any) -> Address:
        """Return this address as it is once bound, with the port that the system chose."""
        if self.path:
            return self
        host, port, *_ = server_address
        return attrs.evolve(self, host=host, port=port)

    def __str__(self) -> str:
        if self.path:
            return f"{self.kind}:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.kind}:{host}:{self.port}"


def parse_address(text: str) -> Address:
    """Return the address that *text* stands for.

    :raises ValueError: it is of no known form; the message names it and says what would be right.
    """
    kind, colon, rest = text.partition(":")
    if colon and not kind:
        kind, rest = "tcp", text
    if kind not in KINDS or not colon:
        raise ValueError(f"{text!r} is no address; write {_FORMS}")
    if kind in ("unix", "unixgram"):
        if not rest:
            raise ValueError(f"{text!r} has no path; write {kind}:PATH")
        return Address(kind, path=rest)
    return _parse_internet(text, kind, rest)


def _parse_internet(text: str, kind: Kind, rest: str) -> Address:
    match = re.fullmatch(r"(?:\[(?P<six>[^][]+)\]|(?P<host>[^][:]*)):(?P<port>[^:]*)", rest)
    if match is None:
        raise ValueError(f"{text!r} is not {kind}:HOST:PORT, with an IPv6 HOST in brackets")
    host = match["six"] or match["host"]
    port = match["port"]
    if not (port.isascii() and port.isdigit() and int(port) <= _HIGHEST_PORT):
        raise ValueError(f"{text!r} has the port {port!r}; a port is 0 to {_HIGHEST_PORT}")
    return Address(kind, host=host, port=int(port))


def resolve(address: Address) -> tuple[int, Any]:
    """Return the address family and the socket address to bind to.

    Of the addresses that a host has the first IPv4 one is taken, or else the first.

    :raises OSError: the host is not known.
    :raises ValueError: the host cannot be a name.
    """
    if address.path:
        return socket.AF_UNIX, address.path
    found = socket.getaddrinfo(
        address.host or "0.0.0.0",
        address.port,
        type=socket.SOCK_DGRAM if address.datagrams else socket.SOCK_STREAM,
        flags=socket.AI_PASSIVE,
    )
    chosen = next((entry for entry in found if entry[0] == socket.AF_INET), found[0])
    return chosen[0], chosen[4]
