"""Awaitables that are run even where nobody awaits them.

A hook that is called through ``super()`` may have something asynchronous left to do. Overrides
written for the standard library neither await nor return it, so it is noted when it is made, and
the driver awaits, after the hook, what nobody has.
"""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from contextvars import ContextVar
from typing import Any, Final

__all__ = ["Deferred", "drop_deferred", "is_awaitable", "settle_deferred", "waiting"]

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


async def settle_deferred() -> None:
    """Await, in the order in which it was made, all that was deferred here and nobody awaited."""
    while noted := waiting.get():
        waiting.set(None)
        try:
            for deferred in noted:
                if not deferred.taken:
                    await deferred
        except BaseException:
            for deferred in noted:
                deferred.drop()
            drop_deferred()
            raise
    waiting.set(None)


def drop_deferred() -> None:
    """Give up all that was deferred here and nobody awaited: its hook has failed."""
    noted = waiting.get()
    if noted is not None:
        waiting.set(None)
        for deferred in noted:
            deferred.drop()


def is_awaitable(result: object) -> bool:
    """Say whether *result* of a hook is to be awaited."""
    return hasattr(result, "__await__")
