"""What it costs a blocking function to wait for trio: by a switch of greenlets, and by greenback.

``pip install greenback``, then ``python -m benchmarks.bridges``. Figures are µs of the process's
CPU, the best of several rounds.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import trio

from trio_backend.greenlets import bridge, wait_for

WAITS = 40_000
TASKS = 2_000
ROUNDS = 7

Wait = Callable[[], Awaitable[None]]


class Nobody:
    """Is told of the greenlet, and not interested."""

    greenlet: Any = None


async def a_checkpoint() -> None:
    await trio.lowlevel.cancel_shielded_checkpoint()


async def nothing() -> None:
    """Be there at once: what is left is the cost of the bridge."""


async def natively(count: int, what: Wait) -> None:
    for _ in range(count):
        await what()


async def by_a_switch(count: int, what: Wait) -> None:
    def work() -> None:
        for _ in range(count):
            wait_for(what())

    await bridge(Nobody(), work)


def by_greenback(greenback: Any) -> Callable[[int, Wait], Awaitable[None]]:
    async def run(count: int, what: Wait) -> None:
        def work() -> None:
            for _ in range(count):
                greenback.await_(what())

        await greenback.with_portal_run_sync(work)

    return run


async def cost(run: Callable[[int], Awaitable[None]], count: int) -> float:
    """Return the µs of CPU for each of *count*."""
    best = float("inf")
    for _ in range(ROUNDS):
        begun = time.process_time()
        await run(count)
        best = min(best, (time.process_time() - begun) / count)
    return best * 1e6


async def in_tasks(way: Callable[[int, Wait], Awaitable[None]], count: int) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(way, 1, a_checkpoint)


async def main() -> None:
    ways: dict[str, Callable[[int, Wait], Awaitable[None]]] = {
        "natively": natively,
        "by a switch": by_a_switch,
    }
    try:
        ways["by greenback"] = by_greenback(importlib.import_module("greenback"))
    except ImportError:
        print("greenback is not installed")
    print(f"{'µs for each':14}{'nothing':>12}{'checkpoint':>12}{'task':>12}")
    for name, way in ways.items():
        figures = [
            await cost(partial(lambda way, what, count: way(count, what), way, what), WAITS)
            for what in (nothing, a_checkpoint)
        ]
        figures.append(await cost(partial(in_tasks, way), TASKS))
        print(f"{name:14}" + "".join(f"{figure:12.2f}" for figure in figures))


if __name__ == "__main__":
    trio.run(main)
