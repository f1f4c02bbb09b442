"""Blocking handlers as trio tasks: a greenlet runs the handler, the task does its waiting.

When the handler's socket has to wait, the greenlet hands the awaitable to the task, which awaits it
and hands the result back. What the handler's code sees is a call that blocks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import Any, Protocol, TypeVar

import trio

try:
    import greenlet
except ImportError as error:
    raise RuntimeError(
        "blocking handlers in greenlets need the package greenlet: "
        "pip install 'sansio-server[greenlet]'"
    ) from error

__all__ = ["bridge", "wait_for"]

_T = TypeVar("_T")


class HasGreenlet(Protocol):
    """Somebody to be told which greenlet the work is in."""

    greenlet: Any


async def bridge(worker: HasGreenlet, function: Callable[..., _T], *args: Any) -> _T:
    """Call ``function(*args)`` in a greenlet, and await what it waits for.

    :param worker: its ``greenlet`` is set meanwhile.
    :raises BaseException: what *function* raised; a cancellation of this task is raised inside it
        first, where it waits.
    """
    protected = trio.lowlevel.currently_ki_protected()
    runner = greenlet.greenlet(function if protected else _interruptible(function))
    runner.gr_context = copy_context()
    worker.greenlet = runner
    try:
        await trio.lowlevel.checkpoint_if_cancelled()
        wanted = runner.switch(*args)
        while not runner.dead:
            try:
                result = await wanted
            except BaseException as error:  # noqa: BLE001 - raised in the greenlet instead
                wanted = runner.throw(error)
            else:
                wanted = runner.switch(result)
    finally:
        worker.greenlet = None
    final: _T = wanted
    return final


def _interruptible(function: Callable[..., _T]) -> Callable[..., _T]:
    """Return *function* so that Ctrl-C ends it in a greenlet too, out of which trio cannot see."""

    @trio.lowlevel.disable_ki_protection
    def call(*args: Any) -> _T:
        return function(*args)

    return call


def wait_for(awaitable: Awaitable[_T]) -> _T:
    """Wait, in a handler's greenlet, for what the task awaits."""
    task = greenlet.getcurrent().parent
    if task is None:
        raise RuntimeError(
            "this request belongs to a handler in a greenlet, and was used outside of it: in a "
            "thread that the handler started, for example"
        )
    result: _T = task.switch(awaitable)
    return result
