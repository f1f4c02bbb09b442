"""A server on real sockets, on loopback, for tests that are written as those in memory are."""

from __future__ import annotations

import itertools
import os
import socket
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, Final, TypeVar

from sansio_server.drain import DrainReport
from sansio_server.testing.servers.clients import PacketClient, StreamClient
from sansio_server.testing.servers.variants import any_address, checked_handler, with_attributes
from sansio_server.testing.sockets.base import AF_UNIX
from sansio_server.trace import TraceEvent

from .backends import backend_named, on_backend
from .client_sockets import client_socket

__all__ = ["PATIENCE", "RealServer"]

#: Seconds of real time that anything may take.
PATIENCE: Final = 10.0

_Self = TypeVar("_Self", bound="RealServer")


class RealServer:
    """What :class:`~.scripted.ScriptedServer` is, on real sockets. Use it in a ``with`` statement.

    Times are those of the machine's clock: there is nothing to advance.

    :param handler: the handler: a class, blocking or asynchronous, or any callable.
    :param server_class: a class of servers, of ``socketserver`` or any backend, or derived from
        one; it is derived again from the classes of *backend*. None for the plain TCP server.
    :param backend: a key of :data:`~.backends.REAL_BACKENDS`.
    :param patience: seconds that anything may take, where the test names no time.
    :param attributes: attributes of the server, such as ``max_connections=2``.
    :raises ValueError: there is no such backend.
    :raises TypeError: the class has no such attribute, or cannot be on that backend.
    :raises ImportError: the backend needs something that is not installed.

    :ivar server: the server.
    :ivar trace: what the server's core told in this process.
    """

    def __init__(
        self,
        handler: Callable[..., Any] | None = None,
        server_class: type[Any] | None = None,
        *,
        backend: str = "threads",
        patience: float = PATIENCE,
        **attributes: Any,
    ) -> None:
        self._way = backend_named(backend)
        self.trace: list[TraceEvent] = []
        self._class = self._made(
            on_backend(server_class, self._way),
            {
                **self._way.attributes,
                "trace": staticmethod(self.trace.append),
                **attributes,
            },
        )
        self._handler = checked_handler(handler)
        self._patience = patience
        self._held = ExitStack()
        self._numbers = itertools.count(1)
        self._failure: BaseException | None = None
        self.server: Any = None

    def _made(self, server_class: type, attributes: Mapping[str, Any]) -> type[Any]:
        """Return the class to serve with: one on the backend, with attributes."""
        return with_attributes(server_class, attributes)

    def __enter__(self: _Self) -> _Self:  # noqa: PYI019 - typing.Self came with Python 3.11
        with ExitStack() as held:
            self._folder = held.enter_context(tempfile.TemporaryDirectory(prefix="server-"))
            self.server = self._class(any_address(self._class, self._folder), self._handler)
            self._loop = threading.Thread(target=self._serve, name="loop", daemon=True)
            self._loop.start()
            self._held = held.pop_all()
        self._held.callback(self._close)
        return self

    def _serve(self) -> None:
        try:
            self._way.serve(self.server)
        except BaseException as error:  # noqa: BLE001 - raised again in the test
            self._failure = error

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        self._held.close()
        if error is None and self._failure is not None:
            raise self._failure

    def _close(self) -> None:
        self.shutdown()
        if self.server.drain_timeout is None:
            self.server.drain_timeout = self._patience
        self.server.server_close()

    def connect(self, timeout: float | None = None) -> StreamClient:
        """Return a new client, connected to the server.

        :raises OSError: the server does not listen.
        """
        client = self.new_client()
        client.connect(self.server.server_address, timeout)
        return client

    def new_client(self) -> StreamClient:
        """Return a new client that is not connected."""
        family = self._class.address_family
        sock = client_socket(family, socket.SOCK_STREAM)
        self._held.callback(sock.close)
        if family != AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        return StreamClient(sock, self._patience)

    def datagram_client(self) -> PacketClient:
        """Return a new client for a server of datagrams."""
        family = self._class.address_family
        sock = client_socket(family, socket.SOCK_DGRAM)
        self._held.callback(sock.close)
        if family == AF_UNIX:
            sock.bind(os.path.join(self._folder, f"client {next(self._numbers)}"))
        else:
            sock.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
        return PacketClient(sock, self.server.server_address, self._patience)

    def shutdown(self) -> None:
        """Stop the server's loop, and wait for it.

        :raises TimeoutError: it has not ended in time.
        """
        self.server.shutdown()
        self._loop.join(self._patience)
        if self._loop.is_alive():
            raise TimeoutError(f"the server's loop has not ended in {self._patience:g} s")

    def drain(self, timeout: float | None = None) -> DrainReport:
        """Stop the server's loop, then wait for the requests under way.

        :param timeout: seconds after which those left are cut; None to wait for ever.
        """
        report: DrainReport
        if self._way.in_trio:  # where the drain is part of the loop
            self.server.drain_timeout = timeout
            self.shutdown()
            report = self.server.drain_report
        else:
            self.shutdown()
            report = self.server.drain(timeout)
        return report

    def suspend(self) -> None:
        """Leave new clients in the queue until :meth:`resume`."""
        self.server.suspend()

    def resume(self) -> None:
        """Accept clients again."""
        self.server.resume()
