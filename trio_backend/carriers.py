"""Where blocking handlers run on trio: in a worker thread, or in a greenlet of the task."""

from __future__ import annotations

import math
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

import trio

from sansio_server.deferred import waiting
from sansio_server.ledger import current

if TYPE_CHECKING:
    from .base import BaseServer
    from .worker import Worker

__all__ = [
    "CARRIERS",
    "BlockingHandlers",
    "carry_in_greenlet",
    "carry_in_thread",
    "wait_in_thread",
]

BlockingHandlers = Literal["threads", "greenlets"]


def _worker() -> Worker:
    place = current.get()
    if place is None:
        raise AssertionError("a handler is carried for a request that has a place")
    worker: Worker = place.worker
    return worker


async def carry_in_thread(
    server: BaseServer, hook: Callable[..., Any], request: Any, client_address: Any
) -> Any:
    """Call *hook* in a worker thread, with a request that blocks.

    A cancellation interrupts the request, so that the thread wakes from it, and waits for the
    thread all the same.
    """
    worker = _worker()
    lent = server.thread_request(request)

    def work() -> tuple[Any, Any]:
        worker.thread = threading.get_ident()
        try:
            return hook(lent, client_address), waiting.get()
        finally:
            worker.thread = None

    ended = interrupted = False

    async def watch() -> None:
        nonlocal interrupted
        try:
            await trio.sleep_forever()
        finally:
            if not ended:
                interrupted = True
                with trio.CancelScope(shield=True):
                    await server._interrupt_thread(request)

    failure: BaseException | None = None
    deferred = result = None
    # The limiter is waited for outside the shield, so that a cancellation ends that wait.
    async with server._limiter(), trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        with trio.CancelScope(shield=True):
            try:
                result, deferred = await trio.to_thread.run_sync(work, limiter=_unlimited())
            except BaseException as error:  # noqa: BLE001 - passed on below, outside the nursery
                failure = error
        ended = True
        nursery.cancel_scope.cancel()
    if interrupted:
        # What an interrupted handler raised is a consequence: the cancellation is what happened.
        await trio.lowlevel.checkpoint_if_cancelled()
    if failure is not None:
        raise failure
    for each in deferred or ():
        if not each.taken:
            await each
    return result


def wait_in_thread(awaitable: Awaitable[Any]) -> Any:
    """Wait, in a handler's worker thread, for what trio awaits."""

    async def wait() -> Any:
        return await awaitable

    return trio.from_thread.run(wait)


async def carry_in_greenlet(
    server: BaseServer, hook: Callable[..., Any], request: Any, client_address: Any
) -> Any:
    """Call *hook* in a greenlet of this task, with a request whose waiting the task does.

    :raises RuntimeError: greenlet is not installed.
    """
    from .greenlets import bridge, wait_for  # noqa: PLC0415 - an extra

    lent = server.bridged_request(request, wait_for)
    return await bridge(_worker(), hook, lent, client_address)


def _unlimited() -> trio.CapacityLimiter:
    return trio.CapacityLimiter(math.inf)


#: The ways there are, by the name that ``blocking_handlers`` has for them.
CARRIERS: Final[Mapping[str, Callable[..., Awaitable[Any]]]] = {
    "threads": carry_in_thread,
    "greenlets": carry_in_greenlet,
}
