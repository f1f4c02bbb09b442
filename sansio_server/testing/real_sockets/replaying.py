"""A script played on real sockets, on loopback, with any backend."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

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
from sansio_server.testing.scripts.actions import ClientScript
from sansio_server.testing.scripts.faults import Fault
from sansio_server.testing.scripts.script import Script
from sansio_server.testing.servers.classes import UDPServer
from sansio_server.testing.servers.variants import with_attributes
from sansio_server.testing.timeline.moments import Moment

from .backends import backend_named
from .faults import Injector, with_faults
from .script_clients import PatienceError, RealClient
from .server import PATIENCE, RealServer

__all__ = ["Replay", "replay"]


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
    :param backend: a key of :data:`~.backends.REAL_BACKENDS`.
    :param server_class: the class to serve with, derived again from those of the backend; None for
        the backend's own.
    :param invariants: what else must hold, beside what always must.
    :param attributes: set on a subclass of it.
    :param patience: seconds after which a client that waits counts as stuck.
    :raises ValueError: there is no such backend, or *patience* is not more than 0.
    :raises TypeError: *server_class* cannot be on the backend, or has none of the *attributes*.
    :raises ImportError: the backend needs something that is not installed.
    :raises OSError: no server can be bound.
    """
    if not patience > 0:
        raise ValueError(f"patience must be more than 0 seconds, not {patience!r}")
    way = backend_named(backend)
    injector = Injector(
        script.faults, on_connections=way.blocking_sockets and not is_asynchronous(handler)
    )
    with _Stage(script, injector, handler, server_class, backend, patience, attributes) as stage:
        stage.play()
    run = stage.run()
    wanted = BUILT_IN if way.sees_all else (ends, loop_goes_on, replies_as_expected)
    findings = check_invariants(run, (*wanted, *invariants))
    return Replay(attrs.evolve(run, findings=findings), injector.left_out)


class _Stage(RealServer):
    """One server, its loop in a thread, and the threads of its clients."""

    def __init__(
        self,
        script: Script,
        injector: Injector,
        handler: Callable[..., Any],
        server_class: type | None,
        backend: str,
        patience: float,
        attributes: Mapping[str, Any] | None,
    ) -> None:
        self._script = script
        self._injector = injector
        self._begun = time.monotonic()
        self._moments: list[Moment] = []
        self._stuck: list[str] = []
        self._closing = 0.0
        self._closed = threading.Lock()
        self._is_closed = False
        if server_class is None and any(client.uses_datagrams for client in script.clients):
            server_class = UDPServer
        super().__init__(
            handler, server_class, backend=backend, patience=patience, **(attributes or {})
        )

    def _made(self, server_class: type, attributes: Mapping[str, Any]) -> type[Any]:
        # The errors of requests are in the trace.
        return with_attributes(with_faults(server_class, self._injector), attributes, quiet=True)

    def play(self) -> None:
        """Let all clients do what they do."""
        seen: list[Seen] = [Seen() for _ in self._script.clients]

        def run(index: int, client: ClientScript) -> None:
            name = f"client {index + 1}"
            real = RealClient(
                client,
                self,
                patience=self._patience,
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

    def close(self) -> None:
        """Stop and close the server, unless that has been done."""
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

    def _close(self) -> None:
        self.close()

    def _stop_and_close(self) -> None:
        with suppress(TimeoutError):  # found by who waits for this
            self.shutdown()
        self.server.server_close()

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def run(self) -> Run:
        """Return what became of it all."""
        server = self.server
        failure = self._failure
        limit = None
        if server.drain_timeout is not None:  # what the machine takes for itself counts, too
            limit = server.drain_timeout + server.cut_timeout + self._patience
        return Run(
            script=self._script,
            clients=self._seen,
            trace=tuple(self.trace),
            timeline=tuple(self._moments),
            counters=server._ledger.counters,
            stuck="\n".join(self._stuck),
            loop_error="" if failure is None else f"{type(failure).__name__}: {failure}",
            still_open=len(server._ledger),
            drain=server.drain_report,
            closing=self._closing,
            closing_limit=limit,
            seconds=time.monotonic() - self._begun,
        )

    def _note(self, actor: str, what: str, detail: str) -> None:
        self._moments.append(Moment(time.monotonic() - self._begun, actor, what, detail))
