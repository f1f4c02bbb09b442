"""What a task does for one request: it drives the hooks, and lends blocking handlers a place."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, Literal

import trio

from sansio_server.deferred import Deferred, settled
from sansio_server.driver import Rest, continue_request, drive, place_of
from sansio_server.hooks import ServerHooks
from sansio_server.ledger import current
from sansio_server.request import Step

from .carriers import CARRIERS, BlockingHandlers, check_carrier
from .draining import Draining
from .worker import Worker

__all__ = ["Tasks"]

_HERE = Step.HERE
_ENTERED: Final[AbstractContextManager[Any]] = nullcontext()


class Tasks(Draining):
    """The part of a server that serves a request in a task."""

    #: Where blocking handlers run: in "threads", or, with the extra of that name, in "greenlets".
    blocking_handlers: BlockingHandlers = "threads"
    #: What becomes of an Exception that a hook or a handler raises: "report" gives it to
    #: ``handle_error()`` and goes on; "crash" lets it out of ``serve_forever()``, as trio does.
    on_error: Literal["report", "crash"] = "report"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.on_error not in ("report", "crash"):
            raise ValueError(f"on_error must be 'report' or 'crash', not {self.on_error!r}")
        check_carrier(self.blocking_handlers)
        self._threads: trio.CapacityLimiter | None = None

    # The task.

    async def _work(self, worker: Worker, begin: Callable[..., Rest], *args: Any) -> None:
        """Do what ``begin(*args)`` does and leaves to be awaited, in this task, as *worker*.

        One that has a task already is in its scope, too.
        """
        scope = worker.scope if worker.task is None else _ENTERED
        worker.task = trio.lowlevel.current_task()
        try:
            with scope:
                try:
                    rest = begin(*args)
                    del args  # for as long as a client says nothing, each byte counts
                    if rest is not None:
                        await rest
                except Exception:
                    raise
                except BaseException as error:  # noqa: BLE001 - raised again there
                    await self._after_escape(worker, error)
        finally:
            self._done(worker)

    async def _after_escape(self, worker: Worker, error: BaseException) -> None:
        """Clear up when a request was cancelled, or something worse; raise what came out of it.

        A cancellation may have ended the very hook that closes the request. And what comes out of a
        handler's own nursery may contain, beside the cancellation, the failure of a task in it.
        """
        failures: Exception | None = None
        rest: BaseException | None = error
        if hasattr(error, "split"):  # it is a group
            failures, rest = error.split(Exception)
        with trio.CancelScope(shield=True):
            await self._discard(worker.request)
            await self._discard(worker.came)
        if failures is not None:
            await self._report(failures, worker.request, worker.place.client_address)
        raise error if rest is None else rest

    async def _report(self, failure: Exception, request: Any, client_address: Any) -> None:
        try:
            raise failure
        except type(failure):  # for hooks that ask which exception is being handled
            await settled(self.handle_error(request, client_address))

    async def _serve_here(self, worker: Worker, *args: Any) -> None:
        """Serve a request in the loop's own task, which therefore cannot see that time is up."""

        async def watch() -> None:
            await trio.sleep_until(worker.place.deadline)
            self._attend()

        failure: BaseException | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            try:
                await self._work(worker, drive, *args)
            except BaseException as error:  # noqa: BLE001 - raised where no group is made of it
                failure = error
            nursery.cancel_scope.cancel()
        if failure is not None:
            try:
                raise failure
            finally:
                del failure  # or it would hold itself, and what the handler has left open

    def continue_request(self, entry: Step, request: Any, client_address: Any) -> Any:
        """Return an awaitable of the rest of a request that ``process_request`` has been given.

        Whoever does not await it leaves that to the driver, which does so after the hook. It may
        also be awaited in a task of the application's own.

        :param entry: ``Step.HERE`` inside ``process_request``, ``Step.FINISH`` anywhere else.
        """
        task = trio.lowlevel.current_task()
        place = current.get() if entry is _HERE else None
        if place is None or not place.open:
            place = place_of(self, request, client_address)
        worker = self._workers.get(place)
        if worker is not None and worker.task is task:
            worker.request = request
            known = place if request is worker.came else None
            return self._continue_later(entry, request, client_address, known)
        return Deferred(self._continue_elsewhere(entry, request, client_address))

    async def _continue_elsewhere(self, entry: Step, request: Any, client_address: Any) -> None:
        """Serve the rest of a request in a task that the application has started."""
        place = place_of(self, request, client_address)
        current.set(place)
        worker = self._at_work(place, request)
        await self._work(worker, continue_request, self, entry, request, client_address, worker)

    def _only_continues(self, hook: Callable[..., Any]) -> bool:
        return (
            getattr(hook, "__func__", None) is _PROCESS
            and getattr(self.continue_request, "__func__", None) is _CONTINUE
        )

    # Blocking handlers.

    def _carry(self, hook: Callable[..., Any], request: Any, client_address: Any) -> Awaitable[Any]:
        return CARRIERS[self.blocking_handlers](self, hook, request, client_address)

    def _limiter(self) -> trio.CapacityLimiter:
        """Return what bounds the worker threads: as many as there may be connections."""
        tokens = math.inf if self.max_connections is None else self.max_connections
        if self._threads is None:
            self._threads = trio.CapacityLimiter(tokens)
        elif self._threads.total_tokens != tokens:
            self._threads.total_tokens = tokens
        return self._threads

    def handle_error(self, request: Any, client_address: Any) -> Any:
        """Report the exception that is being handled, or raise it, as :attr:`on_error` says."""
        if self.on_error == "crash":
            raise  # noqa: PLE0704 - the exception that is being handled
        return super().handle_error(request, client_address)

    # What subclasses with requests of a certain kind bring.

    def _bridged_request(self, request: Any, wait_for: Callable[[Any], Any]) -> Any:
        """Return *request* as a blocking handler sees it whose waiting is done by *wait_for*."""
        return request

    def _thread_request(self, request: Any, wait_for: Callable[[Any], Any]) -> Any:
        """Return *request* as a blocking handler in a worker thread sees it."""
        return self._bridged_request(request, wait_for)

    async def _interrupt_thread(self, request: Any) -> None:
        """Wake the thread that waits for *request*."""
        self._interrupt(request)

    async def _discard(self, request: Any) -> None:
        """Close *request* by force, if it is open."""


# As they stand here, whatever a program puts in their places.
_PROCESS: Final = ServerHooks.process_request
_CONTINUE: Final = Tasks.continue_request
