"""The part of a server that needs no I/O: its attributes, its bookkeeping, and most of its hooks.

Backends derive their ``BaseServer`` from :class:`ServerHooks` and add what touches sockets, threads
and clocks.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Awaitable, Callable, Hashable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, overload

from .deferred import Deferred, is_awaitable
from .handlers import is_asynchronous, unwrapped
from .ledger import Counters, Ledger, Place
from .lifecycle import Event, Lifecycle
from .limits import Limits, WhenFull
from .request import Step
from .trace import LimitsInForce, Standing, Trace, TraceEvent, TraceKind

if TYPE_CHECKING:
    import logging

__all__ = ["LOGGER", "ServerHooks"]


class _LaterLogger:
    """The logger, got when it is used: :mod:`logging` has things to do at each fork."""

    def __getattr__(self, name: str) -> Any:
        import logging  # noqa: PLC0415 - as above

        return getattr(logging.getLogger("sansio_server"), name)


#: Where servers report what does not belong to a single request: overload, drains, a trace that
#: raises. It is the logger named "sansio_server".
LOGGER: Final[logging.Logger] = _LaterLogger()  # type: ignore[assignment]  # as good as one

_RULE: Final = "-" * 40

#: Events that depend on the limits: these are told to a trace before, if they have changed.
_LIMITED: Final = frozenset({TraceKind.ACCEPT, TraceKind.OVERLOAD, TraceKind.WAIT, TraceKind.DRAIN})

_T = TypeVar("_T")


class _shown(Generic[_T]):  # noqa: N801 - a decorator, as property is one
    """A property that an attribute of the program may replace.

    Servers written for the standard library may use the same name for something of their own.
    """

    def __init__(self, function: Callable[[Any], _T]) -> None:
        self._function = function
        self.__doc__ = function.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> _shown[_T]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> _T: ...
    def __get__(self, instance: object | None, owner: type) -> _shown[_T] | _T:
        return self if instance is None else self._function(instance)


class ServerHooks:
    """Attributes and hooks that every server has, on any backend.

    :param server_address: where to serve, in the form that the address family asks for.
    :param RequestHandlerClass: called for each request with the request, the client's address and
        the server; a handler class as a rule, but any callable will do.
    :raises TypeError: *RequestHandlerClass* cannot be called, or a limit is no number.
    :raises ValueError: a limit is negative.
    """

    #: Seconds that ``handle_request()`` waits before it calls ``handle_timeout()``; None for ever.
    timeout: float | None = None
    #: The most requests open at once; None for no limit. See :class:`~sansio_server.limits.Limits`.
    max_connections: int | None = None
    #: What happens to clients beyond that: "wait" or "shed".
    when_full: WhenFull = "wait"
    #: Seconds after which a request is cut; None for never.
    request_timeout: float | None = None
    #: Seconds that ``server_close()`` waits for requests before it cuts them; None for ever.
    drain_timeout: float | None = None
    #: Seconds that those cut have to end before ``server_close()`` goes on without them.
    cut_timeout: float = 5.0
    #: Called with each :class:`~sansio_server.trace.TraceEvent`; None for no trace.
    trace: Trace | None = None

    # Which trace was told how the server stands, and of which limits it was told last.
    _traced: Trace | None = None
    _told_limits: LimitsInForce | None = None

    #: Where handlers run, if not where the driver does; see
    #: :class:`~sansio_server.driver.DrivenServer`.
    _carrier: Callable[[Callable[..., Any], Any, Any], Awaitable[Any]] | None = None
    #: What says if ``process_request`` need not be called; likewise.
    _only_continues: Callable[[Callable[..., Any]], bool] | None = None

    def __init__(self, server_address: Any, RequestHandlerClass: Callable[..., Any] | None) -> None:
        # None is what programs pass that only want an address, and never serve.
        if RequestHandlerClass is not None and not callable(RequestHandlerClass):
            raise TypeError(
                "RequestHandlerClass must be callable with (request, client_address, server), "
                f"not {RequestHandlerClass!r}"
            )
        self.server_address: Any = server_address
        self.RequestHandlerClass: Any = RequestHandlerClass
        self._lifecycle = Lifecycle()
        self._known_callable: Any = None  # the handler, and what was once found out about it
        self._adapts = False
        #: Those to be told when a place becomes free, each as any hashable that identifies it.
        self._awaiting: set[Any] = set()
        #: The places of the requests that are open.
        self._ledger = Ledger(self._new_lock(), self._release)
        self._checked_limits()

    @_shown
    def counters(self) -> Counters:
        """How many requests came, and how they ended; see :class:`~.ledger.Counters`."""
        return self._ledger.counters

    @_shown
    def limits(self) -> Limits:
        """The limits in force, checked.

        :raises ValueError: one of the attributes is negative or none of the choices.
        :raises TypeError: one is no number.
        """
        return self._checked_limits()

    def _checked_limits(self) -> Limits:
        return Limits(
            max_connections=self.max_connections,
            when_full=self.when_full,
            request_timeout=self.request_timeout,
            drain_timeout=self.drain_timeout,
            cut_timeout=self.cut_timeout,
        )

    # What a backend brings.

    def _happened(self, event: Event) -> None:
        """Put *event* to the lifecycle."""
        self._lifecycle.put(event)

    def _now(self) -> float:
        """Return the time in seconds on the clock of the backend."""
        raise NotImplementedError

    def _new_lock(self) -> AbstractContextManager[Any] | None:
        """Return a lock for what several threads change, or None where there is one thread."""
        return None

    def _request_key(self, request: Any) -> Hashable:
        """Return a key that no other open request has, and that stays the same if it is wrapped."""
        return id(request)

    def _async_request(self, request: Any) -> Any:
        """Return *request* as an asynchronous handler is to see it."""
        return request

    def continue_request(self, entry: Step, request: Any, client_address: Any) -> Any:
        """Run the rest of a request that ``process_request`` has been given, from *entry* on.

        :param entry: ``Step.HERE`` inside ``process_request``, ``Step.FINISH`` anywhere else.
        """
        raise NotImplementedError

    # Hooks.

    def verify_request(self, request: Any, client_address: Any) -> Any:
        """Return whether *request* is to be served; by default all are."""
        return True

    def process_request(self, request: Any, client_address: Any) -> Any:
        """Choose where the rest of *request* runs; by default in place."""
        return self.continue_request(Step.HERE, request, client_address)

    def finish_request(self, request: Any, client_address: Any) -> Any:
        """Serve *request* by calling ``RequestHandlerClass``."""
        handler = self.RequestHandlerClass
        if isinstance(handler, type):
            handler(request, client_address, self)
            return None
        if handler is not self._known_callable:
            # A handler class adapts the request by itself, and so does a partial of one.
            self._adapts = not isinstance(unwrapped(handler), type) and is_asynchronous(handler)
            self._known_callable = handler  # last: other threads go by it
        if self._adapts:
            request = self._async_request(request)
        result = handler(request, client_address, self)
        if isinstance(result, Deferred):
            return result
        return Deferred(result) if is_awaitable(result) else None

    def shed_request(self, request: Any, client_address: Any) -> Any:
        """Tell a client that the server is full, before it is closed; by default nothing."""

    def shutdown_request(self, request: Any) -> Any:
        """End *request* for the client and close it."""
        return self.close_request(request)

    def close_request(self, request: Any) -> Any:
        """Let go of *request*; its place becomes free."""
        place = self._ledger.find_exactly(self._request_key(request))
        if place is not None:
            self._release(place)

    def handle_error(self, request: Any, client_address: Any) -> Any:
        """Report the exception that is being handled; by default to standard error."""
        if sys.stderr is not None:
            sys.stderr.write(
                f"{_RULE}\nException occurred during processing of request from {client_address}\n"
                f"{traceback.format_exc()}{_RULE}\n"
            )

    def handle_timeout(self) -> Any:
        """Called by ``handle_request()`` when its time has passed; by default nothing."""

    def service_actions(self) -> Any:
        """Called in each turn of ``serve_forever()``; by default nothing."""

    # Bookkeeping.

    def _release(self, place: Place) -> None:
        """Give back the place of a request that is over. Harmless if it was given back before."""
        if self._ledger.give_back(place):
            if self.trace is not None:
                self._emit(TraceKind.CLOSE, place.number, "close", place.client_address)
            if self._awaiting:
                self._released()

    def _released(self) -> None:
        """Tell those in ``_awaiting`` that a place has become free."""

    def _emit(
        self,
        kind: TraceKind,
        number: int,
        what: str,
        detail: Any = None,
        *,
        time: float | None = None,
        data: bytes | None = None,
    ) -> None:
        """Add an event to the trace, if there is one; what a trace raises is logged, no more.

        :param time: when it happened, where a decision was made by that; None for now.
        """
        trace = self.trace
        if trace is not None:
            if time is None:
                time = self._now()
            try:
                if trace is not self._traced and trace != self._traced:
                    self._begin_trace(trace, time)
                elif kind in _LIMITED:
                    self._tell_limits(trace, time)
                trace(TraceEvent(time, kind, number, what, detail, data))
            except Exception:
                LOGGER.exception("the trace %r failed", trace)

    def _emit_bytes(self, number: int, direction: str, data: Any, count: int) -> None:
        """Tell the trace that the first *count* bytes of *data* have moved.

        Of the bytes themselves, too, if it has an attribute ``payload`` that is true.

        :param direction: "in" or "out".
        """
        wanted = getattr(self.trace, "payload", False)
        moved = bytes(memoryview(data).cast("B")[:count]) if wanted else None
        self._emit(TraceKind.BYTES, number, direction, count, data=moved)

    def _begin_trace(self, trace: Trace, time: float) -> None:
        self._traced = trace  # first, so that one that raises is told once
        standing = self._standing()
        if standing is not None:
            self._told_limits = standing.limits
            trace(TraceEvent(time, TraceKind.BEGIN, 0, "begin", standing))

    def _tell_limits(self, trace: Trace, time: float) -> None:
        limits = self._limits_in_force()
        if limits is not None and limits != self._told_limits:
            self._told_limits = limits
            trace(TraceEvent(time, TraceKind.LIMITS, 0, "limits", limits))

    def _standing(self) -> Standing | None:
        """Return how the server stands, for a trace that begins; None if that is not known."""
        return None

    def _limits_in_force(self) -> LimitsInForce | None:
        """Return what the server takes on; None if it has no limits that make sense."""
        return None
