"""Awaitables that are run even where nobody awaits them.

A hook that is called through ``super()`` may have something asynchronous left to do. Overrides
written for the standard library neither await nor return it, so it is noted when it is made, and
the driver awaits, after the hook, what nobody has.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Iterable
from contextvars import ContextVar
from typing import Any, Final, TypeGuard

__all__ = [
    "Deferred",
    "Later",
    "drop_deferred",
    "is_awaitable",
    "settle_deferred",
    "take_deferred",
    "waiting",
]

#: What was deferred in this context and not yet settled; None for nothing.
#: A tuple, since contexts are copied: what a task defers is not for the one that started it.
waiting: Final[ContextVar[tuple[Deferred, ...] | None]] = ContextVar("waiting", default=None)


class Deferred:
    """Something to await, by whoever made it or else by the driver.

    :param awaitable: what to await; it is awaited once.
    :ivar taken: whether somebody has awaited this.
    """

    __slots__ = ("_awaitable", "taken")

    def __init__(self, awaitable: Awaitable[Any]) -> None:
        self._awaitable = awaitable
        self.taken = False
        noted = waiting.get()
        waiting.set((self,) if noted is None else (*noted, self))

    def __await__(self) -> Generator[Any, Any, Any]:
        self.taken = True
        return self._awaitable.__await__()

    def take(self) -> Awaitable[Any]:
        """Return what is to be awaited, for the caller to do so at once and in its own place.

        What comes later is begun by this, and what is left of it returned. Each frame less between
        a task and what it waits for is memory and time.
        """
        self.taken = True
        awaitable = self._awaitable
        return awaitable.begin() if type(awaitable) is Later else awaitable

    def drop(self) -> None:
        """Give up what was not awaited."""
        if not self.taken:
            self.taken = True
            close = getattr(self._awaitable, "close", None)
            if close is not None:
                close()


class Later:
    """Something to await that is not begun before.

    :param begin: called with *args* then; returns what is left to be awaited, or None.
    """

    __slots__ = ("_args", "_begin")

    def __init__(self, begin: Callable[..., Awaitable[Any] | None], *args: Any) -> None:
        self._begin = begin
        self._args = args

    def begin(self) -> Awaitable[Any]:
        """Begin; return what is left to be awaited."""
        rest = self._begin(*self._args)
        return _NOTHING if rest is None else rest

    def __await__(self) -> Generator[Any, Any, Any]:
        return self.begin().__await__()


class _Nothing:
    def __await__(self) -> Generator[Any, Any, None]:
        yield from ()


_NOTHING: Final = _Nothing()


async def settle_deferred(noted: Iterable[Deferred] = ()) -> None:
    """Await *noted*, and then all else that was deferred here, unless somebody has awaited it.

    All in the order in which it was made. When one raises, those after it are given up.
    """
    noted = (*noted, *take_deferred())
    while noted:
        try:
            for deferred in noted:
                if not deferred.taken:
                    await deferred
        except BaseException:
            for deferred in noted:
                deferred.drop()
            drop_deferred()
            raise
        noted = take_deferred()


def take_deferred() -> tuple[Deferred, ...]:
    """Return what was deferred here, for the caller to settle or drop."""
    noted = waiting.get()
    if noted is None:
        return ()
    waiting.set(None)
    return noted


def drop_deferred() -> None:
    """Give up all that was deferred here and nobody awaited: its hook has failed."""
    for deferred in take_deferred():
        deferred.drop()


def is_awaitable(result: object) -> TypeGuard[Awaitable[Any]]:
    """Say whether *result* of a hook is to be awaited."""
    return hasattr(result, "__await__")
