"""Blocking functions whose waiting a task does."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
from collections.abc import Awaitable, Generator
from contextvars import ContextVar
from typing import Any

import greenlet
import pytest
import trio
import trio.testing

from trio_backend.carriers import check_carrier
from trio_backend.greenlets import bridge, in_bridge, run_waiting, wait_for


class Worker:
    greenlet: Any = None


async def sleep(seconds: float, result: Any = None) -> Any:
    await trio.sleep(seconds)
    return result


async def bridged(function: Any, *args: Any) -> Any:
    return await bridge(Worker(), function, *args)


# Waiting.


async def test_a_function_runs_to_its_end_and_returns() -> None:
    assert await bridged(divmod, 7, 2) == (3, 1)


async def test_a_function_waits_for_what_it_likes(
    autojump_clock: trio.testing.MockClock,
) -> None:
    def function(first: int) -> int:
        assert in_bridge()
        return int(wait_for(sleep(first, 1)) + wait_for(sleep(2, 10)))

    assert await bridged(function, 3) == 11
    assert trio.current_time() == 5
    assert not in_bridge()


async def test_functions_wait_side_by_side(autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        for seconds in range(100):
            nursery.start_soon(bridged, lambda each: wait_for(sleep(each)), seconds)
    assert trio.current_time() == 99


async def test_what_it_raises_comes_out() -> None:
    def function() -> None:
        wait_for(sleep(0))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await bridged(function)


async def test_what_the_waiting_raises_is_raised_where_it_waits() -> None:
    async def fail() -> None:
        await trio.lowlevel.checkpoint()
        raise ZeroDivisionError

    def function() -> str:
        try:
            wait_for(fail())
        except ZeroDivisionError:
            wait_for(sleep(0))
            return "caught"
        return "not caught"

    assert await bridged(function) == "caught"


async def test_a_cancellation_is_raised_where_it_waits() -> None:
    seen = []

    def function() -> None:
        try:
            wait_for(sleep(math.inf))
        except trio.Cancelled:
            seen.append("cancelled")
            raise

    with trio.move_on_after(0.001) as scope:
        await bridged(function)
    assert scope.cancelled_caught
    assert seen == ["cancelled"]


async def test_a_cancelled_task_begins_all_the_same() -> None:
    """It may be the function's to close what it was given."""
    begun = []

    def function() -> None:
        begun.append(True)
        wait_for(sleep(0))
        raise AssertionError

    with trio.CancelScope() as scope:
        scope.cancel()
        await bridged(function)
    assert scope.cancelled_caught
    assert begun


async def test_somebody_is_told_of_the_greenlet_while_it_lasts() -> None:
    worker = Worker()

    def function() -> None:
        assert worker.greenlet is greenlet.getcurrent()

    await bridge(worker, function)
    assert worker.greenlet is None


variable = ContextVar("variable", default="unset")


async def test_context_variables_are_those_of_the_task() -> None:
    async def look() -> None:
        assert variable.get() == "set in the function"
        variable.set("set in what it waits for")

    def function() -> None:
        assert variable.get() == "set in the task"
        variable.set("set in the function")
        wait_for(look())
        assert variable.get() == "set in what it waits for"
        variable.set("set in the end")

    variable.set("set in the task")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bridged, variable.set, "of another task")
        await bridged(function)
    assert variable.get() == "set in the end"


async def test_who_waits_elsewhere_is_told_so() -> None:
    errors: list[str] = []

    def misuse() -> None:
        with pytest.raises(RuntimeError, match="was used outside of it") as caught:
            wait_for(sleep(1))
        errors.append(str(caught.value))

    def function() -> None:
        thread = threading.Thread(target=misuse)
        thread.start()
        thread.join()
        greenlet.greenlet(misuse).switch()

    await bridged(function)
    misuse()
    assert len(errors) == 3


class Bare(Awaitable[Any]):
    def __await__(self) -> Generator[Any, Any, Any]:
        raise AssertionError


async def test_who_waits_elsewhere_for_something_else_too() -> None:
    with pytest.raises(RuntimeError, match="was used outside of it"):
        wait_for(Bare())


# Coroutines in a greenlet.


async def test_a_coroutine_in_a_greenlet_awaits_all_of_trio(
    autojump_clock: trio.testing.MockClock,
) -> None:
    log: list[str] = []

    async def child(name: str, seconds: float) -> None:
        await trio.sleep(seconds)
        log.append(name)

    async def coroutine() -> str:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child, "one", 1)
            nursery.start_soon(child, "two", 2)
        with trio.move_on_after(3):
            await trio.sleep_forever()
        # It may block as well, since it runs in the greenlet.
        log.append(wait_for(sleep(1, "waited")))
        return "done"

    assert await bridged(lambda: run_waiting(coroutine())) == "done"
    assert log == ["one", "two", "waited"]
    assert trio.current_time() == 6


async def test_what_it_awaits_may_raise() -> None:
    async def coroutine() -> str:
        try:
            with trio.fail_after(0.001):
                await trio.sleep_forever()
        except trio.TooSlowError:
            await trio.lowlevel.checkpoint()
        return "too slow"

    assert await bridged(lambda: run_waiting(coroutine())) == "too slow"

    async def failing() -> None:
        await trio.lowlevel.checkpoint()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await bridged(lambda: run_waiting(failing()))


async def test_it_may_be_cancelled() -> None:
    with trio.move_on_after(0.001) as scope:
        await bridged(lambda: run_waiting(sleep(math.inf)))
    assert scope.cancelled_caught


async def test_nothing_to_await_is_no_waiting() -> None:
    async def coroutine() -> str:
        return "done"

    assert run_waiting(coroutine()) == "done"


# Without greenlet.


def test_it_is_said_what_is_missing() -> None:
    check_carrier("greenlets", needed=True)
    code = (
        "import sys; sys.modules['greenlet'] = None\n"
        "from trio_backend.carriers import check_carrier\n"
        "check_carrier('greenlets')\n"
        "check_carrier('threads', needed=True)\n"
        "try: check_carrier('greenlets', needed=True)\n"
        "except RuntimeError as error: print(error)"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=30
    ).stdout
    assert output == (
        "blocking handlers in greenlets need the package greenlet: "
        "pip install 'sansio-server[greenlet]'\n"
    )
