"""Blocking handlers as trio tasks: a greenlet runs the handler, the task does its waiting.

When the handler's socket has to wait, the greenlet hands the awaitable to the task, which awaits it
and hands the result back. What the handler's code sees is a call that blocks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, Protocol, TypeVar

import trio

from sansio_server.deferred import close

from .carriers import Waits

try:
    import greenlet
except ImportError as error:
    raise RuntimeError(
        "blocking handlers in greenlets need the package greenlet: "
        "pip install 'sansio-server[greenlet]'"
    ) from error

__all__ = ["GreenWaits", "bridge", "in_bridge", "run_waiting", "wait_for"]

_T = TypeVar("_T")


class HasGreenlet(Protocol):
    """Somebody to be told which greenlet the work is in."""

    greenlet: Any


class _Bridge(greenlet.greenlet):
    """The greenlet of a blocking function; its parent is the task that waits for it."""


async def bridge(worker: HasGreenlet, function: Callable[..., _T], *args: Any) -> _T:
    """Call ``function(*args)`` in a greenlet, and await what it waits for.

    Context variables are those of the task.

    :param worker: its ``greenlet`` is set meanwhile.
    :raises BaseException: what *function* raised; a cancellation of this task is raised inside it
        first, where it waits: it begins in any case.
    """
    protected = trio.lowlevel.currently_ki_protected()
    runner = _Bridge(function if protected else _interruptible(function))
    runner.gr_context = trio.lowlevel.current_task().context
    worker.greenlet = runner
    try:
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


def in_bridge() -> bool:
    """Say whether this is called in a function that :func:`bridge` runs."""
    return isinstance(greenlet.getcurrent(), _Bridge)


def wait_for(awaitable: Awaitable[_T]) -> _T:
    """Wait, in a handler's greenlet, for what the task awaits.

    :raises RuntimeError: this is not called in that greenlet.
    """
    current = greenlet.getcurrent()
    if not isinstance(current, _Bridge) or current.parent is None:
        close(awaitable)
        raise RuntimeError(
            "this request belongs to a handler in a greenlet, and was used outside of it: in a "
            "thread that the handler started, for example"
        )
    result: _T = current.parent.switch(awaitable)
    return result


class GreenWaits(Waits):
    """Waits on behalf of a handler in a greenlet, as long as that runs."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(wait_for)

    def may_try(self) -> bool:
        """Say whether what calls this may do by itself what need not wait.

        A thread that the handler has started may not, since it could not wait.
        """
        return not self.ended and isinstance(greenlet.getcurrent(), _Bridge)


def run_waiting(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Run *coroutine* in a handler's greenlet; what it awaits may be trio's, and the task waits."""
    step: Callable[[Any], Any] = coroutine.send
    answer: Any = None
    while True:
        try:
            wanted = step(answer)
        except StopIteration as end:
            result: _T = end.value
            return result
        try:
            answer = wait_for(_Wanted(wanted))
            step = coroutine.send
        except BaseException as error:  # noqa: BLE001 - raised in the coroutine instead
            answer, step = error, coroutine.throw


class _Wanted(Awaitable[Any]):
    """What a coroutine wants of its event loop, to be wanted by somebody else."""

    def __init__(self, wanted: Any) -> None:
        self._wanted = wanted

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield self._wanted)
