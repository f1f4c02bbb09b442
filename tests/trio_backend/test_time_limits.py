"""Time limits, in virtual time."""

from __future__ import annotations

import math

import pytest
import trio

from trio_backend.time_limits import checked_seconds, in_time


async def test_in_time_raises_only_for_its_own_time(autojump_clock: trio.abc.Clock) -> None:
    with in_time(None):
        await trio.sleep(1000)
    with in_time(3):
        await trio.sleep(2)
    with pytest.raises(TimeoutError, match="timed out"), in_time(3):
        await trio.sleep(4)
    assert trio.current_time() == pytest.approx(1005)
    with trio.move_on_after(1) as outer, in_time(3):
        await trio.sleep(4)
    assert outer.cancelled_caught


@pytest.mark.parametrize("seconds", [None, 0, 2.5, math.inf])
def test_seconds_may_be_any_number_from_0_on(seconds: float | None) -> None:
    assert checked_seconds(seconds) == seconds


@pytest.mark.parametrize("wrong", [-1, -0.5, math.nan])
def test_other_seconds_are_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match=f"seconds must be 0 or more, or None, not {wrong}"):
        checked_seconds(wrong)
