"""What asynchronous handlers may await on every backend, beside their request, through trio."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import trio

__all__ = ["TrioRuntime"]

_T = TypeVar("_T")


class TrioRuntime:
    """Waiting that every backend offers under the same names."""

    async def sleep(self, seconds: float) -> None:
        """Wait for *seconds*."""
        await trio.sleep(seconds)

    async def run_blocking(self, function: Callable[..., _T], /, *args: Any) -> _T:
        """Call *function* in a thread, where it holds up nobody else, and return its result."""
        return await trio.to_thread.run_sync(function, *args)
