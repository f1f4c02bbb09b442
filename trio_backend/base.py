"""``BaseServer`` on trio: the loop, the tasks, stopping and draining."""

from __future__ import annotations

import math
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import attrs
import trio

from sansio_server.deferred import Deferred, is_awaitable
from sansio_server.drain import Drain, DrainReport
from sansio_server.driver import continue_request, drive, take_in
from sansio_server.handlers import is_asynchronous
from sansio_server.hooks import LOGGER
from sansio_server.ledger import Place
from sansio_server.lifecycle import Event, Lifecycle, State
from sansio_server.limits import Admission
from sansio_server.loop import request_loop, serve_loop
from sansio_server.request import Step
from sansio_server.serving import Serving
from sansio_server.trace import TraceKind
from sync_backend.control import Control, Loop

from .alarm import Alarm
from .carriers import CARRIERS, BlockingHandlers, wait_in_thread
from .runtime import TrioRuntime
from .worker import Worker

__all__ = ["BaseServer"]

_Self = TypeVar("_Self", bound="BaseServer")

#: How many clients are let in before other tasks get their turn.
_BATCH = 64


class BaseServer(Serving):
    """A server without a socket, for a trio nursery; subclasses bring ``get_request()`` and so on.

    Each request is served by a task of its own, inside ``serve_forever()``. Hooks may be ``def`` or
    ``async def``. See :class:`~sansio_server.hooks.ServerHooks` for arguments and attributes.
    """

    #: What asynchronous handlers find in ``server.runtime``.
    runtime: ClassVar[TrioRuntime] = TrioRuntime()

    #: Where blocking handlers run: in "threads", or, with the extra of that name, in "greenlets".
    blocking_handlers: BlockingHandlers = "threads"
    #: What becomes of an Exception that a hook or a handler raises: "report" gives it to
    #: ``handle_error()`` and goes on; "crash" lets it out of ``serve_forever()``, as trio does.
    on_error: Literal["report", "crash"] = "report"

    #: How the last drain went; None before the first.
    drain_report: DrainReport | None = None

    def __init__(self, server_address: Any, RequestHandlerClass: Callable[..., Any]) -> None:
        super().__init__(server_address, RequestHandlerClass)
        if self.on_error not in ("report", "crash"):
            raise ValueError(f"on_error must be 'report' or 'crash', not {self.on_error!r}")
        if self.blocking_handlers not in CARRIERS:
            raise ValueError(
                f"blocking_handlers must be one of {sorted(CARRIERS)}, "
                f"not {self.blocking_handlers!r}"
            )
        self._control = Control(self.lifecycle, self._trace_state)
        self._clock: trio.abc.Clock | None = None
        self._workers: dict[Worker, Place] = {}
        self._threads: trio.CapacityLimiter | None = None
        self._progress = trio.Event()
        self._drained = trio.Event()
        #: Set when a stop was asked for: handlers may want to come to an end.
        self.stopping = trio.Event()

    if TYPE_CHECKING:

        def get_request(self) -> Any:
            """Return the next request and the client's address, or an awaitable of them."""

    def server_activate(self) -> Any:
        """Begin to let clients in; called by the constructors of subclasses."""
        self._happened(Event.ACTIVATE)

    # Serving.

    async def serve_forever(
        self,
        poll_interval: float | None = 0.5,
        *,
        task_status: trio.TaskStatus[Any] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until ``shutdown()``, then drain; nothing outlives this.

        To be started in a nursery as a rule: ``await nursery.start(server.serve_forever)`` returns
        the server as soon as it serves. Cancelling it ends all requests at once.

        :param poll_interval: seconds between two calls of an overridden ``service_actions()`` when
            no client comes.
        :raises ValueError: a limit is negative.
        :raises OSError: the listener is dead.
        :raises ExceptionGroup: what hooks raised and no ``handle_error()`` dealt with.
        """
        _ = self.limits
        with self._running(Event.SERVE) as (loop, alarm):
            failure: OSError | None = None
            async with trio.open_nursery() as nursery:
                task_status.started(self)
                try:
                    if self.is_running():
                        self._prepare_listener()
                        turns = _Turns(self, loop, alarm, nursery)
                        await serve_loop(self, turns, poll_interval)
                except OSError as error:
                    failure = error
                    nursery.cancel_scope.cancel()
                else:
                    self.stopping.set()
                    await self._close_accepted()
                    await self._drain(self.drain_timeout)
            if failure is not None:
                raise failure

    async def _next_request(self) -> tuple[Place, Step, Any, Any] | None:
        """Let one request in, if there is one; return its place, and what to serve it with."""
        try:
            pair = self.get_request()
            if type(pair) is not tuple and is_awaitable(pair):
                pair = await pair
        except OSError as error:
            self.accept_failed(error)
            return None
        request, client_address = pair
        if self.trace is not None:
            request = self._observed(request)
        # The place is taken here, not in the task, or all that are there would seem to have room.
        entry = self.came_in()
        place = take_in(self, request, client_address)
        return place, entry, request, client_address

    async def handle_request(self) -> Any:
        """Serve one request, or call ``handle_timeout()`` when none comes in time.

        The time is :attr:`timeout`. A stop ends the wait.

        :raises ValueError: a limit is negative.
        :raises OSError: the listener is dead.
        """
        _ = self.limits
        wait = math.inf if self.timeout is None else self.timeout
        with self._running(Event.WAIT) as (loop, alarm):
            self._prepare_listener()
            return await request_loop(self, _Turns(self, loop, alarm, None), wait)

    @contextmanager
    def _running(self, event: Event) -> Iterator[tuple[Loop, Alarm]]:
        self._clock = trio.lowlevel.current_clock()
        self.stopping = trio.Event()
        self._drained = trio.Event()
        alarm = Alarm()
        with self._control.running_with(event, alarm) as loop:
            yield loop, alarm

    async def _sleep(self, alarm: Alarm, until: float) -> bool:
        """Sleep until a client is there, there is something else to do, or the time has come."""
        plan = self.plan(until)
        if not plan.listen:
            self._awaiting.add(alarm)
        try:
            wait = self._wait_for_client if plan.listen else trio.sleep_forever
            return await alarm.sleep(plan.until, wait)
        finally:
            self._awaiting.discard(alarm)

    # One request.

    async def _serve_one(
        self, place: Place, entry: Step, request: Any, client_address: Any
    ) -> None:
        """Serve a request from its entry to its end: what its task does."""
        worker = Worker()
        place.worker = worker
        self._workers[worker] = place
        try:
            with worker.scope:
                rest = drive(self, entry, request, client_address, place)
                if rest is not None:
                    await rest
        finally:
            del self._workers[worker]
            place.worker = place.request = None  # if it is still open, an override keeps it
            self._progressed()

    def continue_request(self, entry: Step, request: Any, client_address: Any) -> Any:
        """Return an awaitable of the rest of a request that ``process_request`` has been given.

        Whoever does not await it leaves that to the driver, which does so after the hook.

        :param entry: ``Step.HERE`` inside ``process_request``, ``Step.FINISH`` anywhere else.
        """
        rest = continue_request(self, entry, request, client_address, None)
        return _NOTHING if rest is None else Deferred(rest)

    @property
    def carrier(self) -> Any:
        """What calls ``finish_request()`` where blocking handlers run; None for others."""
        if is_asynchronous(self.RequestHandlerClass) or is_asynchronous(self.finish_request):
            return None
        return self._carry

    @carrier.setter
    def carrier(self, value: object) -> None:
        raise AttributeError("set blocking_handlers to choose where blocking handlers run")

    def _limiter(self) -> trio.CapacityLimiter:
        """Return what bounds the worker threads: as many as there may be connections."""
        tokens = math.inf if self.max_connections is None else self.max_connections
        if self._threads is None:
            self._threads = trio.CapacityLimiter(tokens)
        elif self._threads.total_tokens != tokens:
            self._threads.total_tokens = tokens
        return self._threads

    def _carry(self, hook: Callable[..., Any], request: Any, client_address: Any) -> Awaitable[Any]:
        return CARRIERS[self.blocking_handlers](self, hook, request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> Any:
        """Report the exception that is being handled, or raise it, as :attr:`on_error` says."""
        if self.on_error == "crash":
            raise  # noqa: PLE0704 - the exception that is being handled
        return super().handle_error(request, client_address)

    # What subclasses with a listener bring.

    def bridged_request(self, request: Any, wait_for: Callable[[Any], Any]) -> Any:
        """Return *request* as a blocking handler sees it whose waiting is done by *wait_for*."""
        return request

    def thread_request(self, request: Any) -> Any:
        """Return *request* as a blocking handler in a worker thread sees it."""
        return self.bridged_request(request, wait_in_thread)

    async def _interrupt_thread(self, request: Any) -> None:
        """Wake the thread that waits for *request*."""
        self._interrupt(request)

    async def _close_accepted(self) -> None:
        """Close what was accepted and not let in."""

    async def _wait_for_client(self) -> None:
        """Wait until ``get_request()`` has something to return, as far as that can be known."""
        await trio.lowlevel.checkpoint()

    def _prepare_listener(self) -> None:
        """Get ready to serve."""

    def _gets_requests_itself(self) -> bool:
        """Say whether ``get_request`` is known not to wait."""
        return False

    def _close_listener(self) -> None:
        """Let nobody else in."""

    def _observed(self, request: Any) -> Any:
        """Return *request*, made to tell the trace of its bytes where that is possible."""
        return request

    # Stopping.

    def shutdown(self) -> None:
        """Ask ``serve_forever()`` to stop accepting, to drain, and to return; do not wait for it.

        May be called by any task, thread or signal handler, any number of times. When nothing
        serves the stop is kept: it ends the next ``serve_forever()`` or ``handle_request()`` at
        once.
        """
        self._happened(Event.SHUTDOWN)

    async def wait_drained(self) -> DrainReport:
        """Wait until the drain that follows a stop is over; return how it went.

        It is over, too, when its time has passed: requests that would not end are in the report,
        and ``serve_forever()`` still waits for those.
        """
        await self._drained.wait()
        if self.drain_report is None:
            raise AssertionError("a drain ends with a report")
        return self.drain_report

    async def drain(self, timeout: float | None = None) -> DrainReport:  # noqa: ASYNC109 - the end cuts, not cancels
        """Wait for the requests that are being served; call this when no more are let in.

        The request whose handler calls this is not waited for.

        :param timeout: seconds after which those left are cancelled, with :attr:`cut_timeout` more
            to end; None to wait for ever.
        :raises ValueError: *timeout* is negative.
        """
        return await self._drain(timeout)

    async def _drain(self, timeout: float | None) -> DrainReport:  # noqa: ASYNC109 - the end cuts, not cancels
        limits = attrs.evolve(self.limits, drain_timeout=timeout)
        caller = trio.lowlevel.current_task()
        places = [place for worker, place in self._workers.items() if worker.task is not caller]
        # One that begins during another takes its own course; the state is the first one's.
        under_way = self.lifecycle.drain in (State.GRACE, State.CUTTING)
        lifecycle = Lifecycle() if under_way else self.lifecycle
        drain = Drain(lifecycle, limits, self.now(), places)
        while True:
            self._progress = trio.Event()
            step = drain.step(self.now(), [p for p in places if p.worker is not None])
            if step is None:
                break
            for place in step.cut:
                drain.cut(place, place.worker.where())
                self._cut(place, "drain")
            with trio.move_on_at(step.until):
                await self._progress.wait()
        report = self.drain_report = drain.report(self.now())
        if report.cut:
            LOGGER.warning("%s %s", self._name(), report)
        self._drained.set()
        return report

    def _cut(self, place: Place, why: str) -> None:
        super()._cut(place, why)
        if isinstance(place.worker, Worker):
            place.worker.scope.cancel()

    def server_close(self) -> Any:
        """Close the server. A loop that still runs ends, as by :meth:`shutdown`."""
        self._happened(Event.CLOSE)
        self._close_listener()

    async def __aenter__(self: _Self) -> _Self:  # noqa: PYI019 - typing.Self came with 3.11
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        exc_traceback: TracebackType | None,
    ) -> None:
        await _settled(self.server_close())
        await trio.lowlevel.checkpoint()

    # Bookkeeping.

    def share(self, other: BaseServer) -> None:
        """Have limits, counters and state in common with *other*: its stop is this one's too.

        Call this before either serves.
        """
        self.ledger = other.ledger
        self.lifecycle = other.lifecycle
        self._control = other._control
        self._threads_of = other

    def _released(self) -> None:
        self._control.wake()

    def _progressed(self) -> None:
        self._progress.set()

    def now(self) -> float:
        """Return the time in seconds on trio's clock; 0 before that is known."""
        return 0.0 if self._clock is None else self._clock.current_time()

    def _new_lock(self) -> AbstractContextManager[Any]:
        return threading.Lock()  # blocking handlers close their requests in threads

    def _happened(self, event: Event) -> None:
        self._control.post(event)

    def _trace_state(self, event: Event) -> None:
        self.emit(TraceKind.STATE, 0, event.name, self.lifecycle.loop.name)


class _Turns:
    """The turns of a loop in a task.

    :param nursery: where requests are served; None for the loop of one request, which serves it.
    """

    tries_first = False

    def __init__(
        self, server: BaseServer, loop: Loop, alarm: Alarm, nursery: trio.Nursery | None
    ) -> None:
        self._server = server
        self._loop = loop
        self._alarm = alarm
        self._nursery = nursery

    async def sleep(self, until: float) -> bool:
        return await self._server._sleep(self._alarm, until)

    async def let_in(self) -> bool:
        server = self._server
        if self._nursery is not None:
            for _ in range(_BATCH if server._gets_requests_itself() else 1):
                if not server.is_running() or server.admission() is Admission.WAIT:
                    break
                pair = await server._next_request()
                if pair is None:
                    break
                self._nursery.start_soon(server._serve_one, *pair)
        elif (pair := await server._next_request()) is not None:
            await server._serve_one(*pair)
        return False

    def end(self, event: Event) -> bool:
        return self._server._control.end(self._loop, event)


class _Nothing:
    """What is to be awaited of something that needed no waiting."""

    def __await__(self) -> Iterator[Any]:
        return iter(())


_NOTHING = _Nothing()


async def _settled(result: Any) -> Any:
    return await result if is_awaitable(result) else result
