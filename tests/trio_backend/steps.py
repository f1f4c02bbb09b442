"""Doing something at every step of trio's tasks, one run after the other."""

from __future__ import annotations

import gc
import itertools
import random
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import pytest
import trio
import trio._core._run

T = TypeVar("T")


class AtStep(trio.abc.Instrument):
    """Does something when tasks have taken so many steps.

    :ivar done: whether it has been done.
    """

    def __init__(self, step: int, action: Callable[[], object]) -> None:
        self._left = step
        self._action = action
        self.done = False

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self._left -= 1
        if self._left == 0:
            self._action()
            self.done = True


def at_every_step(run: Callable[[int], Awaitable[tuple[T, bool]]], *, least: int) -> Iterator[T]:
    """Run something again and again, until it is over before anything happens to it.

    Tasks take their turns in an order that is the same each time the tests run.

    :param run: called with the number of the step at which something is to happen; returns what is
        to be looked at, which this yields, and whether it happened.
    :param least: how many steps there are to be at least.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trio._core._run, "_ALLOW_DETERMINISTIC_SCHEDULING", True)
        for step in itertools.count(1):
            patch.setattr(trio._core._run, "_r", random.Random(step))
            result, happened = trio.run(run, step)
            yield result
            if not happened:
                break
    assert step > least, "there was hardly anything to do"
    gc.collect()
