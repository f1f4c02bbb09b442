"""Serving from the first line printed to the last; how it is done is a backend's matter.

The main thread is for signals. Who serves does so in other threads, which are waited for as long as
was asked for, and no longer.
"""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from types import ModuleType
from typing import Any, Final, Protocol, TypeVar

import attrs

from sansio_server.ledger import Counters
from sansio_server.limits import Limits
from sansio_server.trace import Trace

from .addresses import Address, Kind, resolve
from .backends import Plan
from .console import REFUSED, CommandError, complain, flush, say
from .events import Events
from .signals import telling
from .unix_paths import OwnPathMixIn
from .worker_records import own_path

__all__ = [
    "ENDED",
    "Front",
    "Served",
    "begin_trace",
    "find_class",
    "open_server",
    "run",
    "summary",
]

_Self = TypeVar("_Self", bound="Served")

#: Seconds that a drain may be late, before the process ends without it: a handler in a greenlet
#: that blocks its thread blocks the drain, too.
_LATENESS: Final = 1.0

#: A loop has ended.
ENDED: Final = "a loop has ended"
#: A server that was told to stop is closed and drained.
CLOSED: Final = "a server is closed"

_BASES: Final[dict[Kind, str]] = {
    "tcp": "TCPServer",
    "udp": "UDPServer",
    "unix": "UnixStreamServer",
    "unixgram": "UnixDatagramServer",
}


def find_class(
    module: ModuleType,
    mix_in: str,
    kind: Kind,
    *,
    before: tuple[type[Any], ...] = (),
    owns_path: bool = True,
    **attributes: Any,
) -> type[Any]:
    """Return a server class, with *attributes*, for a kind of address.

    :param module: where the class is, and
    :param mix_in: the name of what goes before it; empty for nothing.
    :param before: what goes before that.
    :param owns_path: whether the path of a Unix socket is the server's to care for.
    :raises CommandError: this system has no such sockets, or no fork.
    """
    names = [name for name in (mix_in, _BASES[kind]) if name]
    try:
        bases = tuple(getattr(module, name) for name in names)
    except AttributeError as error:
        raise CommandError(f"this system has not what it takes: {error}", REFUSED) from None
    if kind in ("unix", "unixgram") and owns_path:
        bases = (OwnPathMixIn, *bases)
    bases = (*before, *bases)
    return type("".join(names).replace("MixIn", ""), bases, attributes)


def open_server(
    module: ModuleType,
    mix_in: str,
    plan: Plan,
    address: Address,
    *,
    before: tuple[type[Any], ...] = (),
    **attributes: Any,
) -> Any:
    """Return a server for one address, as planned, bound and listening, or on its listener.

    The other arguments are those of :func:`find_class`.

    :raises CommandError: the address cannot be bound.
    """
    try:
        listener, front = address.listener, plan.front
        if listener is None:
            family, server_address = resolve(address)
        else:
            family, server_address = listener.family, listener.getsockname()
        if front is not None and plan.max_requests < math.inf:
            before = (CountingMixIn, *before)
            attributes["request_came"] = staticmethod(front.request_came)
        make = find_class(
            module,
            mix_in,
            address.kind,
            before=before,
            owns_path=listener is None,
            address_family=family,
            # For datagrams it would let a second server take what is meant for the first.
            allow_reuse_address=address.kind == "tcp",
            **attributes,
            **attrs.asdict(plan.limits),
        )
        if listener is None:
            return make(server_address, plan.handler)
        server = make(server_address, plan.handler, bind_and_activate=False)
        server.socket.close()
        server.socket = listener
        return server
    except (OSError, ValueError) as error:
        raise CommandError(f"cannot serve {address}: {_reason(error)}", REFUSED) from error


def _reason(error: Exception) -> str:
    """Return what the system says, without what the caller says anyway."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text.partition(": cannot bind to ")[0]


class CountingMixIn:
    """Tells of each request that comes."""

    request_came: Callable[[], object]

    def verify_request(self, request: Any, client_address: Any) -> Any:
        """Tell of it, and let it be served."""
        self.request_came()
        return super().verify_request(request, client_address)  # type: ignore[misc]  # a mix-in


class Front:
    """Who is told how serving goes: here, the one at the terminal."""

    def telling(self, tell: Callable[[signal.Signals], object]) -> AbstractContextManager[None]:
        """Call *tell* with each signal that asks for a stop."""
        return telling(tell)

    def request_came(self) -> None:
        """Hear of a request, if that is of interest."""

    def listening(self, opened: Sequence[Served]) -> None:
        """Say that all servers serve."""
        say(*(f"listening on {served.address}" for served in opened))

    def stopping(self) -> None:
        """Say that no more requests are let in."""

    def ended(self, opened: Sequence[Served]) -> None:
        """Say what was served."""
        say(*map(str, opened))


class Served:
    """A server, and how its loop has ended.

    :param events: told when the loop has ended (:data:`ENDED`) and, once, when the server has been
        stopped and drained (:data:`CLOSED`).
    :ivar address: where it is bound.
    :ivar closed: whether the server has been stopped and drained.
    :ivar failure: what ended the loop, if it was an error.
    """

    def __init__(self, address: Address, server: Any, events: Events) -> None:
        self.address = address.bound(server.server_address)
        self.server = server
        self.events = events
        self.closed = False
        self.failure: BaseException | None = None

    @classmethod
    def open(  # noqa: PYI019 - typing.Self came with Python 3.11
        cls: type[_Self], plan: Plan, address: Address, events: Events
    ) -> _Self:
        """Make a server for one address.

        :raises CommandError: it cannot be bound.
        """
        raise NotImplementedError

    @classmethod
    def start(cls, opened: Sequence[Any]) -> None:
        """Serve with all that were opened, in other threads."""
        raise NotImplementedError

    def stop(self) -> None:
        """Stop and drain, in another thread."""
        raise NotImplementedError

    def look_again(self) -> None:
        """Look for a client, though nothing told of one; where nobody is missed this is nothing."""

    def tell_closed(self) -> None:
        """Tell that the server has been stopped and drained."""
        self.closed = True
        self.events.put(CLOSED)

    def abandon(self) -> None:
        """Give up at once whatever would outlive the process."""
        if isinstance(self.server, OwnPathMixIn):
            self.server.remove_path()

    def __str__(self) -> str:
        report = self.server.drain_report
        drained = "" if report is None else str(report).partition("\n")[0]
        return summary(self.address, self.server.counters, drained)


def summary(address: Address, counters: Counters, drained: str) -> str:
    """Say what was served at an address, and, if it is known, how that drained."""
    counts = ", ".join(
        f"{count} {name.replace('_', ' ')}"
        for name, count in attrs.asdict(counters).items()
        if count or name in ("accepted", "closed")
    )
    return f"served {address}: {counts}" + (f"; {drained}" if drained else "")


def run(plan: Plan, way: type[Served]) -> int:
    """Serve until Ctrl-C or SIGTERM, then drain; return the exit status.

    A second signal ends the process at once.

    :param way: how to serve.
    :raises CommandError: an address cannot be bound, or the trace not be written.
    """
    front = plan.front or Front()
    with closing(Events()) as events, front.telling(events.put), ExitStack() as files:
        traces = [files.enter_context(closing(trace)) for trace in _open_traces(plan)]
        opened = _open_all(plan, way, events)
        _trace(opened, traces)
        way.start(opened)
        try:
            front.listening(opened)
            events.get()  # a signal, or an end that nobody asked for
        finally:  # also where it cannot be said that all serve
            _stop(opened, events, plan.limits, front)
    front.ended(opened)
    failed = [served for served in opened if served.failure is not None]
    for served in failed:
        complain("sansio-server serve", f"{served.address} failed: {served.failure!r}")
    return REFUSED if failed else 0


def _open_all(plan: Plan, way: type[Served], events: Events) -> list[Served]:
    opened: list[Served] = []
    with ExitStack() as undo:
        for address in plan.addresses:
            served = way.open(plan, address, events)
            undo.callback(served.server.server_close)
            opened.append(served)
        undo.pop_all()
    return opened


class _Traced(Protocol):
    """A file for the traces of several servers."""

    def of(self, server: str) -> Trace:
        """Return the trace of the server by this name."""

    def close(self) -> None:
        """Close the file."""


def _open_traces(plan: Plan) -> Iterator[_Traced]:
    # Imported where they are asked for: the testing kit is large.
    if plan.trace is not None:
        from .trace_file import TraceFile  # noqa: PLC0415 - as above

        with _telling_of("trace", plan.trace):
            trace = TraceFile(plan.trace, joined=plan.front is not None)
        yield trace
    if plan.record is not None:
        from sansio_server.testing.recording.flight_recorder import FlightRecorder  # noqa: PLC0415 - as above

        with _telling_of("recording", plan.record):
            path = plan.record if plan.front is None else own_path(plan.record)
            recorder = FlightRecorder(
                path, max_bytes=plan.record_bytes, payload=plan.record_payload
            )
        yield recorder


def begin_trace(plan: Plan) -> None:
    """Begin the trace's file, for workers who write to it.

    :raises CommandError: it cannot be written.
    """
    if plan.trace is not None:
        from .trace_file import TraceFile  # noqa: PLC0415 - as above

        with _telling_of("trace", plan.trace):
            TraceFile(plan.trace).close()


def _trace(opened: list[Served], traces: Sequence[_Traced]) -> None:
    if not traces:
        return
    from sansio_server.testing.recording.flight_recorder import Traces  # noqa: PLC0415 - as above

    for served in opened:
        served.server.trace = Traces(*(trace.of(str(served.address)) for trace in traces))


@contextmanager
def _telling_of(what: str, path: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise CommandError(f"cannot write the {what} {path}: {_reason(error)}", REFUSED) from error


def _stop(opened: list[Served], events: Events, limits: Limits, front: Front) -> None:
    """Drain all servers at the same time; another signal ends the process."""
    patience = math.inf
    if limits.drain_timeout is not None:
        patience = limits.drain_timeout + limits.cut_timeout + _LATENESS
    deadline = time.monotonic() + patience
    for served in opened:
        served.stop()
    front.stopping()
    while not all(served.closed for served in opened):
        event = events.get(deadline)
        if event is None:
            return
        if isinstance(event, signal.Signals):
            _force(opened, event)


def _force(opened: list[Served], why: signal.Signals) -> None:
    for served in opened:
        served.abandon()
    complain("sansio-server serve", f"{why.name} came again: requests under way were cut off")
    flush()
    os._exit(128 + why)
