"""Serving with ``sync_backend``: a thread for each address."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import sync_backend
from sansio_server.lifecycle import Event
from sync_backend.sharing import SharedListenerMixIn

from . import running
from .addresses import Address, Kind
from .backends import Plan
from .events import Events
from .running import ENDED

__all__ = ["serve", "server_class"]

_MIX_INS: Final = {
    "inline": "",
    "threads": "ThreadingMixIn",
    "forks": "ForkingMixIn",
    "pool": "PoolMixIn",
    "prefork": "",  # the processes are the command's
}


def server_class(kind: Kind, backend: str, **attributes: Any) -> type[sync_backend.TCPServer]:
    """Return a server class, with *attributes*, for a kind of address and a way of serving.

    :raises CommandError: this system has no such sockets, or no fork.
    """
    return running.find_class(sync_backend, _MIX_INS[backend], kind, **attributes)


class _Served(running.Served):
    """A server whose loop has a thread of its own."""

    def __init__(
        self, address: Address, server: sync_backend.TCPServer, events: Events, *, gives_away: bool
    ) -> None:
        super().__init__(address, server, events)
        self._gives_away = gives_away  # the loop serves nobody itself
        self._loop = threading.Thread(target=self._serve, name=str(self.address), daemon=True)

    @classmethod
    def open(cls, plan: Plan, address: Address, events: Events) -> _Served:
        """Make a server for one address."""
        server = running.open_server(
            sync_backend,
            _MIX_INS[plan.backend],
            plan,
            address,
            before=() if address.listener is None else (SharedListenerMixIn,),
            _shares_listener=address.listener is not None,
            reuse_threads=True,
            # The drain has waited for them as long as they may take; the interpreter need not.
            daemon_threads=plan.limits.drain_timeout is not None,
            max_children=plan.limits.max_connections,
            pool_size=plan.limits.max_connections,
        )
        return cls(address, server, events, gives_away=bool(_MIX_INS[plan.backend]))

    @classmethod
    def start(cls, opened: Sequence[_Served]) -> None:
        """Begin a thread for each."""
        for served in opened:
            served._loop.start()

    def _serve(self) -> None:
        try:
            self.server.serve_forever()
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is told at the end
            self.failure = error
        self.events.put(ENDED)

    def stop(self) -> None:
        """Stop and drain, in a thread."""
        threading.Thread(target=self._close, name=f"end of {self.address}", daemon=True).start()

    def look_again(self) -> None:
        """Look for a client, though nothing told of one."""
        self.server._look_again()

    def _close(self) -> None:
        server = self.server
        # Kept where the loop is only about to begin; not shutdown(), which may wait for a handler.
        server._control.post(Event.SHUTDOWN)
        if self._gives_away:
            self._loop.join()  # or whom it is about to give to a thread or child would be missed
        if server.drain_timeout is None and server._replies_by_listener:
            server.drain()  # while they can reply by the server's socket
        server.server_close()
        if server.drain_timeout is None:
            self._loop.join()
        elif server.drain_report is not None and not server.drain_report.left:
            self._loop.join(server.cut_timeout)
        self.tell_closed()

    def abandon(self) -> None:
        """Give up at once whatever would outlive the process."""
        for pid in list(getattr(self.server, "active_children", None) or ()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        super().abandon()


def serve(plan: Plan) -> int:
    """Serve until Ctrl-C or SIGTERM, then drain; return the exit status.

    :raises CommandError: an address cannot be bound, or the trace not be written.
    """
    return running.run(plan, _Served)
