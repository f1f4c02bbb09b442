"""Waking a trio loop from tasks, threads and signal handlers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

import trio

__all__ = ["Alarm"]


def _never() -> bool:
    return False


class Alarm:
    """Ends the sleep of one task. To be made in the trio run that the task is in."""

    def __init__(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._rung = False
        self._sleep: trio.CancelScope | None = None
        self._unless: Callable[[], bool] = _never

    def wake(self) -> None:
        """End the sleep, from anywhere: it may be another thread, or a signal handler."""
        with suppress(trio.RunFinishedError):  # nobody sleeps any more
            self._token.run_sync_soon(self.ring, idempotent=True)

    def ring(self) -> None:
        """End the sleep, or the next one at once. To be called in the thread of the trio run."""
        self._rung = True
        if self._sleep is not None and not self._unless():
            self._sleep.cancel()

    async def sleep(
        self,
        until: float,
        wait: Callable[[], Awaitable[object]],
        unless: Callable[[], bool] = _never,
    ) -> bool:
        """Wait for *wait*, the alarm, or the time *until*; return whether *wait* came first.

        If the time has passed already, what is there at once still comes first.

        :param unless: asked when the alarm rings; the sleep goes on if this is true then.
        """
        if self._rung and not unless():
            self._rung = False
            await trio.lowlevel.checkpoint()
            return False
        with trio.CancelScope() as scope:
            # Set inside: from outside, a time that has passed would end the wait before it has
            # begun. Trio looks for what is ready, then for what is overdue.
            scope.deadline = until
            self._sleep, self._unless = scope, unless
            try:
                await wait()
                return True
            finally:
                self._sleep, self._unless = None, _never
                self._rung = False
        return False

    def close(self) -> None:
        """Nothing is held."""
