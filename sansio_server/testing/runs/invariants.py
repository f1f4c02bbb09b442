"""What must hold of every run, whatever the server does.

An invariant is a function of a :class:`~.runs.run.Run` that says what does not hold: it returns one
message or several, raises AssertionError, or returns None. Its name, with spaces, is what findings
call it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeAlias

from sansio_server.testing.scripts.faults import is_injected
from sansio_server.testing.timeline.places import place_of
from sansio_server.trace import TraceKind

from .run import Finding, Run

__all__ = ["BUILT_IN", "Invariant", "check_invariants", "excuse_errors", "name_of"]

_LOOP_BEGINS: Final = frozenset({"SERVE", "WAIT"})
_LOOP_ENDS: Final = frozenset({"LEAVE", "REQUEST", "TIMEOUT"})

#: Says what does not hold of a run.
Invariant: TypeAlias = Callable[[Run], "Iterable[str] | str | None"]

#: Errors that come of peers that disappear, are slow or are cut.
_PEERS: Final = (ConnectionError, TimeoutError)


def name_of(invariant: Invariant) -> str:
    """Return what findings of *invariant* are called."""
    return getattr(invariant, "__name__", type(invariant).__name__).replace("_", " ")


def check_invariants(run: Run, invariants: Iterable[Invariant]) -> tuple[Finding, ...]:
    """Return what does not hold of *run*.

    An exception of an invariant, other than AssertionError, is a fault of the invariant and goes
    on to the caller.
    """
    findings: list[Finding] = []
    for invariant in invariants:
        try:
            messages = invariant(run)
        except AssertionError as error:
            messages = str(error) or "an assertion failed"
        if isinstance(messages, str):
            messages = (messages,) if messages else ()
        findings.extend(Finding(name_of(invariant), message) for message in messages or ())
    return tuple(findings)


def ends(run: Run) -> str:
    """It comes to an end: nobody waits for what will never come, nobody runs for ever."""
    return run.stuck


def loop_goes_on(run: Run) -> str:
    """The serve loop ends because it was stopped, not by an exception."""
    return f"serve_forever() raised {run.loop_error}" if run.loop_error else ""


def closing_raises_nothing(run: Run) -> str:
    """The server can be closed."""
    return f"server_close() raised {run.close_error}" if run.close_error else ""


def threads_raise_nothing(run: Run) -> str:
    """No thread ends by an exception that no hook was told of."""
    return f"a thread raised {'; '.join(run.unhandled)}" if run.unhandled else ""


def closed_once(run: Run) -> Iterator[str]:
    """Each request that was accepted is closed, and not by two calls of shutdown_request()."""
    if run.stuck:
        return  # those that are still under way say nothing
    closed = _requests(run, TraceKind.CLOSE)
    shut = _requests(run, TraceKind.ENTER, "shutdown_request")
    for number in sorted(_requests(run, TraceKind.ACCEPT)):
        if not closed[number]:
            yield f"request {number} was never closed"
        if shut[number] > 1:
            yield f"request {number} was closed {shut[number]} times"


def finished_at_most_once(run: Run) -> Iterator[str]:
    """No request is served twice."""
    for number, times in sorted(_requests(run, TraceKind.ENTER, "finish_request").items()):
        if times > 1:
            yield f"request {number} was finished {times} times"


def none_accepted_after_stop(run: Run) -> Iterator[str]:
    """Once a stop was asked for, a loop lets nobody in but who it was just letting in."""
    loops = allowed = 0
    stopping = False
    for event in run.trace:
        if event.kind is TraceKind.STATE:
            loops += (event.what in _LOOP_BEGINS) - (event.what in _LOOP_ENDS)
            if event.detail == "STOPPING" and not stopping:
                allowed = loops
            stopping = event.detail == "STOPPING"
        elif event.kind is TraceKind.ACCEPT and stopping:
            allowed -= 1
            if allowed < 0:
                yield f"request {event.request} was accepted after the stop"


def counts_go_back(run: Run) -> str:
    """At the end no request counts as open."""
    if run.stuck or not run.still_open:
        return ""
    return f"{run.still_open} requests count as open at the end"


def nothing_left(run: Run) -> str:
    """No socket, thread, child or timer outlives the server."""
    return "" if run.stuck or not run.left else f"left over: {', '.join(run.left)}"


def no_errors(run: Run) -> Iterator[str]:
    """Hooks and handlers raise nothing but what comes of a peer that disappears or is slow."""
    return _errors(run, ())


def closes_in_time(run: Run) -> Iterator[str]:
    """server_close() keeps to drain_timeout and cut_timeout, and leaves nobody behind."""
    limit = run.closing_limit
    if limit is not None and run.closing > limit + 1e-6:
        yield f"server_close() took {run.closing:g} s, its limits allow {limit:g} s"
    if run.drain is not None and run.drain.left:
        yield f"{len(run.drain.left)} requests did not end, even when they were cut"


def replies_as_expected(run: Run) -> Iterator[str]:
    """Clients from whom no fault took anything get what they expect."""
    for number, seen in enumerate(run.clients, 1):
        if seen.unexpected and number not in run.hit:
            yield f"client {number} {seen.unexpected}"


def excuse_errors(*meant: type[BaseException]) -> Invariant:
    """Return :func:`no_errors` that lets exceptions pass which the handler raises on purpose."""

    def no_errors(run: Run) -> Iterator[str]:
        return _errors(run, meant)

    return no_errors


def _errors(run: Run, meant: tuple[type[BaseException], ...]) -> Iterator[str]:
    cut = _requests(run, TraceKind.CUT)
    starting = {fault.point for fault in run.faults} & {"fork", "thread"}
    told: set[tuple[int, str]] = set()
    for event in run.trace:
        error = event.detail
        if event.kind is not TraceKind.ERROR or isinstance(error, meant):
            continue
        if isinstance(error, _PEERS) and event.what != "handle_error":
            continue  # but who reports that a peer is gone need not fail by it
        if not isinstance(error, Exception) and cut[event.request]:
            continue  # how an event loop ends who was cut
        if is_injected(error) and ((starting and event.what == "process_request") or run.stuck):
            continue  # it could not start somebody, or was ended where it was stuck
        text = f"{type(error).__name__}: {error}"
        if (event.request, text) not in told:  # it passes through one hook after the other
            told.add((event.request, text))
            place = place_of(error)
            where = f", {place}" if place else ""
            yield f"{event.what} of request {event.request} raised {text}{where}"


def _requests(run: Run, kind: TraceKind, what: str | None = None) -> Counter[int]:
    return Counter(
        event.request
        for event in run.trace
        if event.kind is kind and (what is None or event.what == what)
    )


#: What holds of every server that no override makes an exception of.
BUILT_IN: Final[tuple[Invariant, ...]] = (
    ends,
    loop_goes_on,
    no_errors,
    threads_raise_nothing,
    closing_raises_nothing,
    closed_once,
    finished_at_most_once,
    none_accepted_after_stop,
    counts_go_back,
    nothing_left,
    closes_in_time,
    replies_as_expected,
)
