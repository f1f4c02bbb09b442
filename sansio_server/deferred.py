"""Awaitables that are run even where nobody awaits them.

A hook that is called through ``super()`` may have something asynchronous left to do. Overrides
written for the standard library neither await nor return it, so it is noted when it is made, and
the driver awaits, after the hook, what nobody has.
"""

from __future__ import annotations

from collections.abc import Awaitable, Generator, Iterable
from contextvars import ContextVar
from typing import Any, Final

__all__ = [
    "Deferred",
    "defer",
    "drop_deferred",
    "is_awaitable",
    "settle_deferred",
    "take_deferred",
    "waiting",
]

#: What was deferred in this context and not yet settled; None for nothing.
#: A tuple, since contexts are copied: what a task defers is not for the one that started it.
waiting: Final[ContextVar[tuple[Deferred, ...] | None]] = ContextVar("waiting", default=None)


class Deferred(Awaitable[Any]):
    """Something to await, by whoever made it or else by the driver.

    :param awaitable: what to await; it is awaited once.
    """

    __slots__ = ("_awaitable", "_taken")

    def __init__(self, awaitable: Awaitable[Any]) -> None:
        self._awaitable = awaitable
        self._taken = False
        waiting.set((*(waiting.get() or ()), self))

    def __await__(self) -> Generator[Any, Any, Any]:
        self._taken = True
        return self._awaitable.__await__()

    def drop(self) -> None:
        """Give up what was not awaited."""
        if not self._taken:
            self._taken = True
            close = getattr(self._awaitable, "close", None)
            if close is not None:
                close()

    @property
    def taken(self) -> bool:
        """Whether somebody has awaited this."""
        return self._taken


class _Nothing:
    """What is to be awaited of something that needed no waiting."""

    def __await__(self) -> Generator[Any, Any, None]:
        yield from ()


_NOTHING: Final = _Nothing()


def defer(rest: Awaitable[Any] | None) -> Awaitable[Any]:
    """Return *rest* for somebody to await or not, if there is any; else what needs no awaiting.

    Call this with what :func:`~.driver.continue_request` returned, in a backend with an event loop.
    """
    return _NOTHING if rest is None else Deferred(rest)


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


def is_awaitable(result: object) -> bool:
    """Say whether *result* of a hook is to be awaited."""
    return hasattr(result, "__await__")
