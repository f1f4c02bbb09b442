"""Server classes written for one backend, derived again from the bases of another.

A class cannot be given other bases, and its methods know it by name: ``super()`` without arguments
looks up ``__class__``, which the compiler has bound. So each class of the program's between the
server and the library is made a second time, on other bases, and of each function that has a
``__class__`` there is a copy that has the new one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from types import CellType, FunctionType, MemberDescriptorType
from typing import Any, Final

from . import classes as servers

__all__ = ["LIBRARIES", "in_memory", "rebased"]

#: The packages whose server classes are replaced.
LIBRARIES: Final = frozenset({"socketserver", "sync_backend", "trio_backend", "sansio_server"})

#: What ``type`` makes by itself for each class.
_MADE: Final = frozenset({"__dict__", "__weakref__"})


#: What is taken instead of a library's class, by its name.
_IN_MEMORY: Final = {name: getattr(servers, name) for name in servers.__all__}


def in_memory(server_class: type) -> type:
    """Return *server_class* on the bases of :mod:`sansio_server.testing`, to be used in a world.

    :param server_class: a class of ``socketserver``, ``sync_backend`` or ``trio_backend``, or
        one derived from these; one that is in memory already is returned as it is.
    :raises TypeError: it is no class of servers, or one that cannot be in memory.
    """
    return rebased(server_class, _IN_MEMORY)


def rebased(server_class: type, replacements: Mapping[str, type]) -> type:
    """Return *server_class* on other bases than those of the libraries.

    What is the program's keeps its name, its order of inheritance and its metaclass. A class with
    none of the libraries' behind it, as mix-ins are, stays the very same.

    :param server_class: a class of one of :data:`LIBRARIES`, or derived from one.
    :param replacements: what to take instead of a library's class, by its name.
    :raises TypeError: it is no class, or has a base that there is nothing to take instead of.
    """
    if not isinstance(server_class, type):
        raise TypeError(f"server_class must be a class of servers, not {server_class!r}")
    return _Rebasing(replacements).of(server_class)


class _Rebasing:
    def __init__(self, replacements: Mapping[str, type]) -> None:
        self._replacements = replacements
        self._done: dict[type, type] = {}

    def of(self, original: type) -> type:
        if original in self._replacements.values():
            return original
        if original not in self._done:
            self._done[original] = self._make(original)
        return self._done[original]

    def _make(self, original: type) -> type:
        if original.__module__.partition(".")[0] in LIBRARIES:
            try:
                return self._replacements[original.__name__]
            except KeyError:
                names = ", ".join(sorted(self._replacements))
                raise TypeError(
                    f"there is nothing to take instead of {original.__module__}."
                    f"{original.__qualname__}, only of {names}"
                ) from None
        bases = tuple(self.of(base) if base is not object else base for base in original.__bases__)
        if bases == original.__bases__:
            return original
        return _made_anew(original, bases)


def _made_anew(original: type, bases: tuple[type, ...]) -> type:
    cell = CellType()
    copies = _Copies(original, cell)
    namespace = {
        name: copies.of(value)
        for name, value in vars(original).items()
        if name not in _MADE and not isinstance(value, MemberDescriptorType)
    }
    made: type = type(original)(original.__name__, bases, namespace)
    cell.cell_contents = made
    return made


class _Copies:
    """Copies of the functions that know a class, which know another instead."""

    def __init__(self, original: type, cell: CellType) -> None:
        self._original = original
        self._cell = cell

    def of(self, value: Any) -> Any:
        if isinstance(value, FunctionType):
            return self._function(value)
        if isinstance(value, (staticmethod, classmethod)):
            return type(value)(self.of(value.__func__))
        if isinstance(value, property):
            kind: Any = type(value)
            return kind(*map(self.of, (value.fget, value.fset, value.fdel)), value.__doc__)
        if isinstance(value, functools.cached_property):
            copy = type(value)(self.of(value.func))
            copy.attrname = value.attrname
            return copy
        return value

    def _function(self, function: FunctionType) -> FunctionType:
        """Return a copy of *function*, or itself if neither it nor what it wraps has the class."""
        cells = function.__closure__ or ()
        names = function.__code__.co_freevars
        closure = tuple(map(self._replaced, names, cells))
        if closure == cells:
            return function
        copy = FunctionType(
            function.__code__,
            function.__globals__,
            function.__name__,
            function.__defaults__,
            closure,
        )
        copy.__kwdefaults__ = function.__kwdefaults__
        copy.__qualname__ = function.__qualname__
        functools.update_wrapper(
            copy, function, assigned=("__module__", "__doc__", "__annotations__")
        )
        wrapped: Callable[..., Any] | None = function.__dict__.get("__wrapped__")
        if wrapped is None:
            del copy.__wrapped__  # type: ignore[attr-defined]  # as functools sets it
        else:
            copy.__wrapped__ = self.of(wrapped)  # type: ignore[attr-defined]  # as functools sets it
        return copy

    def _replaced(self, name: str, cell: CellType) -> CellType:
        try:
            content = cell.cell_contents
        except ValueError:
            return cell  # not bound yet
        if name == "__class__":
            return self._cell if content is self._original else cell
        if isinstance(content, FunctionType):  # what a decorator wraps
            copy = self._function(content)
            return cell if copy is content else CellType(copy)
        return cell
