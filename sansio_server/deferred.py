"""Awaitables that are run even if the program does not await them.

A hook that is called through ``super()`` may have asynchronous work left. Overrides written for the
standard library neither await nor return it. So it is noted when it is made, and after the hook the
driver awaits what has not been awaited.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Iterable
from contextvars import ContextVar
from typing import Any, Final, TypeGuard, TypeVar

__all__ = [
    "DONE",
    "Deferred",
    "Later",
    "as_coroutine",
    "close",
    "drop_deferred",
    "is_awaitable",
    "settle_deferred",
    "settled",
    "take_deferred",
    "waiting",
]

_T = TypeVar("_T")

#: What was deferred in this context and not yet settled; None for nothing.
#: A tuple, since contexts are copied: what a task defers is not for the one that started it.
waiting: Final[ContextVar[tuple[Deferred, ...] | None]] = ContextVar("waiting", default=None)


class Deferred:
    """Something to await: by the program, or else by the driver.

    :param awaitable: what to await; it is awaited once.
    :ivar taken: whether this has been awaited.
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

        A :class:`Later` is begun by this, and the rest of it returned: each frame between a task
        and what it waits for costs memory and time.
        """
        self.taken = True
        awaitable = self._awaitable
        return awaitable.begin() if type(awaitable) is Later else awaitable

    def drop(self) -> None:
        """Close the awaitable, if it was not awaited."""
        if not self.taken:
            self.taken = True
            close(self._awaitable)


class Later:
    """Something to await that begins only when it is awaited.

    :param begin: called with *args* then; returns the rest to await, or None.
    """

    __slots__ = ("_args", "_begin")

    def __init__(self, begin: Callable[..., Awaitable[Any] | None], *args: Any) -> None:
        self._begin = begin
        self._args = args

    def begin(self) -> Awaitable[Any]:
        """Begin; return the rest to await."""
        rest = self._begin(*self._args)
        return DONE if rest is None else rest

    def __await__(self) -> Generator[Any, Any, Any]:
        return self.begin().__await__()


class _Done:
    def __await__(self) -> Generator[Any, Any, None]:
        yield from ()


#: What may be awaited of something that is done.
DONE: Final[Awaitable[None]] = _Done()


async def settle_deferred(noted: Iterable[Deferred] = ()) -> None:
    """Await *noted*, and then all else that was deferred here, unless it has been awaited.

    All in the order in which they were made. If one raises, those after it are closed.
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


async def settled(result: Any, noted: Iterable[Deferred] = ()) -> Any:
    """Return *result* of a hook, awaited if it is to be; and await what the hook deferred.

    :param noted: what it has deferred elsewhere; what it has deferred here comes after that.
    """
    if is_awaitable(result):
        result = await result
    if noted or waiting.get() is not None:
        await settle_deferred(noted)
    return result


def take_deferred() -> tuple[Deferred, ...]:
    """Return what was deferred here, for the caller to settle or drop."""
    noted = waiting.get()
    if noted is None:
        return ()
    waiting.set(None)
    return noted


def drop_deferred() -> None:
    """Close all that was deferred here and not awaited: its hook has failed."""
    for deferred in take_deferred():
        deferred.drop()


def close(awaitable: Any) -> None:
    """Give up what will not be awaited."""
    if hasattr(awaitable, "close"):
        awaitable.close()


async def as_coroutine(awaitable: Awaitable[_T]) -> _T:
    """Return the result of *awaitable*; a coroutine, for callers that need one."""
    return await awaitable


def is_awaitable(result: object) -> TypeGuard[Awaitable[Any]]:
    """Say whether *result* of a hook is to be awaited."""
    return hasattr(result, "__await__")
