"""``ThreadingMixIn``: a thread for each request, new or reused."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from sansio_server.ledger import Place
from sansio_server.request import Step

from .base import BaseServer
from .crew import Crew

__all__ = ["ThreadingMixIn"]


if TYPE_CHECKING:
    _Server = BaseServer
else:
    _Server = object  # a mix-in has no base of its own, and so does nothing behind the server class


class ThreadingMixIn(_Server):
    """Serve each request in a thread of its own. Put this before the server class in the bases."""

    #: Whether the threads are daemons: the interpreter does not wait for them at its exit, nor does
    #: ``server_close()``.
    daemon_threads: bool = False
    #: Whether ``server_close()`` waits for the threads that are no daemons.
    block_on_close: bool = True
    #: Whether a thread that has served a request may serve another. What lives in the thread itself
    #: (``threading.local``, its name) then outlives a request; context variables do not.
    reuse_threads: bool = False

    @property
    def _threads(self) -> Crew:
        crew: Crew | None = self.__dict__.get("_crew")
        if crew is None:
            crew = self.__dict__.setdefault("_crew", Crew(self._progress))
        return crew

    def process_request_thread(self, request: Any, client_address: Any) -> Any:
        """Serve a request; this is what the thread runs."""
        return self.continue_request(Step.FINISH, request, client_address)

    def process_request(self, request: Any, client_address: Any) -> Any:
        """Serve a request in a thread.

        :raises RuntimeError: no thread can be started.
        """
        self._threads.start(
            self.process_request_thread,
            (request, client_address),
            self._place_of(request, client_address),
            daemon=self.daemon_threads,
            reuse=self.reuse_threads,
        )

    def server_close(self) -> None:
        """Close the server; wait for its threads as :attr:`block_on_close` says.

        With a ``drain_timeout`` all requests are drained, those of daemon threads too.
        """
        super().server_close()
        if self.drain_timeout is None and self.block_on_close:
            self._drain([job.place for job in self._threads.jobs() if not job.daemon], None)
        self._threads.dismiss()

    def _under_way(self) -> Iterable[Place]:
        # A thread may have closed its request and yet not be done.
        places = {*super()._under_way(), *(job.place for job in self._threads.jobs())}
        return sorted(places, key=attrgetter("number"))
