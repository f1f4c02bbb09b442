"""What is the same for every server of a test: attributes, silence, an address."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Any

from sansio_server.testing.sockets.base import AF_UNIX

from .adoption import LIBRARIES

__all__ = ["any_address", "checked_handler", "with_attributes"]


def with_attributes(
    server_class: type, attributes: Mapping[str, Any], *, quiet: bool = False
) -> type[Any]:
    """Return a subclass of *server_class* that has *attributes*; itself if there are none.

    :param quiet: whether ``handle_error()`` is to print nothing, unless it is the program's own.
    :raises TypeError: it is no class of servers, or has no such attribute.
    """
    if not _is_server(server_class):
        raise TypeError(f"server_class must be a class of servers, not {server_class!r}")
    for name in attributes:
        if not hasattr(server_class, name):
            raise TypeError(f"{server_class.__name__} has no attribute {name!r}")
    namespace = dict(attributes)
    if quiet and "handle_error" not in namespace and _is_library(server_class, "handle_error"):
        namespace["handle_error"] = _says_nothing
    return type(server_class.__name__, (server_class,), namespace) if namespace else server_class


def checked_handler(handler: Any) -> Any:
    """Return *handler*.

    :raises TypeError: it is a class of servers.
    """
    if isinstance(handler, type) and _is_server(handler):
        raise TypeError(
            f"handler must serve requests, but {handler.__name__} is a class of servers: that is "
            "given after the handler, which may be None"
        )
    return handler


def any_address(server_class: type[Any], folder: str = "/") -> Any:
    """Return an address to serve at: any port of the loopback, or a path in *folder*."""
    family = server_class.address_family
    if family == AF_UNIX:
        return os.path.join(folder, "server")
    return ("::1", 0) if family == socket.AF_INET6 else ("127.0.0.1", 0)


def _is_server(cls: type) -> bool:
    return any(
        base.__name__ == "BaseServer" and base.__module__.partition(".")[0] in LIBRARIES
        for base in cls.__mro__
    )


def _is_library(cls: type, name: str) -> bool:
    home = next(base for base in cls.__mro__ if name in vars(base))
    return home.__module__.partition(".")[0] in LIBRARIES


def _says_nothing(self: Any, request: Any, client_address: Any) -> None:
    """Stand in for ``handle_error()``, which prints."""
