"""Where blocking handlers run on trio: in a worker thread, or in a greenlet of the task."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

import trio

from sansio_server.deferred import close, is_awaitable
from sansio_server.ledger import current
from sync_backend.thread_call import ThreadCall

from .crowd import CROWD, Hold, SameTurn

if TYPE_CHECKING:
    from .tasks import Tasks
    from .worker import Worker

__all__ = [
    "CARRIERS",
    "BlockingHandlers",
    "Waits",
    "carry_in_greenlet",
    "carry_in_thread",
    "check_carrier",
    "wait_in_thread",
]

BlockingHandlers = Literal["threads", "greenlets"]


def check_carrier(name: str, *, needed: bool = False) -> None:
    """Make sure that blocking handlers can run where *name* says.

    :param needed: whether there are such handlers.
    :raises ValueError: there is no such place.
    :raises RuntimeError: greenlets are needed, and greenlet is not installed.
    """
    if name not in CARRIERS:
        raise ValueError(f"blocking_handlers must be one of {sorted(CARRIERS)}, not {name!r}")
    if needed and name == "greenlets":
        from . import greenlets  # noqa: F401, PLC0415 - an extra


def _worker() -> Worker:
    place = current.get()
    if place is None:
        raise AssertionError("a handler is carried for a request that has a place")
    worker: Worker = place.worker
    return worker


async def carry_in_thread(
    server: Tasks, hook: Callable[..., Any], request: Any, client_address: Any
) -> Any:
    """Call *hook* in a worker thread, with a request that blocks.

    A cancellation interrupts the request, so that the thread wakes from it, and waits for the
    thread all the same.
    """
    worker = _worker()
    waits = Waits(wait_in_thread)
    lent = server._thread_request(request, waits)
    call = ThreadCall(worker, hook, lent, client_address)
    failure: BaseException | None = None
    hold = Hold() if len(server._ledger) > CROWD else None

    def work() -> None:
        if hold is not None:
            hold.wait()
        try:
            call.run()
        finally:
            waits.ended = True

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_watch, server, request, waits, hold)
            try:
                limiter: Any = server._limiter()
                if hold is not None:
                    limiter = SameTurn(limiter)
                await trio.to_thread.run_sync(work, limiter=limiter)
            except BaseException as error:  # noqa: BLE001 - passed on where no group is made of it
                failure = error
            waits.ended = True
            nursery.cancel_scope.cancel()
        # Not reached when cancelled: what an interrupted handler raises is a consequence.
        if failure is not None:
            raise failure
        return await call.outcome()
    finally:
        failure = None  # or it would hold itself
        call.drop()


@trio.lowlevel.enable_ki_protection  # or Ctrl-C might come between the thread and its release
async def _watch(server: Tasks, request: Any, waits: Waits, hold: Hold | None) -> None:
    """Let the thread's handler begin; interrupt *request* if the thread is still at it."""
    if hold is not None:
        hold.release()
    try:
        await trio.sleep_forever()
    finally:
        if not waits.ended:
            with trio.CancelScope(shield=True):
                await server._interrupt_thread(request)


def wait_in_thread(awaitable: Awaitable[Any]) -> Any:
    """Wait, in a handler's worker thread, for what trio awaits.

    :raises RuntimeError: this is called in another thread, where nothing can be awaited.
    """
    begun = False

    async def wait() -> Any:
        nonlocal begun
        begun = True
        return await awaitable

    try:
        return trio.from_thread.run(wait)
    finally:
        if not begun:
            close(awaitable)


class Waits:
    """Waits for awaitables on behalf of a handler, as long as that runs.

    A file that the handler has left open is closed, and flushed, when it is collected: that may be
    in any thread and in the middle of anything, where nobody can wait.

    :param wait_for: how to wait.
    :ivar ended: whether the handler has ended.
    """

    __slots__ = ("ended", "wait_for")

    def __init__(self, wait_for: Callable[[Awaitable[Any]], Any]) -> None:
        self.wait_for = wait_for
        self.ended = False

    def __call__(self, awaitable: Awaitable[Any]) -> Any:
        """Wait for *awaitable*; return its result.

        :raises OSError: the handler has ended.
        """
        if self.ended:
            close(awaitable)
            raise OSError(errno.EBADF, "the handler of this request has ended")
        return self.wait_for(awaitable)


async def carry_in_greenlet(
    server: Tasks, hook: Callable[..., Any], request: Any, client_address: Any
) -> Any:
    """Call *hook* in a greenlet of this task, with a request whose waiting the task does.

    :raises RuntimeError: greenlet is not installed.
    """
    from .greenlets import GreenWaits, bridge  # noqa: PLC0415 - an extra

    await trio.lowlevel.checkpoint_if_cancelled()
    waits = GreenWaits()
    lent = server._bridged_request(request, waits)
    try:
        result = await bridge(_worker(), hook, lent, client_address)
    finally:
        waits.ended = True
    return await result if is_awaitable(result) else result


#: The ways there are, by the name that ``blocking_handlers`` has for them.
CARRIERS: Final[Mapping[str, Callable[..., Awaitable[Any]]]] = {
    "threads": carry_in_thread,
    "greenlets": carry_in_greenlet,
}
