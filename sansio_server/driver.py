"""One driver for every backend: it runs hooks in the order of the table.

The driver is an ``async def`` that suspends only if a hook does. An event loop awaits it; a
blocking backend runs it to the end with :func:`run_blocking`. Either way the order of the hooks,
the handling of their errors and the tracing stand here, once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Hashable
from typing import Any, Protocol, TypeVar

from .deferred import drop_deferred, is_awaitable, settle_deferred, waiting
from .exceptions import SuspendedError
from .ledger import Ledger, Place, current
from .request import HOOKS, REPORTING_STEPS, REQUEST_STEPS, Outcome, Step
from .trace import Trace, TraceKind

__all__ = [
    "DrivenServer",
    "continue_request",
    "drive",
    "place_of",
    "run_blocking",
    "start_request",
    "take_in",
]

_T = TypeVar("_T")

_OK, _REFUSED, _FAILED, _ESCAPED, _OVER = Outcome
_VERIFY, _HERE, _GIVEN, _RAISED = Step.VERIFY, Step.HERE, Step.GIVEN, Step.RAISED

#: The table as the driver reads it: by step, the hook, whether it takes the client's address,
#: whether it does the work of the request, and the row.
_PLAN = tuple(
    (*HOOKS[step], HOOKS[step][0] == "finish_request", dict(REQUEST_STEPS[step]))
    for step in Step
    if step in HOOKS
)

#: How often a coroutine that suspends is told off before it is closed.
_PATIENCE = 100


class DrivenServer(Protocol):
    """What the driver needs of a server, beside the hooks that the table names."""

    trace: Trace | None
    request_timeout: float | None

    #: Calls ``finish_request`` with its two arguments where handlers are to run, if not here, and
    #: returns an awaitable of its result.
    carrier: Callable[[Callable[..., Any], Any, Any], Awaitable[Any]] | None

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


def start_request(
    server: DrivenServer, request: Any, client_address: Any, entry: Step = Step.VERIFY
) -> Coroutine[Any, Any, None]:
    """Take *request* in; return what drives it until it is given to somebody or over.

    Call this in the serve loop, for each request that ``get_request()`` returned, and await the
    result, or :func:`run_blocking` it, before the next.

    :param entry: ``Step.VERIFY``, or ``Step.SHED`` for a request that there is no room for.
    :raises BaseException: (when awaited) what a hook raised and no ``handle_error`` dealt with.
    """
    return drive(server, entry, request, client_address, take_in(server, request, client_address))


def take_in(server: DrivenServer, request: Any, client_address: Any) -> Place:
    """Return a place for *request*, which has just come.

    Call this in the serve loop, before the next request, where something else is to :func:`drive`
    this one: a task, as a rule. :func:`start_request` does both.
    """
    place = server.ledger.take(
        server.request_key(request), client_address, server.now(), server.request_timeout
    )
    if server.trace is not None:
        server.emit(TraceKind.ACCEPT, place.number, "accept", client_address)
    return place


def continue_request(
    server: DrivenServer, entry: Step, request: Any, client_address: Any, worker: Any
) -> Coroutine[Any, Any, None]:
    """Return what drives the rest of a request that ``process_request`` has been given.

    Call this where the rest is to run, with ``Step.HERE`` inside ``process_request``, with
    ``Step.FINISH`` in a thread, a child, a task; and await the result or :func:`run_blocking` it.

    :param worker: who runs this, as the backend knows them; see :class:`~.ledger.Place`.
    :raises BaseException: (when awaited) from ``Step.HERE``, what ``finish_request`` raised; from
        either entry, what a hook raised and no ``handle_error`` dealt with.
    """
    place = place_of(server, request, client_address)
    place.request = request
    place.in_place = entry is _HERE
    if place.worker is None:
        place.worker = worker
    return drive(server, entry, request, client_address, place)


def place_of(server: DrivenServer, request: Any, client_address: Any) -> Place:
    """Return the place of *request*; take one for it if it has none.

    A request has none if an override of the serve loop brought it, or gave it back early.
    """
    key = server.request_key(request)
    place = server.ledger.find(key)
    if place is None:
        place = server.ledger.adopt(key, client_address, server.now(), server.request_timeout)
    return place


async def drive(  # noqa: C901, PLR0912 - a part of its own would cost a call in each step
    server: DrivenServer, step: Step, request: Any, client_address: Any, place: Place
) -> None:
    """Run hooks from *step* on, in the order of the table, until no row leads on.

    An exception that the table leads to a report of has been dealt with; every other goes on to the
    caller, after the rest of the table has been walked while it is being handled.
    """
    current.set(place)
    while step < _GIVEN:
        result: Any
        name, takes_address, is_work, row = _PLAN[step]
        if server.trace is not None:
            server.emit(TraceKind.ENTER, place.number, name)
        try:
            hook = getattr(server, name)
            if is_work and server.carrier is not None:
                result = server.carrier(hook, request, client_address)
            else:
                result = hook(request, client_address) if takes_address else hook(request)
            if result is not None and result is not True and is_awaitable(result):
                result = await result
            if waiting.get() is not None:
                await settle_deferred()
            outcome = _REFUSED if step is _VERIFY and not result else _OK
        except BaseException as error:
            drop_deferred()
            step = _after_error(server, step, place, error)
            if step is _RAISED:
                raise
            await drive(server, step, request, client_address, place)
            if step in REPORTING_STEPS:
                return
            place.passed_back = place.in_place
            raise
        if outcome is _REFUSED:
            server.ledger.count("refused")
        if server.trace is not None:
            server.emit(TraceKind.LEAVE, place.number, name, outcome)
        step = row[outcome]
    if step is _GIVEN:
        current.set(None)
    elif place.open:
        server.release(place)


def _after_error(server: DrivenServer, step: Step, place: Place, error: BaseException) -> Step:
    """Note that the hook of *step* raised *error*; return the step that this leads to."""
    row = REQUEST_STEPS[step]
    outcome = _FAILED if isinstance(error, Exception) else _ESCAPED
    if place.passed_back and _OVER in row:
        outcome = _OVER
    if server.trace is not None:
        server.emit(TraceKind.ERROR, place.number, HOOKS[step][0], error)
        server.emit(TraceKind.LEAVE, place.number, HOOKS[step][0], outcome)
    following = row[outcome]
    if following is _RAISED:
        place.request = place.worker = None  # until an override, perhaps, continues it again
    elif outcome is not _OVER:
        server.ledger.count("errors")
    return following


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
            late_result: _T = end.value
            return late_result
    coroutine.close()
    raise SuspendedError(f"a hook went on suspending after {_PATIENCE} errors; it was closed")
