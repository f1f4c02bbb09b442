"""``BaseServer`` with its blocking signatures; its loop is a trio run in the calling thread.

Handlers run where the standard library runs them, or in greenlets, where the task that has the
greenlet waits for them.
"""

from __future__ import annotations

import math
import select
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import trio

import sync_backend
from sansio_server.deferred import is_awaitable
from sansio_server.drain import DrainReport
from sansio_server.driver import run_blocking
from sansio_server.ledger import Place
from sansio_server.lifecycle import Event, State
from sansio_server.loop import request_loop, serve_loop
from sync_backend.control import Loop
from sync_backend.controlled import ControlledTurns

from .alarm import Alarm
from .bridged_request import BridgedRequest
from .carriers import BlockingHandlers, check_carrier
from .crew import Green, GreenCrew
from .greenlet_request import GreenRequest
from .interrupts import Interruptible
from .runtime import TrioRuntime
from .signals import SignalErrors
from .socket_request import TrioRequest, awaited

__all__ = ["BaseServer"]

_T = TypeVar("_T")

_ON_TRIO = TrioRuntime()


class BaseServer(Interruptible):
    """A server without a socket, whose loop is a trio run; see :class:`sync_backend.BaseServer`.

    :raises NotImplementedError: the class is a forking one: a child cannot leave trio's run.
    """

    #: Where handlers run: in "threads", as in the standard library, or in "greenlets", where
    #: asynchronous handlers may await all of trio; in threads they may not, as on ``sync_backend``.
    blocking_handlers: BlockingHandlers = "threads"

    def __init__(self, server_address: Any, RequestHandlerClass: Callable[..., Any] | None) -> None:
        self._prepare()
        # By name: the next class may be one of sockets, which this was perhaps called to go round.
        sync_backend.BaseServer.__init__(self, server_address, RequestHandlerClass)

    def _prepare(self) -> None:
        if isinstance(self, sync_backend.ForkingMixIn):
            raise NotImplementedError(
                f"{type(self).__name__} cannot fork inside a trio run: use a threading class, or "
                "sync_backend, whose forking classes are the standard library's"
            )
        check_carrier(self.blocking_handlers)
        self._listening = threading.Condition()
        #: Idents of threads whose loops wait for the listener, which must not be closed meanwhile.
        self._listeners: set[int] = set()
        #: What runs in a greenlet of a loop's own, by the ident of the loop's thread.
        self._greens: dict[int, Green] = {}
        self._loops_drain: DrainReport | None = None

    def serve_forever(self, poll_interval: float | None = 0.5) -> None:
        """Serve until ``shutdown()``; see :meth:`sync_backend.BaseServer.serve_forever`.

        In greenlets, this returns when all handlers have ended, or as :attr:`drain_timeout` says.
        """
        self._enter_trio(Event.SERVE, lambda turns: serve_loop(self, turns, poll_interval))

    def handle_request(self) -> Any:
        """Serve one request; see :meth:`sync_backend.BaseServer.handle_request`."""
        return self._enter_trio(
            Event.WAIT, lambda turns: request_loop(self, turns, self._request_wait())
        )

    def _enter_trio(self, event: Event, run_loop: Callable[[_Turns], Awaitable[_T]]) -> _T | None:
        self._checked_limits()
        check_carrier(self.blocking_handlers, needed=True)
        # Not raised in the run, which is a cycle and would hold on to it: what the handler has left
        # open is to be closed as soon as nobody looks at the exception any more.
        failures: list[BaseException] = []
        signals = SignalErrors()
        try:
            with signals.kept():
                result = trio.run(self._in_trio, event, run_loop, failures, signals)
        finally:
            if self._lifecycle.listener is State.CLOSED:
                self._control.close_spare()
        failures += signals.errors
        if failures:
            raise failures.pop()
        return result

    @trio.lowlevel.enable_ki_protection  # Ctrl-C ends sleeps and handlers, not what is in between
    async def _in_trio(
        self,
        event: Event,
        run_loop: Callable[[_Turns], Awaitable[_T]],
        failures: list[BaseException],
        signals: SignalErrors,
    ) -> _T | None:
        alarm = Alarm()
        result: _T | None = None
        with self._control.running_with(event, alarm) as loop:
            if not self._is_running():
                return None
            self._prepare_listener()
            async with trio.open_nursery() as nursery:
                crew = GreenCrew(nursery)
                with self._serving_with(crew):
                    try:
                        with signals.ending():
                            result = await run_loop(_Turns(self, loop, alarm))
                            # Whoever waits in shutdown() waits for this, not for the handlers.
                            self._control.end(loop, Event.LEAVE)
                            await self._drain_tasks(crew)
                    except BaseException as error:  # noqa: BLE001 - raised elsewhere, not in a group
                        failures.append(error)
                    with trio.CancelScope(shield=True):
                        await crew.end()
        return result

    @contextmanager
    def _serving_with(self, crew: GreenCrew) -> Iterator[None]:
        """Let handlers be tasks of *crew* where they are to run in greenlets and not in place."""
        yield

    async def _drain_tasks(self, crew: GreenCrew) -> None:
        """Wait for the tasks of a loop that has ended, as ``server_close()`` does for threads."""
        timeout = self.drain_timeout
        places = [job.place for job in crew.jobs() if timeout is not None or not job.daemon]
        if places:
            self.drain_report = self._loops_drain = await trio.to_thread.run_sync(
                self._drain, places, timeout, abandon_on_cancel=True
            )

    def drain(self, timeout: float | None = None) -> DrainReport:
        """Wait for the requests that are being served; see :meth:`sync_backend.BaseServer.drain`.

        In greenlets, a loop that was stopped has done so before it returned.
        """
        before, self._loops_drain = self._loops_drain, None
        report = super().drain(timeout)
        if before is not None and not report.finished and not report.cut:
            self.drain_report = before
        return report

    # Greenlets.

    def _in_greenlets(self) -> bool:
        return self.blocking_handlers == "greenlets"

    def _in_bridge(self) -> bool:
        """Say whether what is called here is in a greenlet, and not in a thread of the program."""
        if not self._in_greenlets():
            return False
        from .greenlets import in_bridge  # noqa: PLC0415 - an extra

        return in_bridge()

    @property
    def runtime(self) -> Any:  # type: ignore[override]  # not the same for all calls
        """What asynchronous handlers may await on every backend."""
        return _ON_TRIO if self._in_bridge() else super().runtime

    @property
    def _carrier(self) -> Any:  # type: ignore[override]  # likewise
        """What gives handlers in greenlets a request that lets their task wait; None in threads."""
        return _carry if self._in_bridge() else None

    def _run(self, rest: Any) -> Any:
        """Run to its end what hooks and handlers left to be awaited."""
        if not self._in_bridge():
            return run_blocking(rest)
        from .greenlets import run_waiting  # noqa: PLC0415 - an extra

        return run_waiting(rest)

    def _green(self, place: Place) -> Green | None:
        """Return the greenlet that serves *place*, if one does."""
        worker = place.worker
        return worker if isinstance(worker, Green) else self._greens.get(worker)

    def _where(self, place: Place) -> str:
        green = self._green(place)
        return super()._where(place) if green is None else green.where()

    def _end_early(self, place: Place) -> None:
        green = self._green(place)
        if green is None:
            super()._end_early(place)
        else:
            green.cancel()

    # The listener, which trio's run has to be told of.

    @contextmanager
    def _waiting_for_listener(self) -> Iterator[None]:
        me = threading.get_ident()
        with self._listening:
            self._listeners.add(me)
        try:
            yield
        finally:
            with self._listening:
                self._listeners.discard(me)
                self._listening.notify_all()

    def _close_listener(self) -> None:
        me = threading.get_ident()
        with self._listening:
            # The loops of other threads have been woken: they are about to let go.
            self._listening.wait_for(lambda: self._listeners <= {me})
            if me not in self._listeners:
                super()._close_listener()
                return
        # Its own loop waits for it, and this may be a signal's handler, amid anything of trio's.
        trio.lowlevel.current_trio_token().run_sync_soon(self._close_watched_listener)

    def _close_watched_listener(self) -> None:
        if self.fileno() >= 0:
            trio.lowlevel.notify_closing(self.fileno())
        super()._close_listener()


class _Turns(ControlledTurns):
    """The turns of a loop in a trio run."""

    def __init__(self, server: BaseServer, loop: Loop, alarm: Alarm) -> None:
        self._server: BaseServer = server
        self.loop = loop
        self._alarm = alarm
        self._fetches = False  # whether it holds the lock of those who fetch a request

    async def sleep(self, until: float) -> bool:
        server = self._server
        with server._sleeping(self, until) as plan:
            wait = self._wait if plan.listen else trio.sleep_forever
            return await self._alarm.sleep(_on_trios_clock(server, plan.until), wait)

    async def _wait(self) -> None:
        server = self._server
        with server._waiting_for_listener():
            if server._is_running():  # or somebody may be about to close the listener
                try:
                    await trio.lowlevel.wait_readable(server.fileno())
                except (trio.ClosedResourceError, OSError, ValueError):
                    if server._is_running():
                        raise  # it was not a signal's handler that has just closed it

    async def let_in(self) -> bool:
        server = self._server
        if not server._in_greenlets():
            return self._fetch_and_let_in()
        from .greenlets import bridge  # noqa: PLC0415 - an extra

        me = threading.get_ident()
        green = server._greens[me] = Green()
        try:
            with green.scope:
                return await bridge(green, self._fetch_and_let_in)
        finally:
            self._let_others_fetch()  # where it was cut before it began
            del server._greens[me]
        return False

    def end(self, event: Event) -> bool:
        server = self._server
        if event is not Event.REQUEST:
            return super().end(event)
        # Several threads may wait on this server, and may have seen the same client, though one of
        # them began when the other had ended its wait: who then finds nobody goes on waiting.
        server._fetching.acquire()
        self._fetches = True
        try:
            ended = _is_readable(server.fileno()) and super().end(event)
        except BaseException:
            self._let_others_fetch()
            raise
        if not ended:
            self._let_others_fetch()
        return ended

    def _fetch_and_let_in(self) -> bool:
        server = self._server
        if not self._fetches:
            return server._handle_request_noblock()
        try:
            pair = server._next_request()
        finally:
            self._let_others_fetch()
        return pair is not None and server._handle_request_noblock(pair)

    def _let_others_fetch(self) -> None:
        if self._fetches:
            self._fetches = False
            self._server._fetching.release()


def _is_readable(descriptor: int) -> bool:
    if descriptor < 0:
        return False  # it was closed meanwhile
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    return bool(poller.poll(0))


def _on_trios_clock(server: BaseServer, until: float) -> float:
    return math.inf if until == math.inf else trio.current_time() + until - server._now()


async def _carry(hook: Callable[..., Any], request: Any, client_address: Any) -> Any:
    """Call *hook* in the greenlet that this runs in, with a request that lets the task wait."""
    from .greenlets import GreenWaits  # noqa: PLC0415 - an extra

    lent = request
    waits = GreenWaits()
    if isinstance(request, socket.socket):
        lent = GreenRequest(awaited(request), request, waits)
    elif isinstance(request, tuple):  # a datagram
        data, sock = request
        lent = (data, BridgedRequest(TrioRequest(sock), sock, waits))
    try:
        result = hook(lent, client_address)
        return await result if is_awaitable(result) else result
    finally:
        waits.ended = True
