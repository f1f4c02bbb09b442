"""A script played on real sockets, on loopback, with any backend."""

from __future__ import annotations

import importlib
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

import attrs

from sansio_server.handlers import is_asynchronous
from sansio_server.testing.runs.invariants import (
    BUILT_IN,
    Invariant,
    check_invariants,
    ends,
    loop_goes_on,
    replies_as_expected,
)
from sansio_server.testing.runs.run import Run, Seen
from sansio_server.testing.scripts.actions import (
    ClientScript,
    Drain,
    ReceiveDatagram,
    Resume,
    SendDatagram,
    Shutdown,
    Suspend,
)
from sansio_server.testing.scripts.faults import Fault
from sansio_server.testing.scripts.script import Script
from sansio_server.testing.timeline.moments import Moment
from sansio_server.trace import TraceEvent

from .faults import Injector, with_faults
from .script_clients import PatienceError, RealClient

__all__ = ["REAL_BACKENDS", "RealBackend", "Replay", "replay"]

#: Seconds after which a client that waits counts as stuck.
PATIENCE: Final = 10.0


@attrs.frozen
class RealBackend:
    """A way to serve on real sockets.

    :ivar summary: what becomes of a request.
    :ivar module: where its server classes are.
    :ivar mix_in: what their names begin with: "", "Threading", "Forking".
    :ivar attributes: what else is set on the class.
    :ivar in_trio: whether ``serve_forever()`` is a coroutine function, to be run by trio.
    :ivar sees_all: whether its trace tells all of each request; that of a forking server is spread
        over several processes.
    :ivar blocking_sockets: whether blocking handlers have blocking sockets.
    """

    summary: str
    module: str
    mix_in: str = ""
    attributes: Mapping[str, Any] = attrs.field(factory=dict)
    in_trio: bool = False
    sees_all: bool = True
    blocking_sockets: bool = True

    def server_class(self, *, datagrams: bool) -> type:
        """Return the class that serves on streams or datagrams over IP.

        :raises ImportError: the backend needs something that is not installed.
        """
        module = importlib.import_module(self.module)
        name = f"{self.mix_in}{'UDP' if datagrams else 'TCP'}Server"
        found: type = getattr(module, name)
        return found


#: The ways to serve on real sockets, by their names.
REAL_BACKENDS: Final[Mapping[str, RealBackend]] = MappingProxyType(
    {
        "inline": RealBackend("one request after the other", "sync_backend"),
        "threads": RealBackend("each request in a thread", "sync_backend", "Threading"),
        "forks": RealBackend(
            "each request in a child process", "sync_backend", "Forking", sees_all=False
        ),
        "trio": RealBackend(
            "each request in a trio task, blocking handlers in threads",
            "trio_backend",
            in_trio=True,
        ),
        "trio-threads": RealBackend(
            "the blocking classes, whose waiting is trio's", "trio_backend.blocking", "Threading"
        ),
        "trio-greenlets": RealBackend(
            "each request in a trio task, blocking handlers too",
            "trio_backend",
            attributes={"blocking_handlers": "greenlets"},
            in_trio=True,
            blocking_sockets=False,
        ),
    }
)


@attrs.frozen
class Replay:
    """What became of a script on real sockets.

    :ivar run: as for one in memory; its times are seconds of the wall clock.
    :ivar left_out: the faults of the script that cannot be shown on real sockets.
    """

    run: Run
    left_out: tuple[Fault, ...]


def replay(
    script: Script,
    handler: Callable[..., Any],
    *,
    backend: str = "threads",
    server_class: type | None = None,
    invariants: Iterable[Invariant] = (),
    attributes: Mapping[str, Any] | None = None,
    patience: float = PATIENCE,
) -> Replay:
    """Play *script* on real sockets on loopback; return what became of it.

    Each client is a thread that does its actions one after the other. Who moves when is decided by
    the machine, so that what a certain schedule shows may not show here.

    :param handler: as for a server.
    :param backend: a key of :data:`REAL_BACKENDS`.
    :param server_class: the class to serve with, instead of the backend's own; it has to fit the
        backend.
    :param invariants: what else must hold, beside what always must.
    :param attributes: set on the server class.
    :param patience: seconds after which a client that waits counts as stuck.
    :raises ValueError: there is no such backend, or *patience* is not more than 0.
    :raises ImportError: the backend needs something that is not installed.
    :raises OSError: no server can be bound.
    """
    if backend not in REAL_BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(REAL_BACKENDS)}, not {backend!r}")
    if not patience > 0:
        raise ValueError(f"patience must be more than 0 seconds, not {patience!r}")
    way = REAL_BACKENDS[backend]
    if server_class is None:
        server_class = way.server_class(datagrams=_has_datagrams(script.clients))
    injector = Injector(
        script.faults, on_connections=way.blocking_sockets and not is_asynchronous(handler)
    )
    stage = _Stage(script, way, patience)
    with tempfile.TemporaryDirectory(prefix="replay-") as folder:
        stage.serve(with_faults(server_class, injector), handler, attributes or {}, folder)
        stage.play(folder)
        run = stage.end()
    wanted = BUILT_IN if way.sees_all else (ends, loop_goes_on, replies_as_expected)
    findings = check_invariants(run, (*wanted, *invariants))
    return Replay(attrs.evolve(run, findings=findings), injector.left_out)


def _has_datagrams(clients: Iterable[ClientScript]) -> bool:
    return any(
        isinstance(action, (SendDatagram, ReceiveDatagram))
        for client in clients
        for action in client.actions
    )


class _Stage:
    """One server, its loop in a thread, and the threads of its clients."""

    def __init__(self, script: Script, way: RealBackend, patience: float) -> None:
        self._script = script
        self._way = way
        self._patience = patience
        self._begun = time.monotonic()
        self._moments: list[Moment] = []
        self._trace: list[TraceEvent] = []
        self._stuck: list[str] = []
        self._loop_error = ""
        self._closing = 0.0
        self._closed = threading.Lock()
        self._is_closed = False

    def serve(
        self, made: type, handler: Callable[..., Any], attributes: Mapping[str, Any], folder: str
    ) -> None:
        """Make the server, and begin to serve."""
        cls: Any = made
        for name, value in {**self._way.attributes, **attributes}.items():
            setattr(cls, name, value)
        cls.trace = staticmethod(self._trace.append)
        # The errors of requests are in the trace.
        if _is_library(cls, "handle_error"):
            cls.handle_error = _says_nothing
        family = getattr(cls, "address_family", socket.AF_INET)
        unix = family == getattr(socket, "AF_UNIX", None)
        address: Any = os.path.join(folder, "server") if unix else ("127.0.0.1", 0)
        if family == socket.AF_INET6:
            address = ("::1", 0)
        self._server = cls(address, handler)
        self._loop = threading.Thread(target=self._serve, name="loop", daemon=True)
        self._loop.start()

    def _serve(self) -> None:
        try:
            if self._way.in_trio:
                import trio  # noqa: PLC0415 - loaded for those who ask for it

                trio.run(self._server.serve_forever)
            else:
                self._server.serve_forever()
        except BaseException as error:  # noqa: BLE001 - reported
            self._loop_error = f"{type(error).__name__}: {error}"

    def play(self, folder: str) -> None:
        """Let all clients do what they do."""
        seen: list[Seen] = [Seen() for _ in self._script.clients]

        def run(index: int, client: ClientScript) -> None:
            name = f"client {index + 1}"
            real = RealClient(
                client,
                self._server.server_address,
                self,
                patience=self._patience,
                own_path=os.path.join(folder, name),
                note=lambda what, detail: self._note(name, what, detail),
            )
            try:
                seen[index] = real.play()
            except PatienceError as error:
                self._stuck.append(f"{name}: {error}")

        threads = [
            threading.Thread(target=run, args=pair, daemon=True)
            for pair in enumerate(self._script.clients)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._seen = tuple(seen)

    def operate(self, action: Any) -> None:
        """Do what an operator asks for."""
        if isinstance(action, Suspend):
            self._server.suspend()
        elif isinstance(action, Resume):
            self._server.resume()
        elif isinstance(action, Shutdown):
            self._server.shutdown()
            if self._way.in_trio:
                self._loop.join(self._patience)
        else:
            if isinstance(action, Drain):
                self._server.drain_timeout = action.timeout
            self._close()

    def _close(self) -> None:
        with self._closed:
            if self._is_closed:
                return
            self._is_closed = True
            begun = time.monotonic()
            closing = threading.Thread(target=self._stop_and_close, name="closing", daemon=True)
            closing.start()
            closing.join(self._patience)
            self._closing = time.monotonic() - begun
            if closing.is_alive() or self._loop.is_alive():
                self._stuck.append(f"the server did not close within {self._patience:g} s")

    def _stop_and_close(self) -> None:
        self._server.shutdown()
        if self._way.in_trio:
            self._loop.join(self._patience)
        self._server.server_close()
        self._loop.join(self._patience)

    def end(self) -> Run:
        """Stop and close the server; return what became of it all."""
        self._close()
        server = self._server
        limit = None
        if server.drain_timeout is not None:  # what the machine takes for itself counts, too
            limit = server.drain_timeout + server.cut_timeout + self._patience
        return Run(
            script=self._script,
            clients=self._seen,
            trace=tuple(self._trace),
            timeline=tuple(self._moments),
            counters=server._ledger.counters,
            stuck="\n".join(self._stuck),
            loop_error=self._loop_error,
            still_open=len(server._ledger),
            drain=server.drain_report,
            closing=self._closing,
            closing_limit=limit,
            seconds=time.monotonic() - self._begun,
        )

    def _note(self, actor: str, what: str, detail: str) -> None:
        self._moments.append(Moment(time.monotonic() - self._begun, actor, what, detail))


def _is_library(cls: type, name: str) -> bool:
    home = next(base for base in cls.__mro__ if name in vars(base))
    return home.__module__.partition(".")[0] in {"sansio_server", "sync_backend", "trio_backend"}


def _says_nothing(self: Any, request: Any, client_address: Any) -> None:
    """Stand in for ``handle_error()``, which prints."""
