"""``BaseServer`` on trio: the loop, and stopping it."""

from __future__ import annotations

import errno
import math
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

import trio

from sansio_server.deferred import is_awaitable, settled
from sansio_server.driver import drive
from sansio_server.ledger import Place
from sansio_server.lifecycle import STOPS, Event
from sansio_server.loop import request_loop, serve_loop
from sansio_server.request import Step
from sync_backend.control import Loop
from sync_backend.controlled import Controlled, ControlledTurns

from .alarm import Alarm
from .carriers import check_carrier
from .gathering import Gathering
from .relay import Relay
from .runtime import TrioRuntime
from .scopes import KeptScopes
from .tasks import Tasks
from .worker import Worker

__all__ = ["BaseServer"]

_Self = TypeVar("_Self", bound="BaseServer")

#: The name of all tasks that serve a request; trio would make a string for each.
_TASK: Final = "trio_backend.tasks.Tasks._work"


class BaseServer(Controlled, Tasks):
    """A server without a socket, for a trio nursery; subclasses bring ``get_request()`` and so on.

    Each request is served by a task of its own, inside ``serve_forever()``. Hooks may be ``def`` or
    ``async def``. See :class:`~sansio_server.hooks.ServerHooks` for arguments and attributes.
    """

    #: What asynchronous handlers find in ``server.runtime``.
    runtime: ClassVar[TrioRuntime] = TrioRuntime()

    #: Whether a task serves many requests: most of them do not wait.
    _keeps_tasks: ClassVar[bool] = False

    def __init__(self, server_address: Any, RequestHandlerClass: Callable[..., Any] | None) -> None:
        super().__init__(server_address, RequestHandlerClass)
        self._clock: trio.abc.Clock | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._listening = trio.Lock()
        # What get_request() returned or raised while the loop waited in it.
        self._came: Any = None
        self._gathering: Gathering | None = None
        # Loops whose requests may still reply, and whether the listener is to be closed after them.
        self._replying: set[Loop] = set()
        self._owes_closing = False

    if TYPE_CHECKING:

        def get_request(self) -> Any:
            """Return the next request and the client's address, or an awaitable of them.

            Where there is a ``fileno()``, this is called when that is readable. Where there is
            none, the loop waits in this: it is then cancelled whenever there is something else to
            do, and called again.
            """

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
        :raises RuntimeError: handlers are to run in greenlets, and greenlet is not installed.
        :raises OSError: the listener is dead.
        :raises ExceptionGroup: what hooks raised and no ``handle_error()`` dealt with.
        """
        failure: OSError | None = None
        with self._running(Event.SERVE) as (loop, alarm):
            if self._drained.is_set():
                self._drained = trio.Event()
            async with trio.open_nursery() as nursery:
                self._gathering = gathering = Gathering(nursery)
                relay = Relay(self, nursery)
                scopes = None if self._keeps_tasks else KeptScopes(nursery)
                task_status.started(self)
                try:
                    if self._is_running():
                        self._prepare_listener()
                        await serve_loop(
                            self, _Turns(self, loop, alarm, nursery, relay, scopes), poll_interval
                        )
                    self._show_stop()
                    await self._refuse_who_came()
                    await self._drain_after_stop()
                    self._replied(loop)
                except BaseException as error:
                    nursery.cancel_scope.cancel()
                    self._show_stop()
                    await self._refuse_who_came()
                    await self._drain_at_once()
                    self._replied(loop)
                    if not isinstance(error, OSError):
                        raise
                    failure = error
                finally:
                    gathering.end()
                    relay.end()
                    if scopes is not None:
                        scopes.end()
        if failure is not None:
            try:
                raise failure  # here, where no group is made of it
            finally:
                del failure  # or it would hold itself, and what its frames have open

    async def handle_request(self) -> Any:
        """Serve one request, or call ``handle_timeout()`` when none comes in time.

        The time is the shorter of :attr:`timeout` and the timeout of the server's socket. A stop
        ends the wait.

        :raises ValueError: a limit is negative.
        :raises RuntimeError: the handler is to run in a greenlet, and greenlet is not installed.
        :raises OSError: the listener is dead.
        """
        with self._running(Event.WAIT) as (loop, alarm):
            await trio.lowlevel.checkpoint()
            if self._is_running():
                self._prepare_listener()
            try:
                turns = _Turns(self, loop, alarm, None)
                return await request_loop(self, turns, self._request_wait())
            finally:
                await self._refuse_who_came()

    @contextmanager
    def _running(self, event: Event) -> Iterator[tuple[Loop, Alarm]]:
        self._checked_limits()
        check_carrier(self.blocking_handlers, needed=self._carrier is not None)
        self._clock = trio.lowlevel.current_clock()
        self._token = trio.lowlevel.current_trio_token()
        alarm = Alarm()
        with self._control.running_with(event, alarm) as loop:
            if self.stopping.is_set() and self._is_running():
                self.stopping = trio.Event()
            self._replying.add(loop)
            try:
                yield loop, alarm
            finally:
                self._replied(loop)

    async def _sleep(self, alarm: Alarm, until: float) -> bool:
        """Sleep until a client is there, there is something else to do, or the time has come."""
        with self._sleeping(alarm, until) as plan:
            wait = self._wait_for_client if plan.listen else trio.sleep_forever
            return await alarm.sleep(plan.until, wait)

    async def _wait_for_client(self) -> None:
        """Wait until ``get_request()`` has something to return, or has returned it."""
        descriptor = getattr(self, "fileno", None)
        if descriptor is None:
            await self._wait_in_get_request()
            return
        number = descriptor()
        try:
            if number < 0:
                raise trio.ClosedResourceError  # noqa: TRY301 - both mean the same
            try:
                self._listening.acquire_nowait()
            except trio.WouldBlock:  # another loop waits for the same listener
                await self._listening.acquire()
            try:
                await trio.lowlevel.wait_readable(number)
            finally:
                self._listening.release()
        except trio.ClosedResourceError:
            if self._is_running():
                raise OSError(errno.EBADF, f"{self._name()}: the listener is closed") from None

    async def _wait_in_get_request(self) -> None:
        if self._came is None:
            try:
                pair = self.get_request()
                if type(pair) is not tuple and is_awaitable(pair):
                    pair = await pair
            except OSError as error:
                pair = error
            self._came = pair
        await trio.lowlevel.checkpoint()

    def _fetch(self) -> Any:
        came, self._came = self._came, None
        if came is None:
            return self.get_request()
        if isinstance(came, OSError):
            raise came
        return came

    async def _refuse_who_came(self) -> None:
        """Close a request that came, and is not to be let in any more."""
        came, self._came = self._came, None
        if type(came) is tuple:
            with trio.CancelScope(shield=True) as scope:
                scope.cancel()  # without delay, that is
                await settled(self.close_request(came[0]))
            with trio.CancelScope(shield=True):
                await self._discard(came[0])

    # What subclasses with a listener bring.

    def _prepare_listener(self) -> None:
        """Get ready to serve."""

    # Stopping.

    def server_close(self) -> Any:
        """Close the server. A loop that still runs ends, as by :meth:`shutdown`.

        The socket of a datagram server is closed when that has drained, since requests under way
        reply by it.
        """
        self._happened(Event.CLOSE)
        if self._replies_by_listener:
            self._owes_closing = True  # before looking: the loop looks the other way round
            if self._replying:
                return
        if self._token is not None and self._is_elsewhere():
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self._close_listener)
                return
        self._close_listener()

    def _replied(self, loop: Loop) -> None:
        """Note that no request of *loop* replies any more, or that its time to do so is over."""
        self._replying.discard(loop)
        if self._owes_closing and not self._replying:
            self._close_listener()

    def _is_elsewhere(self) -> bool:
        """Say whether a loop runs in another thread than this, and may be waiting."""
        here = threading.get_ident()
        return any(loop.thread != here for loop in self._control.loops)

    async def __aenter__(self: _Self) -> _Self:  # noqa: PYI019 - typing.Self came with 3.11
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        exc_traceback: TracebackType | None,
    ) -> None:
        await settled(self.server_close())
        await trio.lowlevel.checkpoint()

    # Bookkeeping.

    def _share(self, other: BaseServer) -> None:
        """Have limits, counters and state in common with *other*: its stop is this one's too.

        Call this before either serves.
        """
        self._ledger = other._ledger
        self._lifecycle = other._lifecycle
        self._control = other._control
        self._awaiting = other._awaiting
        self._drains = other._drains

    def _now(self) -> float:
        """Return the time in seconds on trio's clock; 0 before that is known."""
        return 0.0 if self._clock is None else self._clock.current_time()

    def _seen(self, event: Event) -> None:
        super()._seen(event)
        if event in STOPS and self._token is not None:
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self._stop_came, idempotent=True)

    def _stop_came(self) -> None:
        if not self._is_running():
            self._show_stop()


class _Turns(ControlledTurns):
    """The turns of a loop in a task.

    :param nursery: where requests are served; None for the loop of one request, which serves it.
    """

    def __init__(
        self,
        server: BaseServer,
        loop: Loop,
        alarm: Alarm,
        nursery: trio.Nursery | None,
        relay: Relay | None = None,
        scopes: KeptScopes | None = None,
    ) -> None:
        self._server: BaseServer = server
        self.loop = loop
        self._alarm = alarm
        self._nursery: Any = nursery
        self._relay = relay
        self._scopes = scopes
        self._here: tuple[Any, ...] | None = None  # the one request, once it was let in

    async def sleep(self, until: float) -> bool:
        return await self._server._sleep(self._alarm, until)

    async def let_in(self) -> bool:
        server, relay = self._server, self._relay
        if relay is not None and server._keeps_tasks and server._gets_requests_itself():
            await relay.turn()
            return False
        if self._nursery is not None:
            await server._let_in(self._begin, self._wait)
            return False
        await self._server._let_in(self._begin_here, self._wait, most=1)
        if self._here is not None:
            await self._server._serve_here(*self._here)
        return False

    def _begin(self, place: Place, entry: Step, request: Any, client_address: Any) -> Worker:
        server, nursery = self._server, self._nursery
        kept = None if self._scopes is None else self._scopes.take()
        if kept is None:
            worker = Worker(place, request)
        else:
            nursery = kept.nursery
            worker = Worker(place, request, scope=kept)
        nursery.start_soon(
            server._work,
            worker,
            drive,
            server,
            entry,
            request,
            client_address,
            place,
            name=_TASK,
        )
        return worker

    def _begin_here(self, place: Place, entry: Step, request: Any, client_address: Any) -> Worker:
        worker = Worker(place, request)
        self._here = (worker, self._server, entry, request, client_address, place)
        return worker

    def _wait(self, awaitable: Awaitable[Any]) -> Awaitable[Any]:
        return _while(self._goes_on, awaitable, self._alarm)

    def _goes_on(self) -> bool:
        return self._nursery is None or self._server._is_running()


async def _while(goes_on: Callable[[], bool], awaitable: Awaitable[Any], alarm: Alarm) -> Any:
    """Await an asynchronous ``get_request()`` to its end, if the loop goes on so long."""
    pair: Any = None

    async def wait() -> None:
        nonlocal pair
        pair = await awaitable

    if not await alarm.sleep(math.inf, wait, unless=goes_on):
        raise BlockingIOError(errno.EAGAIN, "the server was stopped")
    return pair
