"""Serving with ``trio_backend``: a task for each address, all in one trio run."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Final

import trio

import trio_backend

from . import running
from .addresses import Address, Kind
from .backends import Plan
from .console import REFUSED, CommandError
from .events import Events
from .running import ENDED

__all__ = ["serve", "server_class"]

#: Where blocking handlers run, by the way of serving.
_BLOCKING_HANDLERS: Final = {"trio": "threads", "trio-greenlets": "greenlets"}


def server_class(kind: Kind, backend: str, **attributes: Any) -> type[trio_backend.TCPServer]:
    """Return a server class, with *attributes*, for a kind of address and a way of serving.

    :raises CommandError: this system has no such sockets.
    """
    blocking_handlers = _BLOCKING_HANDLERS[backend]
    return running.find_class(
        trio_backend, "", kind, blocking_handlers=blocking_handlers, **attributes
    )


class _Served(running.Served):
    """A server whose loop is a task."""

    @classmethod
    def open(cls, plan: Plan, address: Address, events: Events) -> _Served:
        """Make a server for one address."""
        blocking_handlers = _BLOCKING_HANDLERS[plan.backend]
        server = running.open_server(
            trio_backend, "", plan, address, blocking_handlers=blocking_handlers
        )
        return cls(address, server, events)

    @classmethod
    def start(cls, opened: Sequence[_Served]) -> None:
        """Begin a trio run with a task for each.

        In a thread, since a run cannot end as long as a handler in a worker thread does not, and
        the process is to end all the same.
        """
        threading.Thread(target=trio.run, args=(_serve_all, opened), daemon=True).start()

    async def serve(self) -> None:
        """Serve; tell of the end, and before that, as the case may be, of the end of the drain."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._tell_when_abandoned)
            try:
                await self.server.serve_forever()
            except BaseException as error:  # noqa: BLE001 - whatever it is, it is told at the end
                self.failure = _bare(error)
            nursery.cancel_scope.cancel()
        self.server.server_close()
        self.events.put(ENDED)
        if not self.closed:
            self.tell_closed()

    async def _tell_when_abandoned(self) -> None:
        """Tell of the end of a drain that leaves somebody behind, since the loop then goes on."""
        if (await self.server.wait_drained()).left:
            self.server.server_close()
            self.tell_closed()

    def stop(self) -> None:
        """Stop and drain, in its task."""
        self.server.shutdown()  # kept where the task is only about to begin
        self.server.server_close()


async def _serve_all(opened: Sequence[_Served]) -> None:
    async with trio.open_nursery() as nursery:
        for served in opened:
            nursery.start_soon(served.serve)


def _bare(error: BaseException) -> BaseException:
    """Return *error* without groups that have nothing else in them."""
    inner: Sequence[BaseException] = getattr(error, "exceptions", ())
    return _bare(inner[0]) if len(inner) == 1 else error


def serve(plan: Plan) -> int:
    """Serve until Ctrl-C or SIGTERM, then drain; return the exit status.

    :raises CommandError: an address cannot be bound, the trace not be written, or greenlets not be
        had.
    """
    if _BLOCKING_HANDLERS[plan.backend] == "greenlets":
        try:
            from trio_backend import greenlets  # noqa: F401, PLC0415 - an extra
        except RuntimeError as error:
            raise CommandError(str(error), REFUSED) from error
    return running.run(plan, _Served)
