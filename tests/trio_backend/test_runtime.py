"""What asynchronous handlers may await beside their request."""

from __future__ import annotations

import threading

import pytest
import trio
import trio.testing

from trio_backend.runtime import TrioRuntime


async def test_sleeping_takes_its_time_and_can_be_cancelled(
    autojump_clock: trio.abc.Clock,
) -> None:
    runtime = TrioRuntime()
    start = trio.current_time()
    await runtime.sleep(3)
    assert trio.current_time() - start == pytest.approx(3)
    with trio.move_on_after(1) as scope:
        await runtime.sleep(3)
    assert scope.cancelled_caught
    assert trio.current_time() - start == pytest.approx(4)


async def test_blocking_functions_run_in_a_thread() -> None:
    def function(*args: int) -> tuple[int, tuple[int, ...]]:
        return threading.get_ident(), args

    ident, args = await TrioRuntime().run_blocking(function, 1, 2)
    assert ident != threading.get_ident()
    assert args == (1, 2)


async def test_blocking_functions_hold_up_nobody() -> None:
    go_on = threading.Event()
    got: list[bool] = []

    async def run() -> None:
        got.append(await TrioRuntime().run_blocking(go_on.wait, 30))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await trio.testing.wait_all_tasks_blocked()
        assert got == []
        go_on.set()
    assert got == [True]


async def test_what_blocking_functions_raise_is_raised() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        await TrioRuntime().run_blocking(int, "one")
