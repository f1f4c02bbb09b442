"""Serving with ``sync_backend``: a thread for each address, and the main one for signals."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import ExitStack, closing, nullcontext, suppress
from queue import SimpleQueue
from typing import Any, Final

import attrs

import sync_backend

from .addresses import Address, Kind, resolve
from .backends import Plan
from .console import REFUSED, CommandError, complain, say
from .signals import telling
from .trace_file import TraceFile
from .unix_paths import OwnPathMixIn

__all__ = ["serve", "server_class"]

_BASES: Final[dict[Kind, str]] = {
    "tcp": "TCPServer",
    "udp": "UDPServer",
    "unix": "UnixStreamServer",
    "unixgram": "UnixDatagramServer",
}
_MIX_INS: Final = {"inline": "", "threads": "ThreadingMixIn", "forks": "ForkingMixIn"}


def server_class(kind: Kind, backend: str, **attributes: Any) -> type[sync_backend.TCPServer]:
    """Return a server class, with *attributes*, for a kind of address and a way of serving.

    :raises CommandError: this system has no such sockets, or no fork.
    """
    names = [name for name in (_MIX_INS[backend], _BASES[kind]) if name]
    try:
        bases = tuple(getattr(sync_backend, name) for name in names)
    except AttributeError as error:
        raise CommandError(f"this system has not what it takes: {error}", REFUSED) from None
    if kind in ("unix", "unixgram"):
        bases = (OwnPathMixIn, *bases)
    name = "".join(names).replace("MixIn", "")
    made: type[sync_backend.TCPServer] = type(name, bases, attributes)
    return made


def _open_server(plan: Plan, address: Address) -> sync_backend.TCPServer:
    try:
        family, server_address = resolve(address)
        make = server_class(
            address.kind,
            plan.backend,
            address_family=family,
            # For datagrams it would let a second server take what is meant for the first.
            allow_reuse_address=address.kind == "tcp",
            reuse_threads=True,
            # The drain has waited for them as long as they may take; the interpreter need not.
            daemon_threads=plan.limits.drain_timeout is not None,
            max_children=plan.limits.max_connections,
            **attrs.asdict(plan.limits),
        )
        return make(server_address, plan.handler)
    except (OSError, ValueError) as error:
        raise CommandError(f"cannot serve {address}: {_reason(error)}", REFUSED) from error


def _reason(error: Exception) -> str:
    """Return what the system says, without what the caller says anyway."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text.partition(": cannot bind to ")[0]


_ENDED: Final = "a loop has ended"
_CLOSED: Final = "a server is closed"

_Events = SimpleQueue[Any]


class _Served:
    """A server, the thread of its loop, and how that ended.

    :param events: told of the end of the loop, and of the server.
    :ivar failure: what ended the loop, if it was an error.
    """

    def __init__(self, address: Address, server: sync_backend.TCPServer, events: _Events) -> None:
        self.address = address.bound(server.server_address)
        self.server = server
        self.failure: BaseException | None = None
        self._events = events
        self._loop = threading.Thread(target=self._serve, name=str(self.address), daemon=True)

    def start(self) -> None:
        """Serve, in a thread."""
        self._loop.start()

    def _serve(self) -> None:
        try:
            self.server.serve_forever()
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is told at the end
            self.failure = error
        self._events.put(_ENDED)

    def stop(self) -> None:
        """Stop and drain, in a thread."""
        threading.Thread(target=self._close, name=f"end of {self.address}", daemon=True).start()

    def _close(self) -> None:
        server = self.server
        server.server_close()
        if server.drain_timeout is None:
            self._loop.join()
        elif server.drain_report is not None and not server.drain_report.left:
            self._loop.join(server.cut_timeout)
        self._events.put(_CLOSED)

    def abandon(self) -> None:
        """Give up at once whatever would outlive the process."""
        for pid in list(getattr(self.server, "active_children", None) or ()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if isinstance(self.server, OwnPathMixIn):
            self.server.remove_path()

    def __str__(self) -> str:
        counters = ", ".join(
            f"{count} {name.replace('_', ' ')}"
            for name, count in attrs.asdict(self.server.counters).items()
            if count or name in ("accepted", "closed")
        )
        report = self.server.drain_report
        drained = "" if report is None else "; " + str(report).partition("\n")[0]
        return f"served {self.address}: {counters}{drained}"


def _open_all(plan: Plan, events: _Events) -> list[_Served]:
    opened: list[_Served] = []
    with ExitStack() as undo:
        for address in plan.addresses:
            server = _open_server(plan, address)
            undo.callback(server.server_close)
            opened.append(_Served(address, server, events))
        undo.pop_all()
    return opened


def _open_trace(plan: Plan) -> TraceFile | None:
    if plan.trace is None:
        return None
    try:
        return TraceFile(plan.trace)
    except OSError as error:
        raise CommandError(
            f"cannot write the trace {plan.trace}: {_reason(error)}", REFUSED
        ) from error


def serve(plan: Plan) -> int:
    """Serve until Ctrl-C or SIGTERM, then drain; return the exit status.

    A second signal ends the process at once.

    :raises CommandError: an address cannot be bound, or the trace not be written.
    """
    events: _Events = SimpleQueue()
    trace = _open_trace(plan)
    with telling(events.put), nullcontext() if trace is None else closing(trace):
        opened = _open_all(plan, events)
        for served in opened:
            if trace is not None:
                served.server.trace = trace.of(str(served.address))
            served.start()
        say(*(f"listening on {served.address}" for served in opened))
        events.get()  # a signal, or the end of a loop that nobody asked for
        _stop(opened, events)
    say(*map(str, opened))
    failed = [served for served in opened if served.failure is not None]
    for served in failed:
        complain("sansio-server serve", f"{served.address} failed: {served.failure!r}")
    return REFUSED if failed else 0


def _stop(opened: list[_Served], events: _Events) -> None:
    """Drain all servers at the same time; another signal ends the process."""
    for served in opened:
        served.stop()
    to_close = len(opened)
    while to_close:
        event = events.get()
        if isinstance(event, signal.Signals):
            _force(opened, event)
        elif event is _CLOSED:
            to_close -= 1


def _force(opened: list[_Served], why: signal.Signals) -> None:
    for served in opened:
        served.abandon()
    complain("sansio-server serve", f"{why.name} came again: requests under way were cut off")
    sys.stdout.flush()
    os._exit(128 + why)
