"""One driver for every backend: it runs hooks in the order of the table.

The driver is an ``async def`` that suspends only if a hook does. An event loop awaits it; a
blocking backend runs it to the end with :func:`run_blocking`. Either way the order of the hooks,
the handling of their errors and the tracing stand here, once.
"""

from __future__ import annotations

from collections.abc import Coroutine, Hashable
from typing import Any, Protocol, TypeVar

from .deferred import drop_deferred, is_awaitable, settle_deferred, waiting
from .exceptions import SuspendedError
from .ledger import Ledger, Place
from .request import HOOKS, REPORTING_STEPS, REQUEST_STEPS, Outcome, Step
from .trace import Trace, TraceKind

__all__ = [
    "DrivenServer",
    "continue_request",
    "drive",
    "place_of",
    "run_blocking",
    "start_request",
]

_T = TypeVar("_T")

_OK, _REFUSED, _FAILED, _ESCAPED, _OVER = Outcome
_GIVEN, _RAISED, _CLOSED = Step.GIVEN, Step.RAISED, Step.CLOSED

#: How often a coroutine that suspends is told off before it is closed.
_PATIENCE = 100


class DrivenServer(Protocol):
    """What the driver needs of a server, beside the hooks that the table names."""

    trace: Trace | None
    request_timeout: float | None

    @property
    def ledger(self) -> Ledger:
        """The places of the server's requests."""

    def now(self) -> float:
        """Return the time in seconds on the server's clock."""

    def request_key(self, request: Any) -> Hashable:
        """Return what the ledger finds *request* by."""

    def emit(self, kind: TraceKind, number: int, what: str, detail: Any = None) -> None:
        """Add an event to the trace, if there is one."""

    def release(self, place: Place) -> None:
        """Give back the place of a request that is over."""


async def start_request(
    server: DrivenServer, request: Any, client_address: Any, entry: Step = Step.VERIFY
) -> None:
    """Take *request* in and drive it until it is given to somebody or over.

    Call this in the serve loop, for each request that ``get_request()`` returned.

    :param entry: ``Step.VERIFY``, or ``Step.SHED`` for a request that there is no room for.
    :raises BaseException: what a hook raised and no ``handle_error`` dealt with.
    """
    ledger = server.ledger
    key = server.request_key(request)
    place = ledger.take(key, client_address, server.now(), server.request_timeout)
    ledger.count("accepted")
    if server.trace is not None:
        server.emit(TraceKind.ACCEPT, place.number, "accept", client_address)
    outer = ledger.current
    ledger.current = place
    try:
        await drive(server, entry, request, client_address, place)
    finally:
        ledger.current = outer


async def continue_request(
    server: DrivenServer, entry: Step, request: Any, client_address: Any, worker: Any
) -> None:
    """Drive the rest of a request that ``process_request`` has been given.

    Call this where the rest is to run: with ``Step.HERE`` inside ``process_request``, with
    ``Step.FINISH`` in a thread, a child, a task.

    :param worker: who runs this, as the backend knows them; see :class:`~.ledger.Place`.

    :raises BaseException: from ``Step.HERE``, what ``finish_request`` raised; from either entry,
        what a hook raised and no ``handle_error`` dealt with.
    """
    place = place_of(server, request, client_address)
    place.request = request
    if place.worker is None:
        place.worker = worker
    await drive(server, entry, request, client_address, place)


def place_of(server: DrivenServer, request: Any, client_address: Any) -> Place:
    """Return the place of *request*; take one for it if it has none.

    A request has none if an override of the serve loop brought it, or gave it back early.
    """
    key = server.request_key(request)
    place = server.ledger.find(key)
    if place is None:
        place = server.ledger.take(key, client_address, server.now(), server.request_timeout)
    return place


async def drive(
    server: DrivenServer, step: Step, request: Any, client_address: Any, place: Place
) -> None:
    """Run hooks from *step* on, in the order of the table, until no row leads on.

    An exception that the table leads to a report of has been dealt with; every other goes on to the
    caller, after the rest of the table has been walked while it is being handled.
    """
    while step < _GIVEN:
        name, takes_address = HOOKS[step]
        tracing = server.trace is not None
        if tracing:
            server.emit(TraceKind.ENTER, place.number, name)
        try:
            hook = getattr(server, name)
            result = hook(request, client_address) if takes_address else hook(request)
            if result is not None and result is not True and is_awaitable(result):
                result = await result
            if waiting.get() is not None:
                await settle_deferred()
        except BaseException as error:
            drop_deferred()
            outcome = _FAILED if isinstance(error, Exception) else _ESCAPED
            row = REQUEST_STEPS[step]
            if place.passed_back and _OVER in row:
                outcome = _OVER
            step = row[outcome]
            if tracing:
                server.emit(TraceKind.ERROR, place.number, name, error)
                server.emit(TraceKind.LEAVE, place.number, name, outcome)
            if step is _RAISED:
                place.request = place.worker = None
                raise
            if outcome is not _OVER:
                server.ledger.count("errors")
            await drive(server, step, request, client_address, place)
            if step in REPORTING_STEPS:
                return
            place.passed_back = True
            raise
        outcome = _OK
        if step is Step.VERIFY and not result:
            outcome = _REFUSED
            server.ledger.count("refused")
        if tracing:
            server.emit(TraceKind.LEAVE, place.number, name, outcome)
        step = REQUEST_STEPS[step][outcome]
    if step is _CLOSED:
        server.release(place)


def run_blocking(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Run *coroutine*, which is not to suspend, to its end; return its result.

    Call this where there is no event loop. At each ``await`` that suspends, :exc:`SuspendedError`
    is raised inside the coroutine; one that goes on suspending all the same is closed.

    :raises SuspendedError: the coroutine suspended and did not deal with the error.
    """
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: _T = end.value
        return result
    for _ in range(_PATIENCE):
        try:
            coroutine.throw(
                SuspendedError(
                    "this await suspends, and there is no event loop here: the server runs its "
                    "handlers in blocking mode. Await the request, rfile, wfile, self.runtime or "
                    "coroutines made of these, or serve the handler with an asynchronous backend"
                )
            )
        except StopIteration as end:
            result = end.value
            return result
    coroutine.close()
    raise SuspendedError(f"a hook went on suspending after {_PATIENCE} errors; it was closed")
