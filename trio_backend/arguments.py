"""Arguments of the short forms: what cannot be meant is refused before anything is opened."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from typing import Any

import trio

from sansio_server.limits import Limits, check_count

from .carriers import check_carrier

__all__ = ["check", "given_listeners", "is_listener", "look_up", "named_hosts"]

_LARGEST_PORT = 65535


def check(
    handler: Any,
    limits: Any,
    blocking_handlers: str,
    server_class: Any,
    *bases: type,
) -> None:
    """Make sure that servers can be made of these.

    :param bases: what *server_class* must be derived from, one of them.
    :raises TypeError: it is not, or one of the others is something else.
    :raises ValueError: blocking handlers cannot run where *blocking_handlers* says.
    """
    check_carrier(blocking_handlers)
    if not callable(handler):
        raise TypeError(
            f"handler must be callable with (request, client_address, server), not {handler!r}"
        )
    if not isinstance(limits, Limits):
        raise TypeError(f"limits must be a sansio_server.Limits, not {limits!r}")
    if not (isinstance(server_class, type) and issubclass(server_class, bases)):
        names = " or ".join(f"trio_backend.{base.__name__}" for base in bases)
        raise TypeError(f"server_class must be {names} or derived from it, not {server_class!r}")


def named_hosts(
    host: str | bytes | Iterable[str | bytes] | None,
) -> list[str | bytes | None]:
    """Return the hosts that are meant by *host*; None for all addresses of the machine.

    :raises TypeError: it is no name and contains others than names.
    :raises ValueError: there is none.
    """
    if host is None or isinstance(host, (str, bytes)):
        return [host or None]  # an empty one means all, as in addresses of the standard library
    try:
        hosts: list[Any] = list(host)
    except TypeError:
        hosts = [host]  # which is no name
    if not all(isinstance(each, (str, bytes)) for each in hosts):
        raise TypeError(
            f"host must be a name or an address, several of them, or None, not {host!r}"
        )
    if not hosts:
        raise ValueError("there is no host to serve on")
    return [each or None for each in hosts]


async def look_up(
    hosts: Sequence[str | bytes | None], port: int, kind: socket.SocketKind
) -> list[tuple[int, Any]]:
    """Return the families and addresses to bind, each once, in the order of the resolver.

    :raises TypeError: *port* is no whole number.
    :raises ValueError: there is no such port, or no name like one of *hosts*.
    :raises OSError: a host is not known.
    """
    if check_count("port", port, 0) > _LARGEST_PORT:  # resolvers take it, but for another
        raise ValueError(f"port must be {_LARGEST_PORT} or less, not {port!r}")
    found: dict[tuple[int, Any], None] = {}
    for host in hosts:
        try:
            infos = await trio.socket.getaddrinfo(host, port, type=kind, flags=socket.AI_PASSIVE)
        except socket.gaierror as error:
            raise socket.gaierror(
                error.errno, f"{error.strerror}: cannot look up {host!r}"
            ) from None
        except UnicodeError as error:
            raise ValueError(f"host must be a name or an address, not {host!r}: {error}") from None
        for family, _type, _protocol, _name, address in infos:
            found[family, address] = None
    return list(found)


def is_listener(listener: Any) -> bool:
    """Say whether *listener* is one of trio's kind."""
    return hasattr(listener, "accept") and hasattr(listener, "aclose")


def given_listeners(listeners: Any) -> list[Any]:
    """Return *listeners* as a list.

    :raises TypeError: there are not several of them.
    """
    try:
        return list(listeners)
    except TypeError:
        raise TypeError(
            f"listeners must be several of trio's listeners, a list for example, not {listeners!r}"
        ) from None
