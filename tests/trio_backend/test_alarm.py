"""Ending the sleep of a task, from anywhere and in any order."""

from __future__ import annotations

import math
import signal
import socket
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from trio_backend.alarm import Alarm


async def sleeping(alarm: Alarm, *args: Any) -> tuple[bool, float]:
    """Sleep; return what the alarm said, and how long that took."""
    begun = trio.current_time()
    came = await alarm.sleep(*(args or (math.inf, trio.sleep_forever)))
    return came, trio.current_time() - begun


async def two_seconds() -> None:
    await trio.sleep(2)


async def test_what_is_waited_for_may_come_first(autojump_clock: trio.testing.MockClock) -> None:
    alarm = Alarm()
    assert await sleeping(alarm, math.inf, two_seconds) == (True, 2)


async def test_the_time_may_come_first(autojump_clock: trio.testing.MockClock) -> None:
    alarm = Alarm()
    until = trio.current_time() + 3
    assert await sleeping(alarm, until, trio.sleep_forever) == (False, 3)


async def test_a_time_that_has_passed_is_no_sleep(autojump_clock: trio.testing.MockClock) -> None:
    alarm = Alarm()
    assert await sleeping(alarm, trio.current_time() - 1, trio.sleep_forever) == (False, 0)


@pytest.mark.parametrize("seconds", [0.0, 1.0, math.inf])
def test_what_is_there_comes_before_a_time_that_has_passed(seconds: float) -> None:
    """In the first steps of a run, too, where trio attends to other threads all the time."""

    async def main(ready: socket.socket) -> bool:
        for _ in range(2):
            trio.lowlevel.current_trio_token().run_sync_soon(lambda: None)
        until = trio.current_time() - seconds
        return await Alarm().sleep(until, partial(trio.lowlevel.wait_readable, ready))

    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"here")
        assert [trio.run(main, ours) for _ in range(20)] == [True] * 20


async def test_the_alarm_may_come_first(autojump_clock: trio.testing.MockClock) -> None:
    alarm = Alarm()
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def ring() -> None:
            await trio.sleep(4)
            alarm.ring()

        assert await sleeping(alarm) == (False, 4)


async def test_an_alarm_that_rang_before_ends_the_next_sleep_alone(
    autojump_clock: trio.testing.MockClock,
) -> None:
    alarm = Alarm()
    alarm.ring()
    alarm.ring()
    with trio.testing.assert_checkpoints():
        assert await sleeping(alarm) == (False, 0)
    assert await sleeping(alarm, trio.current_time() + 5, trio.sleep_forever) == (False, 5)


async def test_an_alarm_during_a_sleep_that_ended_otherwise_does_not_end_the_next(
    autojump_clock: trio.testing.MockClock,
) -> None:
    alarm = Alarm()

    async def ring() -> None:
        alarm.ring()

    assert await sleeping(alarm, math.inf, ring) == (True, 0)
    assert await sleeping(alarm, trio.current_time() + 5, trio.sleep_forever) == (False, 5)


def call(function: Callable[[], object]) -> None:
    function()


def in_thread(function: Callable[[], object]) -> None:
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


def in_signal_handler(function: Callable[[], object]) -> None:
    former = signal.signal(signal.SIGUSR1, lambda *_: function())
    try:
        signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, former)


@pytest.mark.parametrize("somewhere", [call, in_thread, in_signal_handler])
async def test_anybody_may_wake_the_task(somewhere: Callable[[Any], None]) -> None:
    alarm = Alarm()
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def wake() -> None:
            await trio.testing.wait_all_tasks_blocked()
            somewhere(alarm.wake)

        assert not await alarm.sleep(math.inf, trio.sleep_forever)
    somewhere(alarm.wake)
    assert not await alarm.sleep(math.inf, trio.sleep_forever)


@pytest.mark.parametrize("goes_on", [True, False])
async def test_a_sleep_may_go_on_in_spite_of_the_alarm(
    goes_on: bool, autojump_clock: trio.testing.MockClock
) -> None:
    alarm = Alarm()
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def ring() -> None:
            await trio.sleep(1)
            alarm.ring()

        came = await sleeping(alarm, math.inf, two_seconds, lambda: goes_on)
    assert came == ((True, 2) if goes_on else (False, 1))


@pytest.mark.parametrize("goes_on", [True, False])
async def test_a_sleep_may_begin_in_spite_of_the_alarm(
    goes_on: bool, autojump_clock: trio.testing.MockClock
) -> None:
    alarm = Alarm()
    alarm.ring()
    came = await sleeping(alarm, math.inf, two_seconds, lambda: goes_on)
    assert came == ((True, 2) if goes_on else (False, 0))


async def test_a_cancellation_is_none_of_its_business() -> None:
    alarm = Alarm()

    async def cancel() -> None:
        scope.cancel()
        await trio.sleep_forever()

    wait: Callable[[], Awaitable[None]] = cancel
    with trio.CancelScope() as scope:
        await alarm.sleep(math.inf, wait)
    assert scope.cancelled_caught


def test_after_the_run_nobody_is_woken() -> None:
    async def main() -> Alarm:
        return Alarm()

    alarm = trio.run(main)
    alarm.wake()
    alarm.close()
