"""What a module with the interface of `socketserver` shows before anything runs, in lines."""

from __future__ import annotations

import enum
import inspect
import socketserver
from types import ModuleType

SPECIAL = ("__init__", "__enter__", "__exit__")

# What classes are called that a program may count on meeting among a class's bases.
_KNOWN = {name for name in dir(socketserver) if not name.startswith("_")}


def public_names(module: ModuleType) -> list[str]:
    """Return the names that the module offers."""
    return sorted(module.__all__)


def surface(module: ModuleType, name: str) -> list[str]:
    """Return a line for each base, attribute and method of a public class."""
    cls = getattr(module, name)
    bases = dict.fromkeys(base.__name__ for base in cls.__mro__ if base.__name__ in _KNOWN)
    names = [name for name in sorted(dir(cls)) if name in SPECIAL or not name.startswith("_")]
    return [f"bases {' '.join(bases)}", *(_describe(cls, name) for name in names)]


def instance_names(module: ModuleType, name: str) -> set[str]:
    """Return the public names that an instance of a public class has."""
    cls = getattr(module, name)
    own: dict[str, object] = {}
    if issubclass(cls, module.BaseServer):
        # The one of a socket: those of mixins have none of their own before they serve.
        server = module.TCPServer(("127.0.0.1", 0), module.BaseRequestHandler, False)
        server.server_close()
        own = vars(server)
    return {name for name in (*dir(cls), *own) if not name.startswith("_")}


def _describe(cls: type, name: str) -> str:
    found = inspect.getattr_static(cls, name)
    if isinstance(found, property):
        return f"property {name}"
    value = getattr(cls, name)
    if callable(value) and not inspect.isclass(value):
        return f"method {name}({_parameters(value)})"
    shown = value.name if isinstance(value, enum.Enum) else repr(value)
    return f"attribute {name} = {shown}"


def _parameters(function: object) -> str:
    assert callable(function)
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # a builtin function that does not say
        return "..."
    bare = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in parameters]
    return str(inspect.Signature(bare))[1:-1]
