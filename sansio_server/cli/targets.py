"""Finding the handler that ``MODULE:HANDLER`` names."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

import attrs

from .console import CommandError

__all__ = ["Handler", "Target", "check_fits", "load_handler", "load_target"]

Handler = Callable[..., Any]


@attrs.frozen
class Target:
    """A handler, and the server class to serve it with, if one was named.

    :ivar handler_name: what names the handler, ``MODULE:HANDLER``, and
    :ivar server_name: the class; None if none was named.
    """

    handler: Handler
    server_class: type | None
    handler_name: str
    server_name: str | None


def load_target(text: str, server: str | None = None) -> Target:
    """Return what *text* names, as :func:`load_handler` does; of a server class, that class too.

    :param server: names the server class, if *text* does not.
    :raises CommandError: as there; or *server* names no server class.
    """
    handler = load_handler(text)
    if server is None:
        named = _find(text)
        if isinstance(named, type) and hasattr(named, "serve_forever"):
            return Target(handler, named, f"{text}.RequestHandlerClass", text)
        return Target(handler, None, text, None)
    found = _find(server)
    if not (isinstance(found, type) and hasattr(found, "serve_forever")):
        raise CommandError(f"{server!r} is {found!r}, and no server class")
    return Target(handler, found, text, server)


def load_handler(text: str) -> Handler:
    """Return what *text*, of the form ``MODULE:HANDLER``, names.

    The handler may be an attribute of an attribute: ``package.module:Class.Handler``. Of a server,
    or of a server class that has one, the ``RequestHandlerClass`` is meant.

    :raises CommandError: the form is wrong, or there is no such module, or no such handler in it,
        or it cannot be called as a handler is.
    """
    found = _find(text)
    if hasattr(found, "serve_forever"):
        found = _handler_of_server(text, found)
    _check_callable(text, found)
    handler: Handler = found
    return handler


def _find(text: str) -> Any:
    name, colon, path = text.partition(":")
    if not (colon and name and path):
        raise CommandError(f"{text!r} names no handler; write MODULE:HANDLER")
    found: Any = _load_module(name)
    so_far = name
    for attribute in path.split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError:
            raise CommandError(
                f"{so_far!r} has no {attribute!r}, which {text!r} asks for"
            ) from None
        so_far = f"{so_far}.{attribute}"
    return found


def _load_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        hint = f" (a module has no .py: {name[:-3]})" if name.endswith(".py") else ""
        raise CommandError(
            f"cannot import {name!r}: {type(error).__name__}: {error}{hint}"
        ) from error


def _handler_of_server(text: str, server: Any) -> Any:
    handler = getattr(server, "RequestHandlerClass", None)
    if handler is None:
        raise CommandError(f"{text!r} is a server class; name the handler it is to serve")
    return handler


def _check_callable(text: str, found: Any) -> None:
    if not callable(found):
        raise CommandError(
            f"{text!r} is {found!r}; a handler is a class, or anything else that can be called "
            "with a request, a client's address and a server"
        )
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):
        return  # it does not show what it takes, as much that is written in C
    try:
        signature.bind(None, None, None)
    except TypeError as error:
        raise CommandError(
            f"{text!r} takes {signature}; a handler is called with a request, a client's address "
            f"and a server: {error}"
        ) from None


def check_fits(text: str, handler: Handler, *, datagrams: bool, address: object) -> None:
    """Check that a handler for streams is not to serve datagrams, nor the other way round.

    Only handlers that derive from one of the two classes, ours or the standard library's, show
    which they are for.

    :raises CommandError: it does not fit.
    """
    wrong = "StreamRequestHandler" if datagrams else "DatagramRequestHandler"
    if any(base.__name__ == wrong for base in getattr(handler, "__mro__", ())):
        what = "datagrams" if datagrams else "connections"
        raise CommandError(f"{text!r} is a {wrong}; it cannot serve the {what} of {address}")
