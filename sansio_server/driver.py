"""One driver for every backend: it runs hooks in the order of the table.

The driver is a plain function as long as hooks do not wait. When a hook returns something to await,
the driver returns a coroutine, which does the rest. An event loop awaits it; a blocking backend
runs it to its end with :func:`run_blocking`. So the order of the hooks, the handling of errors and
the tracing are here, once, and a request whose hooks are all blocking needs no coroutine.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterable
from typing import Any, Protocol, TypeAlias, TypeVar, overload

from .deferred import (
    Deferred,
    drop_deferred,
    is_awaitable,
    settle_deferred,
    take_deferred,
    waiting,
)
from .exceptions import SuspendedError
from .ledger import Ledger, Place, current
from .request import HOOKS, REPORTING_STEPS, REQUEST_STEPS, Outcome, Step
from .trace import Trace, TraceKind

__all__ = [
    "DrivenServer",
    "Rest",
    "continue_request",
    "drive",
    "place_of",
    "run_blocking",
    "start_request",
    "take_in",
]

_T = TypeVar("_T")

#: What is left to await of a request's lifecycle; None if it needs no waiting.
Rest: TypeAlias = Coroutine[Any, Any, None] | None

_OK, _REFUSED, _FAILED, _ESCAPED, _OVER = Outcome
_VERIFY, _HERE, _GIVEN, _RAISED = Step.VERIFY, Step.HERE, Step.GIVEN, Step.RAISED

#: Hooks that a backend may have a way of its own for: what does the work of the request, and what
#: chooses where that is done.
_WORK, _CHOICE = 1, 2
_SPECIAL = {"finish_request": _WORK, "process_request": _CHOICE}

#: The table as the driver reads it: by step, the hook, whether it takes the client's address,
#: whether it is a special one, and the row.
_PLAN = tuple(
    (*HOOKS[step], _SPECIAL.get(HOOKS[step][0], 0), dict(REQUEST_STEPS[step]))
    for step in Step
    if step in HOOKS
)

#: How often an error is raised in a coroutine that suspends, before it is closed.
_PATIENCE = 100


class DrivenServer(Protocol):
    """What the driver needs of a server, besides the hooks that the table names."""

    trace: Trace | None
    request_timeout: float | None

    @property
    def _carrier(self) -> Callable[[Callable[..., Any], Any, Any], Awaitable[Any]] | None:
        """What calls ``finish_request`` with its two arguments where handlers are to run.

        It returns an awaitable of the result. None if they are to run where the driver does.
        """

    @property
    def _ledger(self) -> Ledger:
        """The places of the server's requests."""

    @property
    def _only_continues(self) -> Callable[[Callable[..., Any]], bool] | None:
        """What says if a hook, for ``process_request``, does what :func:`continue_request` does.

        In place, with the same request, and by no way of the program's: then it is not called.
        None if it is to be called in any case.
        """

    def _now(self) -> float:
        """Return the time in seconds on the server's clock."""

    def _request_key(self, request: Any) -> Hashable:
        """Return what the ledger finds *request* by."""

    def _emit(
        self,
        kind: TraceKind,
        number: int,
        what: str,
        detail: Any = None,
        *,
        time: float | None = None,
    ) -> None:
        """Add an event to the trace, if there is one."""

    def _end_early(self, place: Place) -> None:
        """End the serving of *place*, which was cut before its request began to be served."""

    def _release(self, place: Place) -> None:
        """Give back the place of a request that is over."""


def start_request(
    server: DrivenServer, request: Any, client_address: Any, entry: Step = Step.VERIFY
) -> Rest:
    """Take *request* in, and drive it until it is handed on, or over, or has to wait.

    Call this in the serve loop, for each request that ``get_request()`` returned, and await what
    this returns, or :func:`run_blocking` it, before the next.

    :param entry: ``Step.VERIFY``, or ``Step.SHED`` for a request that there is no room for.
    :raises BaseException: what a hook raised and no ``handle_error`` dealt with.
    """
    return drive(server, entry, request, client_address, take_in(server, request, client_address))


def take_in(server: DrivenServer, request: Any, client_address: Any) -> Place:
    """Return a place for *request*, which has just come.

    Call this in the serve loop, before the next request, where something else is to :func:`drive`
    this one: usually a task. :func:`start_request` does both.
    """
    place = server._ledger.take(
        server._request_key(request), client_address, server._now(), server.request_timeout
    )
    if server.trace is not None:
        server._emit(TraceKind.ACCEPT, place.number, "accept", client_address, time=place.since)
    return place


def continue_request(
    server: DrivenServer,
    entry: Step,
    request: Any,
    client_address: Any,
    worker: Any,
    place: Place | None = None,
) -> Rest:
    """Drive the rest of a request that ``process_request`` has been given, until it has to wait.

    Call this where the rest is to run, with ``Step.HERE`` inside ``process_request``, with
    ``Step.FINISH`` in a thread, a child, a task; and await what it returns, or
    :func:`run_blocking` it.

    :param worker: what serves the request, see :class:`~.ledger.Place`.
    :param place: the place of *request*, where it is known; it may have been given back since.
    :raises BaseException: from ``Step.HERE``, what ``finish_request`` raised; from either entry,
        what a hook raised and no ``handle_error`` dealt with.
    """
    if place is None or not place.open:
        place = place_of(server, request, client_address)
    place.in_place = entry is _HERE
    place.request = request  # before looking: who cuts it looks the other way round
    if place.cut:
        server._end_early(place)
    if place.worker is None:
        place.worker = worker
    return drive(server, entry, request, client_address, place)


def place_of(server: DrivenServer, request: Any, client_address: Any) -> Place:
    """Return the place of *request*; take one for it if it has none.

    A request has none if an override of the serve loop brought it, or gave it back early.
    """
    key = server._request_key(request)
    place = server._ledger.find(key)
    if place is None:
        place = server._ledger.adopt(key, client_address, server._now(), server.request_timeout)
    return place


def drive(
    server: DrivenServer, step: Step, request: Any, client_address: Any, place: Place
) -> Rest:
    """Run hooks from *step* on, in the order of the table, until no row leads on or one waits.

    An exception that the table leads to a report of has been dealt with; every other goes on to the
    caller, after the rest of the table has been walked while it is being handled.

    :returns: None if no row leads on; otherwise what is to be awaited, which does the rest.
    """
    if current.get() is not place:  # as it is where the rest runs in place
        current.set(place)
    if server.trace is None and server._carrier is None:
        return _STRAIGHT[step](server, request, client_address, place)
    return _walk(server, step, request, client_address, place)


def _walk(
    server: DrivenServer,
    step: Step,
    request: Any,
    client_address: Any,
    place: Place,
    returned: tuple[Any] | None = None,
) -> Rest:
    """Run hooks from *step* on as :func:`drive` does, for every server and every outcome.

    :param returned: what the hook of *step* returned, if that was run already.
    """
    result: Any
    tracing = server.trace is not None
    while step < _GIVEN:
        name, takes_address, special, row = _PLAN[step]
        if tracing and returned is None:
            server._emit(TraceKind.ENTER, place.number, name, step)
        try:
            hook = getattr(server, name)
            if returned is not None:
                (result,), returned = returned, None
            elif special is _WORK and server._carrier is not None:
                result = server._carrier(hook, request, client_address)
            elif special is _CHOICE and server._only_continues and server._only_continues(hook):
                result = continue_request(server, _HERE, request, client_address, None, place)
            else:
                result = hook(request, client_address) if takes_address else hook(request)
            awaits = waiting.get() is not None or (
                result is not None and result is not True and is_awaitable(result)
            )
            refused = step is _VERIFY and not result
        except BaseException as error:  # noqa: BLE001 - raised again there, if not dealt with
            return _recover(server, step, request, client_address, place, error)
        if awaits:
            return _settle(server, step, request, client_address, place, result)
        outcome = _note_outcome(server, step, place, refused) if refused or tracing else _OK
        step = row[outcome]
    _leave(server, step, place)
    return None


def _leave(server: DrivenServer, step: Step, place: Place) -> None:
    """Let go of *place*, whose request has come to *step*, which no row leaves."""
    if place.open:
        if step is _GIVEN:
            current.set(None)
        else:
            server._release(place)


_Run: TypeAlias = Callable[[DrivenServer, Any, Any, Place], Rest]


def _compiled(entry: Step) -> _Run:
    """Return what runs the hooks from *entry* on, as the table has it for hooks that just return.

    Whatever else becomes of one is left to :func:`_walk` and :func:`_recover`. So a hook costs
    little more than its call, and the order still stands in the table alone.
    """
    step, names = entry, {**globals(), **Step.__members__}
    lines, indent = [f"step = {entry.name}", "try:"], 4 * " "
    while step in HOOKS:
        name, takes_address = HOOKS[step]
        arguments = "request, client_address" if takes_address else "request"
        usual = step is _VERIFY
        call = f"{indent}result = server.{name}({arguments})"
        if _SPECIAL.get(name) is _CHOICE:
            lines += [
                f"{indent}only_continues = server._only_continues",
                f"{indent}if only_continues is not None and only_continues(server.{name}):",
                f"{indent}    result = continue_request(server, HERE, {arguments}, None, place)",
                f"{indent}else:",
                f"    {call}",
            ]
        else:
            lines.append(call)
        step = REQUEST_STEPS[step][_OK]
        lines += [
            f"{indent}if result is {usual or None} and waiting.get() is None:",
            f"{indent}    step = {step.name}",
        ]
        indent += 4 * " "
    lines += [
        "except BaseException as error:",
        "    return _recover(server, step, request, client_address, place, error)",
        f"if step is not {step.name}:",
        "    return _walk(server, step, request, client_address, place, (result,))",
        "if place.open:",
        f"    _leave(server, {step.name}, place)",
    ]
    head = f"def {entry.name.lower()}_and_on(server, request, client_address, place):"
    source = "\n    ".join((head, *lines))
    exec(compile(source, "<the table of requests>", "exec"), names)  # noqa: S102 - no input
    run: _Run = names[f"{entry.name.lower()}_and_on"]
    return run


def _at_end(step: Step) -> _Run:
    """Return what is left to do at *step*, which no row leaves."""

    def leave(server: DrivenServer, _request: Any, _client_address: Any, place: Place) -> None:
        _leave(server, step, place)

    return leave


def _settle(
    server: DrivenServer, step: Step, request: Any, client_address: Any, place: Place, result: Any
) -> Rest:
    """Begin what the hook of *step* returned or deferred; return what awaits it, and goes on.

    For as long as a client says nothing, that is held in memory, and each byte counts.
    """
    try:
        noted = take_deferred()
        if noted:
            first = noted[0]
            alone = result is first or (result is None and step is not _VERIFY)
            if alone and len(noted) == 1 and not first.taken:  # as most often
                result = first.take()
            else:
                result = _all_of(result, noted)
    except BaseException as error:  # noqa: BLE001 - likewise
        return _recover(server, step, request, client_address, place, error)
    return _wait(server, step, request, client_address, place, result)


async def _all_of(result: Any, noted: Iterable[Deferred]) -> Any:
    """Await what a hook returned and then what it deferred; return what became of the former."""
    try:
        if result is not None and is_awaitable(result):
            result = await result
        for deferred in noted:
            if not deferred.taken:
                await deferred.take()
    except BaseException:
        for deferred in noted:
            deferred.drop()
        raise
    return result


async def _wait(
    server: DrivenServer, step: Step, request: Any, client_address: Any, place: Place, awaited: Any
) -> None:
    """Await what the hook of *step* left to be awaited, and go on."""
    try:
        awaited = await awaited
        if waiting.get() is not None:
            await settle_deferred()
    except BaseException as error:  # noqa: BLE001 - likewise
        rest = _recover(server, step, request, client_address, place, error)
    else:
        refused = step is _VERIFY and not awaited
        noting = refused or server.trace is not None
        outcome = _note_outcome(server, step, place, refused) if noting else _OK
        rest = drive(server, REQUEST_STEPS[step][outcome], request, client_address, place)
    if rest is not None:
        await rest


def _note_outcome(server: DrivenServer, step: Step, place: Place, refused: bool) -> Outcome:
    """Note that the hook of *step* returned; return its outcome."""
    outcome = _REFUSED if refused else _OK
    if refused:
        server._ledger.count("refused")
    server._emit(TraceKind.LEAVE, place.number, HOOKS[step][0], outcome)
    return outcome


def _recover(
    server: DrivenServer,
    step: Step,
    request: Any,
    client_address: Any,
    place: Place,
    error: BaseException,
) -> Rest:
    """Walk the rest of the table while *error*, of *step*'s hook, is being handled.

    :raises BaseException: *error*, unless the table has led to a report of it.
    """
    drop_deferred()
    step = _after_error(server, step, place, error)
    if step is _RAISED:
        raise  # noqa: PLE0704 - the exception being handled
    reported = step in REPORTING_STEPS
    rest = drive(server, step, request, client_address, place)
    if rest is not None:
        return _recover_later(rest, error, place, reported)
    if reported:
        return None
    place.passed_back = place.in_place
    raise  # noqa: PLE0704 - likewise


async def _recover_later(
    rest: Coroutine[Any, Any, None], error: BaseException, place: Place, reported: bool
) -> None:
    """Await the rest of the table while *error* is being handled; raise it unless *reported*."""
    try:
        raise error  # noqa: TRY301 - for hooks that ask which exception is being handled
    except BaseException:
        await rest
        if not reported:
            place.passed_back = place.in_place
            raise


def _after_error(server: DrivenServer, step: Step, place: Place, error: BaseException) -> Step:
    """Note that the hook of *step* raised *error*; return the step that this leads to."""
    row = REQUEST_STEPS[step]
    outcome = _FAILED if isinstance(error, Exception) else _ESCAPED
    served_elsewhere = place.lent and place.open and outcome is _ESCAPED
    if _OVER in row and (place.passed_back or served_elsewhere):
        outcome = _OVER  # it was closed, or will be
    if server.trace is not None:
        server._emit(TraceKind.ERROR, place.number, HOOKS[step][0], error)
        server._emit(TraceKind.LEAVE, place.number, HOOKS[step][0], outcome)
    following = row[outcome]
    if following is _RAISED:
        place.request = place.worker = None  # until an override, perhaps, continues it again
    elif outcome is not _OVER and not (outcome is _ESCAPED and place.cut):
        server._ledger.count("errors")
    return following


@overload
def run_blocking(coroutine: Coroutine[Any, Any, _T]) -> _T: ...
@overload
def run_blocking(coroutine: None) -> None: ...


def run_blocking(coroutine: Coroutine[Any, Any, _T] | None) -> _T | None:
    """Run *coroutine*, which is not to suspend, to its end; return its result.

    Call this where there is no event loop. At each ``await`` that suspends, :exc:`SuspendedError`
    is raised inside the coroutine; one that goes on suspending all the same is closed.

    :param coroutine: or None, for which there is nothing to do.
    :raises SuspendedError: the coroutine suspended and did not deal with the error.
    """
    if coroutine is None:
        return None
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


#: By step, what runs the hooks from there on.
_STRAIGHT = tuple(_compiled(step) if step in HOOKS else _at_end(step) for step in Step)
