"""``PoolMixIn``: threads that accept by themselves.

One of them *leads*: it waits for a client. When it has one, it leaves the lead to another and
serves; when it is done, it lets in who is there already, or waits for its turn to lead. So a
request never changes threads, and no more threads run than there is work for.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from contextvars import Context
from itertools import count
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, Final

from sansio_server.driver import run_blocking
from sansio_server.hooks import LOGGER
from sansio_server.ledger import Place
from sansio_server.lifecycle import Event
from sansio_server.limits import Admission, check_count
from sansio_server.loop import serve_loop
from sansio_server.request import Step

from .base import BaseServer
from .control import Loop
from .controlled import ControlledTurns
from .poller import LONGEST_SLEEP, SIGNAL_INTERVAL, Poller
from .wakeup import Wakeup

__all__ = ["PoolMixIn"]

_WAIT: Final = Admission.WAIT
_numbers: Final = count(1)
#: How long to wait for the end of a thread before it is seen whether it has a request after all.
_JOIN_SECONDS: Final = 0.1

#: What :meth:`.BaseServer._drive` takes.
_Taken = tuple[Step, Any, Any, Place]

if TYPE_CHECKING:
    _Server = BaseServer
else:
    _Server = object  # a mix-in has no base of its own, and so does nothing behind the server class


class PoolMixIn(_Server):
    """Serve requests in a pool of threads, each of which accepts, serves, and accepts again.

    Put this before the server class in the bases. All hooks of a request run in the thread that
    accepted it, ``get_request()`` by one thread at a time unless it is the server's own.
    ``serve_forever()`` itself serves no client: it calls ``service_actions()``, cuts requests that
    are overdue, and ends the pool.
    """

    #: The most threads, and so the most requests at once. They are started as they are needed.
    pool_size: int = 32
    #: Whether the threads are daemons: the interpreter does not wait for them at its exit, nor does
    #: ``server_close()``.
    daemon_threads: bool = False
    #: Whether ``server_close()`` waits for the threads that are no daemons.
    block_on_close: bool = True

    _bounded: ClassVar[bool] = True

    def serve_forever(self, poll_interval: float | None = 0.5) -> None:
        """Serve until ``shutdown()``; requests under way are not waited for.

        :param poll_interval: seconds between two calls of an overridden ``service_actions()``.
        :raises ValueError: a limit is negative, :attr:`pool_size` is less than 1, or the listener
            is closed.
        :raises OSError: the listener is dead.
        :raises RuntimeError: no thread can be started.
        """
        self._checked_limits()
        size = check_count("pool_size", self.pool_size)
        if self.when_full == "shed":
            size += 1  # somebody has to be left to do that
        with (
            closing(Wakeup()) as own,
            closing(Wakeup()) as leads,
            self._control.running_with(Event.SERVE, _Wakers(own, leads)) as loop,
        ):
            if self._is_running():
                with self._pool_turns(loop, own, leads, size) as turns:
                    run_blocking(serve_loop(self, turns, poll_interval))

    @contextmanager
    def _pool_turns(
        self, loop: Loop, own: Wakeup, leads: Wakeup, size: int
    ) -> Iterator[_PoolTurns]:
        tries_first = self._prepare_listener()
        with own.told_of_signals() as told, closing(self._new_poller(leads)) as of_leader:
            longest = LONGEST_SLEEP if told else SIGNAL_INTERVAL
            pool = _Pool(self, of_leader, size, tries_first, self._control.wake)
            try:
                with closing(Poller(self, own, self._descriptors(), longest)) as poller:
                    pool.start()
                    yield _PoolTurns(self, loop, pool, poller)
            finally:
                pool.dismiss(leads)

    @property
    def _members(self) -> set[_Member]:
        members: set[_Member] | None = self.__dict__.get("_pool_members")
        if members is None:
            members = self.__dict__.setdefault("_pool_members", set())
        return members

    @property
    def _leaving(self) -> deque[_Member]:
        """The threads that are about to end."""
        leaving: deque[_Member] | None = self.__dict__.get("_pool_leaving")
        if leaving is None:
            leaving = self.__dict__.setdefault("_pool_leaving", deque())
        return leaving

    def server_close(self) -> None:
        """Close the server; wait for its threads as :attr:`block_on_close` says.

        With a ``drain_timeout`` all requests are drained, those of daemon threads too.
        """
        super().server_close()
        members = list(self._members)
        if self.drain_timeout is None and self.block_on_close:
            self._drain([m.place for m in members if m.place is not None and not m.daemon], None)
        for member in members:
            while member.place is None and member in self._members and not member.is_current():
                member.join(_JOIN_SECONDS)
        while self._leaving:
            member = self._leaving.popleft()
            if not member.is_current():
                member.join()

    def _capacity(self) -> int | None:
        if self.when_full == "wait":
            return self.max_connections
        if self.max_connections is None:
            return self.pool_size
        return min(self.max_connections, self.pool_size)

    def _is_attended(self) -> bool:
        return threading.current_thread() in self._members

    # Who is at work. A thread has its request before the hook that says who serves it.

    def _under_way(self) -> Iterable[Place]:
        held = [member.place for member in list(self._members)]
        places = {*super()._under_way(), *(place for place in held if place is not None)}
        return sorted(places, key=attrgetter("number"))

    def _goes_on(self, place: Place) -> bool:
        return super()._goes_on(place) or any(m.place is place for m in list(self._members))

    def _thread_of(self, place: Place) -> int | None:
        found = super()._thread_of(place)
        if found is None:
            idents = (m.ident for m in list(self._members) if m.place is place)
            found = next(idents, None)
        return found


class _Wakers:
    """What wakes both who wait: the loop in ``serve_forever()``, and the thread that leads."""

    def __init__(self, *wakeups: Wakeup) -> None:
        self._wakeups = wakeups

    def wake(self) -> None:
        for wakeup in self._wakeups:
            wakeup.wake()

    def close(self) -> None:
        for wakeup in self._wakeups:
            wakeup.close()


class _Pool:
    """The threads of one ``serve_forever()``.

    :param poller: what the thread that leads sleeps on.
    :param size: the most threads.
    :param tries_first: whether it may be tried to accept without knowing that a client is there.
    :param wake: wakes the loop in ``serve_forever()``.
    :ivar ended: whether the threads are to end.
    :ivar failure: what makes it impossible to go on, if anything has.
    :ivar attended: when the loop will look for what is overdue.
    """

    def __init__(
        self,
        server: PoolMixIn,
        poller: Poller,
        size: int,
        tries_first: bool,
        wake: Callable[[], object],
    ) -> None:
        self.server = server
        self.ended = False
        self.failure: BaseException | None = None
        self.attended = math.inf
        self.wake = wake
        self._poller = poller
        self._size = size
        self._tries_first = tries_first
        self._lead = threading.Lock()  # held by the thread that leads
        self._lock = threading.Lock()
        self._count = 0  # of all threads
        self._serving = 0  # of those that have a request in hand
        self._free = 0  # of those that lead, or wait for it
        self._is_short = False

    def start(self) -> None:
        """Start the first thread.

        :raises RuntimeError: it cannot be started.
        """
        with self._lock:
            self._start()

    def _start(self) -> None:
        leaving = self.server._leaving
        while leaving and not leaving[0].is_alive():
            leaving.popleft()
        member = _Member(self, self.server.daemon_threads)
        member.start()
        self._count += 1
        self.server._members.add(member)  # now that it can be joined

    def _grow(self) -> None:
        """Start another thread if one is needed and possible. Called with the lock held."""
        if self._free or self._count >= self._size or not self.goes_on():
            return
        try:
            self._start()
        except RuntimeError as error:
            if not self._is_short:
                LOGGER.warning("%s makes do with fewer threads: %s", self.server._name(), error)
            self._is_short = True
        else:
            self._is_short = False

    def dismiss(self, leads: Wakeup) -> None:
        """End the threads as soon as they are done; return when none accepts any more.

        :param leads: wakes the thread that leads.
        """
        self.ended = True
        leads.wake()
        with self._lead, self._lock:  # nobody leads, nor is being started
            pass
        with self.server._progress:
            self.server._progress.wait_for(self._none_arrives)

    def _none_arrives(self) -> bool:
        return not any(m.arriving for m in list(self.server._members) if m.pool is self)

    # Called by the threads.

    def goes_on(self) -> bool:
        """Say whether more requests are to be let in."""
        return not self.ended and self.failure is None and self.server._is_running()

    def took(self, member: _Member, taken: _Taken) -> None:
        """Note that *member* has a request, and see to it that somebody leads."""
        place = taken[3]
        member.place = place
        with self._lock:
            self._serving += 1
            self._grow()
        if place.deadline < self.attended:
            self.wake()

    def gave_back(self, member: _Member) -> None:
        """Note that *member* is done with its request."""
        with self._lock:
            self._serving -= 1
        member.place = None
        if self.ended or self.server._drains:
            with self.server._progress:
                self.server._progress.notify_all()

    def left(self, member: _Member) -> None:
        """Note that *member* ends. If its request ended it, another may take its place."""
        with self._lock:
            self._count -= 1
            self.server._leaving.append(member)
            self.server._members.discard(member)
            self._grow()

    def take_another(self, member: _Member) -> _Taken | None:
        """Let in a client who is there already, without waiting."""
        server = self.server
        member.arriving = True
        try:
            if not self.goes_on() or server._admission() is _WAIT or self._is_nearly_full():
                return None
            pair = server._next_request()
            if pair is None:
                return None
            taken = server._take_in(pair)
            member.place = taken[3]
            return taken
        finally:
            member.arriving = False
            if self.ended:
                with server._progress:
                    server._progress.notify_all()

    def _is_nearly_full(self) -> bool:
        """Say whether threads that accept at the same time might be one too many."""
        capacity = self.server._capacity()
        if capacity is None:
            return False
        return len(self.server._ledger) + self._size - self._serving > capacity

    def lead(self, member: _Member) -> _Taken | None:
        """Wait for the lead, and then for a client; let it in. Return None at the end."""
        server = self.server
        with self._lock:
            self._free += 1
        try:
            with self._lead:
                while self.goes_on():
                    came = server._sleep(self._poller, math.inf)
                    server._attend()
                    if not came or not self.goes_on() or server._admission() is _WAIT:
                        continue
                    pair = server._next_request()
                    if pair is not None:
                        taken = server._take_in(pair)
                        member.place = taken[3]
                        return taken
        finally:
            with self._lock:
                self._free -= 1
        return None

    def serve(self, member: _Member) -> None:
        """Serve one client after the other."""
        drive, tries_first = self.server._drive, self._tries_first
        while True:
            try:
                taken = self.take_another(member) if tries_first else None
                if taken is None:
                    taken = self.lead(member)
            except BaseException as error:  # noqa: BLE001 - raised by serve_forever()
                self.failure = error
                self.wake()
                return
            if taken is None:
                return
            self.took(member, taken)
            try:
                Context().run(drive, *taken)
            finally:
                self.gave_back(member)
            del taken


class _Member(threading.Thread):
    """A thread of a pool.

    :ivar place: the request that it has in hand.
    :ivar arriving: whether it is letting one in.
    """

    def __init__(self, pool: _Pool, daemon: bool) -> None:
        super().__init__(name=f"sansio-pool-{next(_numbers)}", daemon=daemon)
        self.pool = pool
        self.place: Place | None = None
        self.arriving = False

    def is_current(self) -> bool:
        """Say whether this is the thread that asks."""
        return self is threading.current_thread()

    def run(self) -> None:
        try:
            self.pool.serve(self)
        finally:
            self.pool.left(self)


class _PoolTurns(ControlledTurns):
    """The turns of the loop in ``serve_forever()``, which lets nobody in by itself."""

    def __init__(self, server: PoolMixIn, loop: Loop, pool: _Pool, poller: Poller) -> None:
        self._server: PoolMixIn = server
        self.loop = loop
        self._pool = pool
        self._poller = poller

    def sleep(self, until: float) -> bool:
        server, pool = self._server, self._pool
        if server.request_timeout is not None:
            # Nobody who comes from now on can be overdue before.
            until = min(until, server._now() + server.request_timeout)
        pool.attended = until = min(until, server._ledger.next_deadline())
        # Asked again, now that all who come know until when.
        until = min(until, server._ledger.next_deadline())
        if pool.failure is None:
            server._look(self._poller, False, until - server._now())
        if pool.failure is not None:
            raise pool.failure
        return False

    def let_in(self) -> bool:
        return False
