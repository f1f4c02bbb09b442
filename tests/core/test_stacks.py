from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Awaitable, Generator, Iterator
from typing import Any

from sansio_server.deferred import Deferred, drop_deferred
from sansio_server.stacks import coroutine_stack, thread_stack

from .memory import Pause

PATIENCE = 10.0  # seconds


def functions(stack: str) -> list[str]:
    """Return the names in a stack, outermost first."""
    return [line.rpartition(" in ")[2] for line in stack.splitlines() if line.startswith("  File")]


def test_where_a_thread_stands() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def stand_here() -> None:
        begun.set()
        go_on.wait(PATIENCE)

    thread = threading.Thread(target=stand_here)
    thread.start()
    assert begun.wait(PATIENCE)
    stack = thread_stack(thread.ident)
    go_on.set()
    thread.join(PATIENCE)
    assert "stand_here" in functions(stack)
    assert functions(stack)[0] == "_bootstrap"
    assert thread_stack(thread.ident) == ""
    assert thread_stack(None) == ""


async def inner() -> None:
    await Pause()


class Wrapped(Awaitable[Any]):
    """Hides a coroutine, as what is deferred does."""

    def __await__(self) -> Generator[Any, Any, Any]:
        return inner().__await__()


class Delegating(Awaitable[Any]):
    """Is a generator that leads on."""

    def __await__(self) -> Generator[Any, Any, Any]:
        yield from Wrapped().__await__()


class Iterating(Awaitable[Any]):
    """Is waited for by something that shows nothing."""

    def __await__(self) -> Generator[Any, Any, Any]:
        return iter([None])  # type: ignore[return-value]


class Showing(Iterator[None]):
    """Is no coroutine, but shows itself as one."""

    def __init__(self, coroutine: Any) -> None:
        self.cr_frame, self.cr_await = coroutine.cr_frame, coroutine.cr_await

    def __next__(self) -> None:
        """Be waited for."""

    def __await__(self) -> Any:
        return self


async def items() -> AsyncIterator[int]:
    await inner()
    yield 1


async def iterate() -> None:
    async for _ in items():
        """Never come here."""


def where(awaitable: Awaitable[Any]) -> list[str]:
    """Return where a coroutine that awaits *awaitable* stands."""

    async def outer() -> None:
        await awaitable

    coroutine = outer()
    coroutine.send(None)
    stack = coroutine_stack(coroutine)
    coroutine.close()
    drop_deferred()
    return functions(stack)


def test_where_a_coroutine_waits() -> None:
    assert where(inner()) == ["outer", "inner", "__await__"]
    assert where(Wrapped()) == ["outer", "inner", "__await__"]
    assert where(Deferred(inner())) == ["outer", "inner", "__await__"]
    assert where(Iterating()) == ["outer"]
    shown = inner()
    assert where(Showing(shown)) == ["outer", "inner"]
    shown.close()
    assert where(iterate()) == ["outer", "iterate", "items", "inner", "__await__"]
    assert where(Delegating()) == ["outer", "__await__", "inner", "__await__"]


def test_the_line_is_the_one_that_waits() -> None:
    coroutine = inner()
    coroutine.send(None)
    assert "await Pause()" in coroutine_stack(coroutine)
    coroutine.close()


def test_what_has_not_begun_or_is_over_waits_nowhere() -> None:
    coroutine = inner()
    assert functions(coroutine_stack(coroutine)) == ["inner"]
    coroutine.close()
    assert coroutine_stack(coroutine) == ""
