"""Who is being served: a place for each open request, and counters of what became of them.

A place is taken when a request is accepted and given back when it is closed, by whatever object it
has become. Places are found by a *key* that the backend derives from the request (the descriptor
of a socket, which survives wrapping it in TLS); a key that comes up again proves that its former
holder is gone.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Hashable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import attrs

__all__ = ["Counters", "Ledger", "Place"]


@attrs.define
class Counters:
    """How many requests came, and what became of them, since the server was made."""

    accepted: int = 0
    """requests that ``get_request()`` returned"""
    refused: int = 0
    """requests that ``verify_request()`` refused"""
    shed: int = 0
    """requests closed unserved, since ``max_connections`` were open"""
    closed: int = 0
    """requests that are over, for whatever reason"""
    errors: int = 0
    """exceptions that hooks raised"""
    cut: int = 0
    """requests cut by ``request_timeout`` or at the end of a drain"""
    connection_errors: int = 0
    """connections that were lost before they could be accepted"""
    capacity_errors: int = 0
    """accepts that failed since the machine was full"""


@attrs.define(eq=False)
class Place:
    """The place of one request.

    :ivar key: what the ledger finds it by.
    :ivar number: counts the requests of a server from 1.
    :ivar client_address: as ``get_request()`` gave it.
    :ivar since: when it was accepted, in seconds on the server's clock.
    :ivar deadline: when it is to be cut; ``math.inf`` for never.
    :ivar request: the request while a hook has it in hand, so that it can be cut.
    :ivar worker: who has it in hand, as the backend knows them: a thread, a task, a child's pid.
    :ivar open: whether the request is not yet closed.
    :ivar cut: whether somebody gave it up.
    :ivar passed_back: whether an exception went on to the caller after the request was closed.
    """

    key: Hashable
    number: int
    client_address: Any
    since: float
    deadline: float = math.inf
    request: Any = None
    worker: Any = None
    open: bool = True
    cut: bool = False
    passed_back: bool = False


class Ledger:
    """The places of one server.

    :param lock: held for each change; give a lock where requests are served in several threads.
    """

    def __init__(self, lock: AbstractContextManager[Any] | None = None) -> None:
        self.counters = Counters()
        #: The place of the request that the serve loop is just handing out.
        self.current: Place | None = None
        self._lock: AbstractContextManager[Any] = nullcontext() if lock is None else lock
        self._places: dict[Hashable, Place] = {}
        self._aliases = 0
        self._last_number = 0
        self._deadlines: list[tuple[float, int, Place]] = []

    def __len__(self) -> int:
        return len(self._places) - self._aliases

    def __iter__(self) -> Iterator[Place]:
        """The open places, in the order in which their requests came."""
        with self._lock:
            places = {place.number: place for place in self._places.values()}
        return iter([places[number] for number in sorted(places)])

    def replace_lock(self, lock: AbstractContextManager[Any]) -> None:
        """Use another lock.

        Call this in a forked child, where the former one may be held by a thread that is not there.
        """
        self._lock = lock

    def take(
        self, key: Hashable, client_address: Any, now: float, timeout: float | None = None
    ) -> Place:
        """Take a place for a request that has just come.

        Call this when a request has been accepted, before its first hook; also when a request is
        met that has no place, since an override kept it from the serve loop.

        :param timeout: seconds until the request is overdue; None for never.
        """
        with self._lock:
            former = self._places.get(key)
            if former is not None:
                self._remove(former)
            self._last_number = number = self._last_number + 1
            place = self._places[key] = Place(key, number, client_address, now)
            if timeout is not None:
                place.deadline = now + timeout
                heapq.heappush(self._deadlines, (place.deadline, number, place))
        return place

    def find(self, key: Hashable) -> Place | None:
        """Return the place of the request with this key.

        A key that is not known, asked for while the serve loop is handing out a request, is taken
        to be another name of that one: its hook has wrapped it.
        """
        place = self._places.get(key)
        if place is None and (place := self.current) is not None and place.open:
            with self._lock:
                self._places[key] = place
                self._aliases += 1
        return place

    def move(self, place: Place, key: Hashable) -> None:
        """Let *place* be found by another key alone.

        Call this when the request is given to a child process, whose pid is the new key.
        """
        with self._lock:
            if place.open:
                self._forget(place)
                self._places[key] = place
                place.key = key

    def give_back(self, place: Place) -> bool:
        """Give *place* back; return whether it was still taken.

        Call this when the request is closed, however often.
        """
        with self._lock:
            return self._remove(place)

    def find_exactly(self, key: Hashable) -> Place | None:
        """Return the place of the request with this very key."""
        return self._places.get(key)

    def count(self, reason: str) -> None:
        """Count one more of *reason*, the name of a field of :class:`Counters`."""
        with self._lock:
            setattr(self.counters, reason, getattr(self.counters, reason) + 1)

    def kept(self) -> list[Place]:
        """Return the places that no hook and no worker has in hand: an override keeps them."""
        return [place for place in self if place.request is None and place.worker is None]

    def next_deadline(self) -> float:
        """Return when the first open request will be overdue; ``math.inf`` for never."""
        deadlines = self._deadlines
        while deadlines and not (deadlines[0][2].open and not deadlines[0][2].cut):
            heapq.heappop(deadlines)
        return deadlines[0][0] if deadlines else math.inf

    def overdue(self, now: float) -> list[Place]:
        """Return the open requests whose deadline has passed at time *now*, each only once."""
        found: list[Place] = []
        while self.next_deadline() <= now:
            found.append(heapq.heappop(self._deadlines)[2])
        return found

    def _remove(self, place: Place) -> bool:
        if not place.open:
            return False
        place.open = False
        place.request = None
        self._forget(place)
        self.counters.closed += 1
        return True

    def _forget(self, place: Place) -> None:
        if self._places.get(place.key) is place:
            del self._places[place.key]
        if self._aliases:
            for key in [key for key, other in self._places.items() if other is place]:
                del self._places[key]
                self._aliases -= 1
