"""``BaseServer`` on blocking sockets: the loop, and stopping it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from threading import get_ident
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from sansio_server.deferred import as_coroutine, is_awaitable
from sansio_server.driver import continue_request, drive, place_of, run_blocking
from sansio_server.ledger import Place
from sansio_server.lifecycle import STOPS, Event
from sansio_server.loop import request_loop, serve_loop
from sansio_server.request import Step

from .control import Latch, Loop
from .controlled import Controlled, ControlledTurns
from .draining import Draining
from .poller import LONGEST_SLEEP, SIGNAL_INTERVAL, Poller
from .runtime import BlockingRuntime
from .wakeup import Wakeup

__all__ = ["BaseServer"]

_HERE = Step.HERE

_Self = TypeVar("_Self", bound="BaseServer")


class BaseServer(Controlled, Draining):
    """A server without a socket: subclasses bring ``fileno()``, ``get_request()`` and the like.

    See :class:`~sansio_server.hooks.ServerHooks` for the arguments and the attributes.
    """

    #: What asynchronous handlers find in ``server.runtime``.
    runtime: ClassVar[BlockingRuntime] = BlockingRuntime()

    def __init__(self, server_address: Any, RequestHandlerClass: Callable[..., Any] | None) -> None:
        super().__init__(server_address, RequestHandlerClass)
        #: Set when a stop was asked for: handlers may want to come to an end.
        self.stopping = Latch()
        self._fetching = threading.Lock()

    # What subclasses bring. Not defined here, as it is not in the standard library, so that a
    # mix-in behind this class may bring it.

    if TYPE_CHECKING:

        def fileno(self) -> int:
            """Return the descriptor that becomes readable when a request is there."""

        def get_request(self) -> Any:
            """Return the next request and the client's address."""

    def server_activate(self) -> Any:
        """Begin to let clients in; called by the constructors of subclasses."""
        self._happened(Event.ACTIVATE)

    # Serving.

    def serve_forever(self, poll_interval: float | None = 0.5) -> None:
        """Serve until ``shutdown()``.

        :param poll_interval: seconds between two calls of an overridden ``service_actions()`` when
            no client comes. A stop needs no polling: it wakes the loop at once.
        :raises ValueError: a limit is negative, or the listener is closed.
        :raises OSError: the listener is dead.
        """
        self._checked_limits()
        with self._control.running(Event.SERVE) as (loop, wakeup):
            if self._is_running():
                with self._turns(loop, wakeup) as turns:
                    run_blocking(serve_loop(self, turns, poll_interval))

    def handle_request(self) -> Any:
        """Serve one request, or call ``handle_timeout()`` when none comes in time.

        The time is the shorter of :attr:`timeout` and the timeout of the server's socket. A stop
        ends the wait.

        :raises ValueError: a limit is negative, or the listener is closed.
        :raises OSError: the listener is dead.
        """
        self._checked_limits()
        with self._control.running(Event.WAIT) as (loop, wakeup):
            if not self._is_running():
                return None
            with self._turns(loop, wakeup) as turns:
                return run_blocking(request_loop(self, turns, self._request_wait()))

    def _handle_request_noblock(self, pair: Any = None) -> bool:
        """Let one request in, if there is one; return whether there was.

        :param pair: what ``get_request()`` has returned before.
        """
        if pair is None:
            pair = self._next_request()
            if pair is None:
                return False
        self._drive(*self._take_in(pair))
        return True

    def _drive(self, entry: Step, request: Any, client_address: Any, place: Place) -> None:
        """Drive a request from *entry* on, as far as this thread does."""
        rest = drive(self, entry, request, client_address, place)
        if rest is not None:
            self._run(rest)

    def _next_request(self) -> Any:
        """Return the next request and its client's address, or None if there is none after all."""
        try:
            pair = self.get_request()
            if type(pair) is not tuple and is_awaitable(pair):
                pair = self._run(as_coroutine(pair))
        except BlockingIOError:
            return None  # as most often when it was tried without knowing: say no more
        except OSError as error:
            self._accept_failed(error)
            return None
        return pair

    def continue_request(self, entry: Step, request: Any, client_address: Any) -> Any:
        """Run the rest of a request that ``process_request`` has been given, here and now.

        :param entry: ``Step.HERE`` inside ``process_request``; ``Step.FINISH`` anywhere else.
        """
        if self.request_timeout is not None and entry is _HERE and not self._is_attended():
            with self._watching(request, client_address):
                self._run(continue_request(self, entry, request, client_address, get_ident()))
            return
        rest = continue_request(self, entry, request, client_address, get_ident())
        if rest is not None:
            self._run(rest)

    def _is_attended(self) -> bool:
        """Say whether somebody else cuts what is overdue while the calling thread serves."""
        return False

    #: Runs to its end what hooks and handlers left to be awaited.
    _run: ClassVar[Callable[..., Any]] = staticmethod(run_blocking)

    @contextmanager
    def _watching(self, request: Any, client_address: Any) -> Iterator[None]:
        """Cut, when it is overdue, a request served in the loop's own thread, which cannot."""
        place = self._place_of(request, client_address)
        wait = min(max(0.0, place.deadline - self._now()), threading.TIMEOUT_MAX)
        watch = threading.Timer(wait, self._cut_if_open, (place, "request_timeout"))
        watch.daemon = True
        watch.start()
        try:
            yield
        finally:
            watch.cancel()
            watch.join()

    def _cut_if_open(self, place: Place, why: str) -> None:
        if place.open and not place.cut:
            self._cut(place, why)

    # What the loop asks between requests.

    def _prepare_listener(self) -> bool:
        """Get ready to serve; return whether ``get_request()`` may be called to see who waits."""
        return False

    def _descriptors(self) -> Iterable[int]:
        """Return descriptors that are to end the loop's sleep, beside the listener's."""
        return ()

    @contextmanager
    def _turns(self, loop: Loop, wakeup: Wakeup) -> Iterator[_Turns]:
        tries_first = self._prepare_listener()
        with wakeup.told_of_signals() as told:
            longest = LONGEST_SLEEP if told else SIGNAL_INTERVAL
            with closing(self._new_poller(wakeup, self._descriptors(), longest)) as poller:
                yield _Turns(self, loop, poller, tries_first)

    def _new_poller(
        self, wakeup: Wakeup, others: Iterable[int] = (), longest: float = LONGEST_SLEEP
    ) -> Poller:
        """Return what to wait for clients with; see :class:`.Poller`."""
        return Poller(self, wakeup, others, longest)

    def _sleep(self, poller: Poller, until: float) -> bool:
        """Sleep until a client is there, there is something else to do, or the time has come."""
        with self._sleeping(poller, until) as plan:
            return self._look(poller, plan.listen, plan.until - self._now())

    def _look(self, poller: Poller, listen: bool, timeout: float) -> bool:
        try:
            return poller.wait(listen, timeout)
        except (ValueError, OSError):
            if self._is_running():
                raise
            return False  # somebody closed the server meanwhile

    def _listener_is_dead(self) -> bool:
        return self.fileno() < 0

    # Stopping.

    def shutdown(self) -> None:
        """Stop ``serve_forever()``, and wait for it unless that would wait for the caller.

        May be called by any thread, handler or signal handler, any number of times. When nothing
        serves the stop is kept: it ends the next ``serve_forever()`` or ``handle_request()`` at
        once.
        """
        self._control.stop()

    def server_close(self) -> None:
        """Close the server. A loop that still runs ends.

        With a :attr:`drain_timeout`, :meth:`drain` the requests under way. The socket of a datagram
        server is closed after that, since they reply by it; it takes in no more meanwhile.
        """
        self._control.post(Event.CLOSE)
        with self._closing_listener():
            if not self._control.loops:
                self._control.close_spare()
            if self.drain_timeout is not None:
                self.drain(self.drain_timeout)

    # Bookkeeping.

    def _place_of(self, request: Any, client_address: Any) -> Place:
        return place_of(self, request, client_address)

    def _seen(self, event: Event) -> None:
        super()._seen(event)
        if event in STOPS:
            self.stopping.set()
            self._show_stop()
        elif self.stopping.is_set() and self._is_running():
            self.stopping = Latch()

    def __enter__(self: _Self) -> _Self:  # noqa: PYI019 - typing.Self came with Python 3.11
        return self

    def __exit__(self, *args: object) -> None:
        self.server_close()


class _Turns(ControlledTurns):
    """The turns of a loop that blocks its thread."""

    def __init__(self, server: BaseServer, loop: Loop, poller: Poller, tries_first: bool) -> None:
        self._server: BaseServer = server
        self.loop = loop
        self._poller = poller
        self.tries_first = tries_first
        self.let_in: Callable[[], bool] = server._handle_request_noblock
        self._fetched: Any = None

    def sleep(self, until: float) -> bool:
        return self._server._sleep(self._poller, until)

    def _let_fetched_in(self) -> bool:
        return self._fetched is not None and self._server._handle_request_noblock(self._fetched)

    def end(self, event: Event) -> bool:
        if event is not Event.REQUEST:
            return super().end(event)
        # Several threads may wait on this server, and may have seen the same client, though one of
        # them began when the other had ended its wait: who then finds nobody goes on waiting.
        with self._server._fetching:
            if not self._server._look(self._poller, True, 0.0):
                return False
            if not super().end(event):
                return False
            self._fetched = self._server._next_request()
            self.let_in = self._let_fetched_in
        return True
