"""``ForkingMixIn``: a child process for each request."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from sansio_server.hooks import ServerHooks
from sansio_server.ledger import Place
from sansio_server.request import Step

from .base import BaseServer
from .children import LOOK_INTERVAL, Children
from .poller import LONGEST_SLEEP

__all__ = ["ForkingMixIn"]


if TYPE_CHECKING:
    _Server = BaseServer
else:
    _Server = object  # a mix-in has no base of its own, and so does nothing behind the server class


class ForkingMixIn(_Server):
    """Serve each request in a child process. Put this before the server class in the bases."""

    timeout: float | None = 300
    #: The pids of the children; None before the first.
    active_children: set[int] | None = None
    #: The most children at once; beyond that clients wait.
    max_children: int = 40
    #: Whether ``server_close()`` waits for the children.
    block_on_close: bool = True

    def process_request(self, request: Any, client_address: Any) -> Any:
        """Serve a request in a child process.

        :raises OSError: the process cannot fork.
        """
        place = self._place_of(request, client_address)
        pid = os.fork()
        if pid == 0:
            self._serve_in_child(request, client_address, place)
        self._served_by_child(pid, request, place)

    def _served_by_child(self, pid: int, request: Any, place: Place) -> None:
        """Note that a child serves the request of *place*, and let go of it here."""
        if self.active_children is None:
            self.active_children = set()
        self.active_children.add(pid)
        self._children.watch(pid)
        self._ledger.move(place, ("child", pid))
        place.worker = pid
        self.close_request(request)

    def _serve_in_child(self, request: Any, client_address: Any, place: Place) -> None:
        """Serve a request and exit: with status 0 if no hook raised, 1 otherwise."""
        status = 1
        try:
            self._forget_parent(place)
            errors = self._ledger.errors
            self.continue_request(Step.FINISH, request, client_address)
            status = 0 if self._ledger.errors == errors else 1
        finally:
            os._exit(status)

    def _forget_parent(self, place: Place) -> None:
        """Keep of the server what is the child's: the request of *place*, and no other.

        Each page that is written to here is copied by the system, and each is a fault: so nothing
        is done that may as well be done when the child, as few do, uses what it concerns.
        """
        signal.set_wakeup_fd(-1)  # the thread that forked is the child's main thread
        self._ledger.keep_only(place, self._new_lock())
        # Kept: closing the descriptors one by one would take longer than the child does.
        self._watched_by_parent = self.__dict__.pop("_watched", None)
        self.active_children = None
        self._forget_drains()
        own = getattr(self, "socket", None)
        if own is not None and own.type == socket.SOCK_STREAM:
            own.close()  # or the address stays in use while the child lives

    @property
    def _children(self) -> Children:
        children: Children | None = self.__dict__.get("_watched")
        if children is None:
            children = self.__dict__.setdefault("_watched", Children())
        return children

    def collect_children(self, *, blocking: bool = False) -> None:
        """Reap children that have exited: this server's own, and no others.

        :param blocking: whether to wait for all of them to exit.
        """
        if not self.active_children:
            return
        pids = list(self.active_children)
        for pid in pids if blocking else self._children.maybe_exited(pids):
            self._reap(pid, 0 if blocking else os.WNOHANG)

    def _has_exited(self, pid: int, options: int) -> bool:
        """Reap a child, if it has exited; with no *options*, wait until it has."""
        try:
            reaped, _ = os.waitpid(pid, options)
        except ChildProcessError:
            return True  # somebody else has reaped it
        return reaped == pid

    def _reap(self, pid: int, options: int) -> None:
        if self._has_exited(pid, options):
            if self.active_children:
                self.active_children.discard(pid)
            self._children.unwatch(pid)
            place = self._ledger.find_exactly(("child", pid))
            if place is not None:
                place.worker = None
                self._release(place)

    def service_actions(self) -> Any:
        """Reap children that have exited."""
        super().service_actions()
        self.collect_children()

    def handle_timeout(self) -> Any:
        """Reap children that have exited."""
        self.collect_children()

    def server_close(self) -> None:
        """Close the server; wait for its children as :attr:`block_on_close` says."""
        super().server_close()
        waits = self.block_on_close and self.drain_timeout is None
        if waits and self._ledger.deadlines:
            self._drain(self._under_way(), None)  # who becomes overdue meanwhile is cut
        self.collect_children(blocking=waits)
        self._children.close()

    def _needs_turns(self) -> bool:
        """Say whether ``service_actions()`` is to be called even if nothing happens."""
        if not self._children.all_watched(self.active_children or ()):
            return True
        return super()._needs_turns()

    def _acts(self) -> bool:
        """Say whether ``service_actions()`` does anything that :meth:`_attend` does not."""
        own = getattr(self.service_actions, "__func__", None) is ForkingMixIn.service_actions
        behind = getattr(super().service_actions, "__func__", None)
        return not own or behind is not ServerHooks.service_actions

    _bounded: ClassVar[bool] = True
    _always_attends: ClassVar[bool] = True

    def _capacity(self) -> int | None:
        if self.max_connections is None:
            return self.max_children
        return min(self.max_connections, self.max_children)

    def _descriptors(self) -> Iterable[int]:
        self.collect_children()
        return self._children.descriptors()

    def _attend(self) -> None:
        """Cut the requests that are overdue, and reap children that have exited."""
        if self._ledger.deadlines:
            super()._attend()
        self.collect_children()

    def _where(self, place: Place) -> str:
        if _has_child(place):
            return f"child process {place.worker}"
        return super()._where(place)

    def _cut(self, place: Place, why: str) -> None:
        super()._cut(place, why)
        if _has_child(place):
            # A deadline leaves no time for manners; a drain asks first.
            self._kill(place, signal.SIGTERM if why == "drain" else signal.SIGKILL)

    def _abandon(self, place: Place) -> None:
        super()._abandon(place)
        if _has_child(place):
            self._kill(place, signal.SIGKILL)
            self._reap(_pid(place), 0)

    def _kill(self, place: Place, number: signal.Signals) -> None:
        self._children.send_signal(_pid(place), number)

    def _wait_for_end(self, places: Iterable[Place], until: float) -> None:
        going = list(filter(self._goes_on, places))
        if all(map(_has_child, going)):
            timeout = min(max(0.0, until - self._now()), LONGEST_SLEEP)
            if going:
                self._children.wait([place.worker for place in going], timeout)
        else:
            # Some are served in this process, by an override: look after both kinds in turn.
            super()._wait_for_end(places, min(until, self._now() + LOOK_INTERVAL))
        self.collect_children()


def _has_child(place: Place) -> bool:
    """Say whether it is a child process that serves *place*."""
    return place.key == ("child", place.worker)


def _pid(place: Place) -> int:
    """Return the pid of the child that serves *place*, or did so until it was reaped just now."""
    key: Any = place.key
    pid: int = key[1]
    return pid
