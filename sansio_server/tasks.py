"""Serving each request by a task of an event loop: what is the same for every loop.

A backend derives its ``BaseServer`` from :class:`TaskServer` and adds how its loop starts a task,
ends one, and waits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from .deferred import Deferred, Later, is_awaitable
from .drain import DrainReport
from .draining import Draining
from .driver import continue_request, drive
from .handlers import is_asynchronous
from .ledger import Place, current
from .lifecycle import RUNNING, Event, State
from .limits import Admission
from .request import Step

__all__ = ["BATCH", "TaskServer", "Worker"]

_WAIT: Final = Admission.WAIT
_NONE: Final = object()

#: How many clients are let in before other tasks get their turn.
BATCH: Final = 64


class Worker(Protocol):
    """Who serves a request: a task, and whatever that has lent the work to."""

    def cancel(self) -> object:
        """Let the task come to an end, but not before it has begun."""

    def where(self) -> str:
        """Say where the work stands: a stack, as a rule."""


class TaskServer(Draining):
    """A server that serves each request by a task of its own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._workers: dict[Place, Any] = {}
        #: The last handler that was found to be asynchronous.
        self._asynchronous: Any = _NONE

    # Stopping.

    def shutdown(self) -> None:
        """Ask ``serve_forever()`` to stop accepting, to drain, and to return; do not wait for it.

        May be called by any task, thread or signal handler, any number of times. When nothing
        serves the stop is kept: it ends the next ``serve_forever()`` or ``handle_request()`` at
        once.
        """
        self._happened(Event.SHUTDOWN)

    def server_close(self) -> Any:
        """Close the server. A loop that still runs ends, as by :meth:`shutdown`."""
        self._happened(Event.CLOSE)
        if not self._lifecycle.loops:
            self._let_go()

    def _let_go(self) -> None:
        """Close the listener of a server that was closed.

        Call this when a loop has ended: event loops watch a listener that must not be closed
        meanwhile.
        """
        if self._lifecycle.listener is State.CLOSED:
            self._close_listener()

    # Letting in.

    async def _let_in(
        self,
        begin: Callable[[Place, Step, Any, Any], Worker],
        wait: Callable[[Awaitable[Any]], Awaitable[Any]] | None = None,
        most: int = BATCH,
    ) -> bool:
        """Let in who is there; have a task for each. Return False: no others are known to be there.

        Call this as :meth:`.Turns.let_in` of a loop.

        :param begin: called with a place, an entry, a request and a client's address; has a task
            :meth:`_serve` them, which starts soon, but not at once; and returns who is at work.
        :param wait: awaits an asynchronous ``get_request()``; raises BlockingIOError to give it up.
        :param most: how many to let in.
        """
        lifecycle, fetch = self._lifecycle, self._fetch
        for _ in range(most if self._gets_requests_itself() else 1):
            try:
                pair = fetch()
                if type(pair) is not tuple and is_awaitable(pair):
                    pair = await (pair if wait is None else wait(pair))
            except OSError as error:
                self._not_fetched(error)
                break
            # Here, not in the task, or all who are there would seem to have room.
            entry, request, client_address, place = self._take_in(pair)
            worker = begin(place, entry, request, client_address)
            self._workers[place] = place.worker = worker
            if lifecycle.loop not in RUNNING or self._admission() is _WAIT:
                break
            fetch = self.get_request
        return False

    def _not_fetched(self, error: OSError) -> None:
        """Note that fetching a request raised *error*.

        :raises OSError: *error*, if it means that the listener is dead.
        """
        if not isinstance(error, BlockingIOError):  # nobody is there after all
            self._accept_failed(error)

    async def _serve(self, place: Place, entry: Step, request: Any, client_address: Any) -> None:
        """Serve a request from its entry to its end.

        Call this in the task.
        """
        try:
            rest = drive(self, entry, request, client_address, place)
            if rest is not None:
                await rest
        finally:
            self._served(place)

    def _served(self, place: Place) -> None:
        """Note that nobody is at work on the request of *place* any more."""
        del self._workers[place]
        place.worker = place.request = None  # if it is still open, an override keeps it

    # Serving.

    def continue_request(self, entry: Step, request: Any, client_address: Any) -> Awaitable[Any]:
        """Return an awaitable of the rest of a request that ``process_request`` has been given.

        Whoever does not await it leaves that to the driver, which does so after the hook. It is not
        begun before: an override that raises instead has not let it begin.

        :param entry: ``Step.HERE`` inside ``process_request``, ``Step.FINISH`` anywhere else.
        """
        return self._continue_later(entry, request, client_address)

    def _continue_later(
        self, entry: Step, request: Any, client_address: Any, place: Place | None = None
    ) -> Deferred:
        """Return what :meth:`continue_request` does, for the request of *place*, if it is known."""
        return Deferred(Later(continue_request, self, entry, request, client_address, None, place))

    def finish_request(self, request: Any, client_address: Any) -> Any:
        """Serve *request* by calling ``RequestHandlerClass``."""
        serve = super().finish_request
        handler = self.RequestHandlerClass
        if handler is self._asynchronous or is_asynchronous(handler):
            return serve(request, client_address)
        if is_asynchronous(self.finish_request):
            # An override that is a coroutine function has called this, in the task.
            return Deferred(self._carry(serve, request, client_address))
        return serve(request, client_address)

    @property
    def _carrier(self) -> Any:  # type: ignore[override]  # not the same for all handlers
        """What calls ``finish_request()`` where blocking handlers run; None for others."""
        handler = self.RequestHandlerClass
        if handler is self._asynchronous:
            return None
        if is_asynchronous(handler):
            self._asynchronous = handler
            return None
        return None if is_asynchronous(self.finish_request) else self._carry

    # Ending requests.

    async def drain(self, timeout: float | None = None) -> DrainReport:
        """Wait for the requests that are being served; call this when no more are let in.

        The request whose handler calls this is not waited for.

        :param timeout: seconds after which those left are cut, with :attr:`cut_timeout` more to
            end; None to wait for ever.
        :raises ValueError: *timeout* is negative.
        """
        self.drain_report = report = await self._end_requests(self._under_way(), timeout)
        return report

    async def _drain_at_once(self) -> None:
        """Cut all requests under way, and report who would not end.

        Call this when a loop was cancelled or has failed, where nothing cancels this.
        """
        self.drain_report = await self._end_requests(self._under_way(), 0.0, quietly=True)

    def _under_way(self) -> list[Place]:
        """Return the places of requests that tasks are at, without that of the caller."""
        own = current.get()
        return [place for place in self._workers if place is not own]

    def _goes_on(self, place: Place) -> bool:
        return place in self._workers

    def _where(self, place: Place) -> str:
        where: str = self._workers[place].where()
        return where

    def _end_early(self, place: Place) -> None:
        worker = place.worker  # perhaps one of a server that shares this one's limits
        if worker is None:
            worker = self._workers.get(place)
        if worker is not None:
            worker.cancel()

    # What a backend or a subclass brings.

    def get_request(self) -> Any:
        """Return the next request and the client's address, or an awaitable of them."""
        raise NotImplementedError

    def _fetch(self) -> Any:
        """Return what ``get_request()`` does, or has done already."""
        return self.get_request()

    def _gets_requests_itself(self) -> bool:
        """Say whether ``get_request`` is known not to wait."""
        return False

    def _close_listener(self) -> None:
        """Let nobody else in."""

    def _carry(self, hook: Callable[..., Any], request: Any, client_address: Any) -> Awaitable[Any]:
        """Call *hook*, which may block, where it holds up no task; return what awaits its result.

        A cancellation wakes whoever is at that, and waits for it.
        """
        raise NotImplementedError
