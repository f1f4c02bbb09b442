"""Time limits, in virtual time."""

from __future__ import annotations

import pytest
import trio

from trio_backend.time_limits import in_time


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
