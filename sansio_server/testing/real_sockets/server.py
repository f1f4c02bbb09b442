"""A server on real sockets, on loopback, for tests that are written as those in memory are."""

from __future__ import annotations

import importlib
import os
import socket
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final, TypeVar

from sansio_server.drain import DrainReport
from sansio_server.testing.servers.adoption import rebased
from sansio_server.testing.servers.clients import PacketClient, StreamClient
from sansio_server.trace import TraceEvent

from .client_sockets import client_socket
from .replaying import REAL_BACKENDS, RealBackend

__all__ = ["RealServer", "on_backend"]

#: Seconds of real time that anything may take.
PATIENCE: Final = 10.0
_KINDS: Final = ("TCPServer", "UDPServer", "UnixStreamServer", "UnixDatagramServer")

_Self = TypeVar("_Self", bound="RealServer")


class RealServer:
    """What :class:`~.scripted.ScriptedServer` is, on real sockets. Use it in a ``with`` statement.

    Times are those of the machine's clock: there is nothing to advance.

    :param handler: the handler: a class, blocking or asynchronous, or any callable.
    :param server_class: a class of servers, of ``socketserver`` or any backend, or derived from
        one; it is made anew on the classes of *backend*. None for the plain TCP server.
    :param backend: a key of :data:`~.replaying.REAL_BACKENDS`.
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
        if backend not in REAL_BACKENDS:
            raise ValueError(f"backend must be one of {', '.join(REAL_BACKENDS)}, not {backend!r}")
        self._way = REAL_BACKENDS[backend]
        made = on_backend(server_class, self._way)
        for name in attributes:
            if not hasattr(made, name):
                raise TypeError(f"{made.__name__} has no attribute {name!r}")
        self._class: Any = type(made.__name__, (made,), {**self._way.attributes, **attributes})
        self._handler = handler
        self._patience = patience
        self._held = ExitStack()
        self._failure: BaseException | None = None
        self.server: Any = None
        self.trace: list[TraceEvent] = []

    def __enter__(self: _Self) -> _Self:  # noqa: PYI019 - typing.Self came with Python 3.11
        with ExitStack() as held:
            self._folder = held.enter_context(tempfile.TemporaryDirectory(prefix="server-"))
            self.server = self._class(self._any_address(), self._handler)
            self.server.trace = self.trace.append
            self._loop = threading.Thread(target=self._serve, name="loop", daemon=True)
            self._loop.start()
            self._held = held.pop_all()
        self._held.callback(self._close)
        return self

    def _any_address(self) -> Any:
        family = self._class.address_family
        if family == getattr(socket, "AF_UNIX", None):
            return os.path.join(self._folder, "server")
        return ("::1", 0) if family == socket.AF_INET6 else ("127.0.0.1", 0)

    def _serve(self) -> None:
        try:
            if self._way.in_trio:
                import trio  # noqa: PLC0415 - loaded for those who ask for it

                trio.run(self.server.serve_forever)
            else:
                self.server.serve_forever()
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
        sock = client_socket(self._class.address_family, socket.SOCK_STREAM)
        client = StreamClient(sock, self._patience)
        self._held.callback(client.close)
        client.connect(self.server.server_address, timeout)
        return client

    def datagram_client(self) -> PacketClient:
        """Return a new client for a server of datagrams."""
        family = self._class.address_family
        sock = client_socket(family, socket.SOCK_DGRAM)
        self._held.callback(sock.close)
        if family == getattr(socket, "AF_UNIX", None):
            sock.bind(os.path.join(self._folder, f"client {sock.fileno()}"))
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


class _AsItIs:
    """Instead of a mix-in, where requests are served in another way."""


def on_backend(server_class: type | None, way: RealBackend) -> type:
    """Return *server_class* made anew on the classes of a backend, and with its way of serving.

    :param server_class: None for the plain TCP server.
    :raises TypeError: it is no class of servers, or one that the backend does not have.
    :raises ImportError: the backend needs something that is not installed.
    """
    classes = _classes(way)
    made = classes["TCPServer"] if server_class is None else rebased(server_class, classes)
    if not way.mix_in or issubclass(made, classes["ThreadingMixIn"]):
        return made
    return type(made.__name__, (classes["ThreadingMixIn"], made), {})


def _classes(way: RealBackend) -> dict[str, type]:
    """Return the classes of a backend by name, under the names of both mix-ins the way's own."""
    module = importlib.import_module(way.module)
    classes = {name: value for name, value in vars(module).items() if isinstance(value, type)}
    own = {f"{way.mix_in}{kind}": classes.get(f"{way.mix_in}{kind}") for kind in _KINDS}
    mix_in = classes[f"{way.mix_in}MixIn"] if way.mix_in else _AsItIs
    for other in ("Threading", "Forking"):
        classes[f"{other}MixIn"] = mix_in
        for kind in _KINDS:
            found = own[f"{way.mix_in}{kind}"]
            if found is not None:
                classes[f"{other}{kind}"] = found
    return classes
