"""The open requests: a place for each, and counters of how requests ended.

A place is taken when a request is accepted and given back when it is closed, even if a hook has
wrapped the request meanwhile. Places are found by a *key* that the backend derives from the
request (the descriptor of a socket, which survives wrapping it in TLS). If a key comes up again,
its former holder must be closed.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from itertools import count
from operator import attrgetter
from typing import Any, Final

import attrs

__all__ = ["Counters", "Ledger", "Place", "add_counters", "current", "in_hand"]


@attrs.define
class Counters:
    """How many requests came, and how they ended, since the server was made."""

    accepted: int = 0
    """requests that ``get_request()`` returned"""
    refused: int = 0
    """requests that ``verify_request()`` refused"""
    shed: int = 0
    """requests closed unserved, because ``max_connections`` were open"""
    closed: int = 0
    """requests that are over, for whatever reason"""
    errors: int = 0
    """exceptions that hooks raised, except the cancellation of requests that were cut"""
    cut: int = 0
    """requests cut by ``request_timeout`` or at the end of a drain"""
    connection_errors: int = 0
    """connections that were lost before they could be accepted"""
    capacity_errors: int = 0
    """accepts that failed because the machine was full"""


def add_counters(*several: Counters) -> Counters:
    """Return the sums of *several* counters."""
    return Counters(*map(sum, zip(*map(attrs.astuple, several), strict=True)))


class Place:
    """The place of one request.

    :ivar key: what the ledger finds it by.
    :ivar number: counts the requests of a server from 1.
    :ivar client_address: as ``get_request()`` gave it.
    :ivar since: when it was accepted, in seconds on the server's clock.
    :ivar deadline: when it is to be cut; ``math.inf`` for never.
    :ivar request: the request while a hook has it in hand, so that it can be cut.
    :ivar worker: what serves it, in the form that the backend uses: a thread, a task, a child's
        pid.
    :ivar open: whether the request is not yet closed.
    :ivar in_place: whether it is served inside ``process_request``.
    :ivar cut: whether it was cut.
    :ivar lent: whether a thread other than the serve loop's has begun to serve it, and will close
        it.
    :ivar passed_back: whether an exception went on to ``process_request`` after the request was
        closed in place.
    :ivar stopped: whether a stop was requested since it came.
    :ivar stop_ends_input: whether a stop is to end its input.
    """

    __slots__ = (
        "client_address",
        "cut",
        "deadline",
        "in_place",
        "key",
        "lent",
        "number",
        "open",
        "passed_back",
        "request",
        "since",
        "stop_ends_input",
        "stopped",
        "worker",
    )

    def __init__(self, key: Hashable, number: int, client_address: Any, since: float) -> None:
        self.key = key
        self.number = number
        self.client_address = client_address
        self.since = since
        self.deadline = math.inf
        self.request: Any = None
        self.worker: Any = None
        self.open = True
        self.in_place = self.cut = self.lent = self.passed_back = False
        self.stopped = self.stop_ends_input = False

    def __repr__(self) -> str:
        return f"<Place {self.number} of {self.client_address!r}>"


#: The place of the request for which hooks run in this context; the driver sets it.
current: Final[ContextVar[Place | None]] = ContextVar("current", default=None)


def in_hand() -> Place:
    """Return the place of the request for which hooks run in this context.

    Call this where a hook is being run, such as in a ``carrier``.

    :raises LookupError: no hook is being run.
    """
    place = current.get()
    if place is None:
        raise LookupError("no request is being served here")
    return place


class Ledger:
    """The places of one server.

    Taking and giving back are single operations on a dict, which threads may do side by side: a
    lock would cost as much as all the rest. A key may come up again before its former place is
    given back: a descriptor may be closed and reused in between.

    :param lock: held during rarer operations; needed if several threads serve requests.
    :param release: called with a place whose key has come up again, to give it back.
    """

    def __init__(
        self,
        lock: AbstractContextManager[Any] | None = None,
        release: Callable[[Place], object] | None = None,
    ) -> None:
        self._release = self.give_back if release is None else release
        self._lock: AbstractContextManager[Any] = nullcontext() if lock is None else lock
        self._numbers = count(1)
        self._places: dict[Hashable, Place] = {}
        self._aliases: dict[Hashable, Place] = {}
        #: A heap of what may be overdue, and when; empty if nothing can be.
        self.deadlines: list[tuple[float, int, Place]] = []
        self._counters = Counters()
        self._last_number = 0

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Place]:
        """The open places, in the order in which their requests came."""
        return iter(sorted(self._places.copy().values(), key=attrgetter("number")))

    @property
    def counters(self) -> Counters:
        """How many requests came, and how they ended, until now."""
        return Counters(*self.totals())

    def totals(self) -> tuple[int, ...]:
        """Return the fields of :attr:`counters`, in their order, without making an object.

        Cheap enough to share them with another process again and again.
        """
        c = self._counters
        return (
            c.accepted + self._last_number,
            c.refused,
            c.shed,
            c.closed + self._last_number - len(self._places),
            c.errors,
            c.cut,
            c.connection_errors,
            c.capacity_errors,
        )

    @property
    def numbered(self) -> int:
        """The number of the last place that was taken; 0 before the first."""
        return self._last_number

    @property
    def errors(self) -> int:
        """How many exceptions hooks have raised until now."""
        return self._counters.errors

    def keep_only(self, place: Place, lock: AbstractContextManager[Any]) -> None:
        """Forget all places but *place*, and use another lock.

        Call this in a forked child, which serves that one alone, and where the former lock may be
        held by a thread that is not there.
        """
        self._lock = lock
        self._places = {place.key: place}
        if self._aliases:
            self._aliases = {key: alias for key, alias in self._aliases.items() if alias is place}
        if self.deadlines:
            self.deadlines = [entry for entry in self.deadlines if entry[2] is place]

    def take(
        self, key: Hashable, client_address: Any, now: float, timeout: float | None = None
    ) -> Place:
        """Take a place for a request that has just come.

        Call this when a request has been accepted, before its first hook.

        :param timeout: seconds until the request is overdue; None for never.
        """
        self._last_number = number = next(self._numbers)
        former = self._places.get(key)
        if former is not None:
            # Two open requests have no key in common, so the former is closed, or about to be.
            self._release(former)
        if self._aliases:
            with self._lock:
                self._aliases.pop(key, None)
        self._places[key] = place = Place(key, number, client_address, now)
        if timeout is not None:
            place.deadline = now + timeout
            self._note_deadline(place)
        return place

    def reserve(self, number: int, client_address: Any, since: float, deadline: float) -> Place:
        """Take a place for a request that another ledger had, with *number* as its key.

        To be called in the order of the numbers, and :meth:`number_from` after the last.
        """
        self.number_from(number)
        place = self.take(number, client_address, since)
        if deadline < math.inf:
            place.deadline = deadline
            self._note_deadline(place)
        return place

    def number_from(self, number: int) -> None:
        """Give *number* to the next place."""
        self._numbers = count(number)
        self._last_number = number - 1

    def adopt(
        self, key: Hashable, client_address: Any, now: float, timeout: float | None = None
    ) -> Place:
        """Take a place for a request that has none; it is not counted among those accepted.

        Call this when a request is met that the serve loop did not bring, or that was given back.
        """
        place = self.take(key, client_address, now, timeout)
        self.count("accepted", -1)
        return place

    def find(self, key: Hashable) -> Place | None:
        """Return the place of the request with this key.

        If the key is not known and a hook runs for a request (see :data:`current`), the hook is
        assumed to have wrapped that one: the key becomes another name of its place.
        """
        place = self._places.get(key)  # as a rule it is there, and a call costs more than this
        if place is None:
            place = self._aliases.get(key)
        if place is None:
            handed = current.get()
            if handed is not None and self._places.get(handed.key) is handed:
                with self._lock:
                    self._aliases[key] = handed
                return handed
        return place

    def find_exactly(self, key: Hashable) -> Place | None:
        """Return the place of the request with this very key, by whatever name it has."""
        place = self._places.get(key)
        if place is None and self._aliases:
            place = self._aliases.get(key)
        return place

    def move(self, place: Place, key: Hashable) -> None:
        """Let *place* be found by another key alone.

        Call this when the request is given to a child process, whose pid is the new key.
        """
        if place.open:
            if self._aliases:
                self._forget_names(place)
            self._places.pop(place.key, None)
            place.key = key
            self._places[key] = place

    def give_back(self, place: Place) -> bool:
        """Give *place* back; return whether it was still taken.

        Call this when the request is closed, however often.
        """
        if not place.open:
            return False
        place.open = False
        place.request = None
        if self._aliases:
            self._forget_names(place)
        dropped = self._places.pop(place.key, None)
        if dropped is not place and dropped is not None:
            self._restore(dropped)
        return True

    def count(self, reason: str, by: int = 1) -> None:
        """Count one more of *reason*, the name of a field of :class:`Counters`."""
        with self._lock:
            setattr(self._counters, reason, getattr(self._counters, reason) + by)

    def kept(self) -> list[Place]:
        """Return the places that neither a hook nor a worker serves: an override keeps them."""
        return [place for place in self if place.request is None and place.worker is None]

    def next_deadline(self) -> float:
        """Return when the first open request will be overdue; ``math.inf`` for never."""
        if not self.deadlines:
            return math.inf
        with self._lock:
            return self._first_deadline()

    def overdue(self, now: float) -> list[Place]:
        """Return the open requests whose deadline has passed at time *now*, each only once."""
        found: list[Place] = []
        with self._lock:
            while self._first_deadline() <= now:
                found.append(heapq.heappop(self.deadlines)[2])
        return found

    def _first_deadline(self) -> float:
        while self.deadlines:
            deadline, _, place = self.deadlines[0]
            if place.open and not place.cut:
                return deadline
            heapq.heappop(self.deadlines)
        return math.inf

    def _note_deadline(self, place: Place) -> None:
        with self._lock:
            deadlines = self.deadlines
            if len(deadlines) > 2 * len(self._places) + 64:
                # One slow request at the front keeps those behind it, though they are over.
                deadlines[:] = [entry for entry in deadlines if entry[2].open]
                heapq.heapify(deadlines)
            heapq.heappush(deadlines, (place.deadline, place.number, place))

    def _forget_names(self, place: Place) -> None:
        with self._lock:
            self._aliases = {k: p for k, p in self._aliases.items() if p is not place}

    def _restore(self, place: Place) -> None:
        """Put back the place of a newer request, which has the key of one that was closed."""
        self._places.setdefault(place.key, place)
        if not place.open:  # it was given back in between, and not found
            self._places.pop(place.key, None)
