"""Greenlets at work: where they stand, and how they are ended."""

from __future__ import annotations

import threading

import trio
import trio.testing

from trio_backend.crew import Green
from trio_backend.greenlets import bridge, wait_for


def stands_here() -> None:
    wait_for(trio.sleep_forever())  # noqa: ASYNC105 - the task awaits it


async def test_says_where_it_stands() -> None:
    green = Green()
    assert green.where() == ""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bridge, green, stands_here)
        await trio.testing.wait_all_tasks_blocked()
        assert "in stands_here\n    wait_for(trio.sleep_forever())" in green.where()
        nursery.cancel_scope.cancel()
    assert green.where() == ""


async def test_a_running_greenlet_stands_nowhere_that_another_could_see() -> None:
    green = Green()
    assert await bridge(green, green.where) == ""


async def test_is_ended_from_any_thread() -> None:
    green = Green()

    async def run() -> None:
        with green.scope:
            await bridge(green, stands_here)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await trio.testing.wait_all_tasks_blocked()
        thread = threading.Thread(target=green.cancel)
        thread.start()
        await trio.to_thread.run_sync(thread.join)
    assert green.scope.cancelled_caught
    assert green.greenlet is None


async def test_is_ended_without_effect_after_its_run() -> None:
    async def make() -> Green:
        return Green()

    green = await trio.to_thread.run_sync(trio.run, make)
    green.cancel()  # raises nothing
    assert not green.scope.cancel_called
