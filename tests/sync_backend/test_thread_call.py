"""A hook called in a thread for a task; there is no event loop here, and none is needed."""

from __future__ import annotations

import gc
import inspect
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from sansio_server.deferred import Deferred
from sansio_server.driver import run_blocking
from sync_backend.thread_call import ThreadCall
from tests.sync_backend.support import in_thread


class User:
    thread: int | None = None


def called(hook: Callable[..., Any], *args: Any) -> ThreadCall:
    """Call a hook in a thread, to its end."""
    call = ThreadCall(User(), hook, *args)
    with in_thread(call.run):
        pass
    return call


async def answer(value: str, seen: list[str]) -> str:
    seen.append(value)
    return value


def test_the_result_comes_to_the_task() -> None:
    assert run_blocking(called(divmod, 7, 2).outcome()) == (3, 1)


def test_the_thread_is_known_while_it_is_at_work() -> None:
    user = User()
    call = ThreadCall(user, lambda: (threading.get_ident(), user.thread))
    with in_thread(call.run):
        pass
    ident, known = run_blocking(call.outcome())
    assert ident == known
    assert user.thread is None


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_what_the_hook_raises_is_raised_in_the_task(kind: type[BaseException]) -> None:
    def fail() -> None:
        raise kind("no")

    user = User()
    call = ThreadCall(user, fail)
    with in_thread(call.run):
        pass
    assert user.thread is None
    with pytest.raises(kind, match="no"):
        run_blocking(call.outcome())


def test_what_the_hook_has_left_to_be_awaited_is_awaited_in_the_task() -> None:
    def hook() -> Any:
        Deferred(answer("deferred", seen))
        return answer("returned", seen)

    seen: list[str] = []
    call = called(hook)
    assert seen == []
    assert run_blocking(call.outcome()) == "returned"
    assert seen == ["returned", "deferred"]


def test_what_was_left_by_a_hook_that_fails_is_given_up() -> None:
    def hook() -> None:
        Deferred(answer("deferred", seen))
        raise ValueError

    seen: list[str] = []
    with pytest.raises(ValueError, match=r"^$"):
        run_blocking(called(hook).outcome())
    assert seen == []


def test_what_a_hook_returns_to_be_awaited_is_given_up_with_the_outcome() -> None:
    async def rest() -> None:
        raise AssertionError

    awaitable = rest()
    call = called(lambda: awaitable)
    call.drop()
    assert inspect.getcoroutinestate(awaitable) == inspect.CORO_CLOSED


def test_an_outcome_that_is_not_asked_for_is_let_go() -> None:
    class Held:
        """Something that the hook has open."""

    def hook() -> None:
        held = Held()
        watched.append(weakref.ref(held))
        Deferred(answer("deferred", seen))
        raise ValueError(held)

    seen: list[str] = []
    watched: list[Any] = []
    gc.disable()  # reference counts alone are to do it
    try:
        call = called(hook)
        assert watched[0]() is not None
        call.drop()
        assert watched[0]() is None
    finally:
        gc.enable()
    assert seen == []
