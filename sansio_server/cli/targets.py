"""Finding the handler that ``MODULE:HANDLER`` names."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

from .console import CommandError

__all__ = ["Handler", "check_fits", "load_handler"]

Handler = Callable[..., Any]


def load_handler(text: str) -> Handler:
    """Return what *text*, of the form ``MODULE:HANDLER``, names.

    The handler may be an attribute of an attribute: ``package.module:Class.Handler``. Of a server,
    or of a server class that has one, the ``RequestHandlerClass`` is meant.

    :raises CommandError: the form is wrong, or there is no such module, or no such handler in it,
        or it cannot be called as a handler is.
    """
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
    if hasattr(found, "serve_forever"):
        found = _handler_of_server(text, found)
    _check_callable(text, found)
    handler: Handler = found
    return handler


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
