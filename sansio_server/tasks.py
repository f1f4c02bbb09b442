"""Serving each request by a task of an event loop: what is the same for every loop.

A backend derives its ``BaseServer`` from :class:`TaskServer` and adds how its loop starts a task,
ends one, and waits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, Protocol

from .deferred import defer, is_awaitable
from .drain import DrainReport
from .draining import Draining
from .driver import continue_request, drive, take_in
from .ledger import Place, current
from .limits import Admission
from .request import Step

__all__ = ["BATCH", "TaskServer", "Worker"]

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
        self._workers: dict[Place, Worker] = {}

    async def _let_in(self, begin: Callable[[Coroutine[Any, Any, None]], Worker]) -> None:
        """Let in who is there; have a task for each.

        Call this as :meth:`.Turns.let_in` of a loop.

        :param begin: called with what a task is to run; starts it soon, but not at once, and
            returns who is at work.
        """
        for _ in range(BATCH if self._gets_requests_itself() else 1):
            pair = await self._next_request()
            if pair is None:
                break
            request, client_address = pair
            if self.trace is not None:
                request = self._observed(request)
            entry = self._came_in()
            # Here, not in the task, or all who are there would seem to have room.
            place = take_in(self, request, client_address)
            worker = begin(self._serve(place, entry, request, client_address))
            self._workers[place] = place.worker = worker
            if not self._is_running() or self._admission() is Admission.WAIT:
                break

    async def _next_request(self) -> Any:
        try:
            pair = self.get_request()
            if type(pair) is not tuple and is_awaitable(pair):
                pair = await pair
        except BlockingIOError:
            return None
        except OSError as error:
            self._accept_failed(error)
            return None
        return pair

    async def _serve(self, place: Place, entry: Step, request: Any, client_address: Any) -> None:
        try:
            rest = drive(self, entry, request, client_address, place)
            if rest is not None:
                await rest
        finally:
            del self._workers[place]
            place.worker = place.request = None  # if it is still open, an override keeps it

    def continue_request(self, entry: Step, request: Any, client_address: Any) -> Awaitable[Any]:
        """Return an awaitable of the rest of a request that ``process_request`` has been given.

        Whoever does not await it leaves that to the driver, which does so after the hook.

        :param entry: ``Step.HERE`` inside ``process_request``, ``Step.FINISH`` anywhere else.
        """
        return defer(continue_request(self, entry, request, client_address, None))

    async def drain(self, timeout: float | None = None) -> DrainReport:
        """Wait for the requests that are being served; call this when no more are let in.

        The request whose handler calls this is not waited for.

        :param timeout: seconds after which those left are cut, with :attr:`cut_timeout` more to
            end; None to wait for ever.
        :raises ValueError: *timeout* is negative.
        """
        places = [place for place in self._workers if place is not current.get()]
        self.drain_report = report = await self._end_requests(places, timeout)
        return report

    def _goes_on(self, place: Place) -> bool:
        return place in self._workers

    def _where(self, place: Place) -> str:
        return self._workers[place].where()

    def _end_early(self, place: Place) -> None:
        worker = self._workers.get(place)
        if worker is not None:
            worker.cancel()

    # What a backend or a subclass brings.

    def get_request(self) -> Any:
        """Return the next request and the client's address, or an awaitable of them."""
        raise NotImplementedError

    def _gets_requests_itself(self) -> bool:
        """Say whether ``get_request`` is known not to wait."""
        return False
