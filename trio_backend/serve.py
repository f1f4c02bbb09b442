"""The short forms: a server as one task of an application."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from os import PathLike, fspath
from typing import Any

import attrs
import trio

from sansio_server.drain import DrainReport
from sansio_server.limits import Limits

from .arguments import check, given_listeners, is_listener, look_up, named_hosts
from .base import BaseServer
from .carriers import BlockingHandlers
from .listeners import ListenerServer
from .sockets import TCPServer, UDPServer

__all__ = ["DEFAULT_LIMITS", "Service", "serve_listeners", "serve_tcp", "serve_udp"]

#: The limits of the short forms, where those of the classes are the standard library's: 1024 open
#: requests, as in Ranch, and a drain of ten seconds.
DEFAULT_LIMITS = Limits(max_connections=1024, drain_timeout=10.0)


#: How often to look for a port that is free on all addresses.
_ATTEMPTS = 16


@attrs.frozen
class Service:
    """Servers that share their limits, their counters and their end.

    :ivar servers: one for each address.
    """

    servers: tuple[BaseServer, ...]

    @property
    def addresses(self) -> tuple[Any, ...]:
        """Where clients can connect."""
        return tuple(server.server_address for server in self.servers)

    @property
    def server(self) -> BaseServer:
        """The first server: its limits, counters and state are those of all."""
        return self.servers[0]

    def shutdown(self) -> None:
        """Stop accepting, drain, and end; do not wait for it. For any task, thread or signal."""
        self.server.shutdown()

    def suspend(self) -> None:
        """Leave new clients in the listeners' queues until :meth:`resume`."""
        self.server.suspend()

    def resume(self) -> None:
        """Accept clients again."""
        self.server.resume()

    async def wait_drained(self) -> tuple[DrainReport, ...]:
        """Wait until the drain that follows a stop is over; return a report for each server."""
        return tuple([await server.wait_drained() for server in self.servers])


async def serve_tcp(
    handler: Callable[..., Any],
    port: int,
    *,
    host: str | bytes | Sequence[str | bytes] | None = None,
    limits: Limits = DEFAULT_LIMITS,
    blocking_handlers: BlockingHandlers = "threads",
    server_class: type[TCPServer] = TCPServer,
    task_status: trio.TaskStatus[Service] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve TCP until stopped; ``await nursery.start(serve_tcp, …)`` returns a :class:`Service`.

    :param handler: a handler class or any callable, blocking or asynchronous.
    :param port: 0 for any free one, the same on all addresses.
    :param host: a name or address, or several; None for all addresses of the machine. A name is
        looked up without blocking, and each of its addresses served by a listener of its own.
    :param limits: those of all addresses together.
    :param blocking_handlers: where blocking handlers run: "threads" or "greenlets".
    :param server_class: a class of your own, with hooks.
    :raises OSError: an address cannot be bound, or a name has none.
    :raises TypeError: an argument is of another kind.
    :raises ValueError: it has a value that there is none of, a port above 65535 for example.
    """
    check(handler, limits, blocking_handlers, server_class, TCPServer)
    if server_class.socket_type != socket.SOCK_STREAM:
        raise TypeError(f"server_class must be one for streams, not {server_class!r}")
    infos = await look_up(named_hosts(host), port, socket.SOCK_STREAM)
    await _serve_addresses(server_class, handler, infos, limits, blocking_handlers, task_status)


async def serve_udp(
    handler: Callable[..., Any],
    port: int,
    *,
    host: str | bytes | Sequence[str | bytes] | None = None,
    limits: Limits = DEFAULT_LIMITS,
    blocking_handlers: BlockingHandlers = "threads",
    server_class: type[UDPServer] = UDPServer,
    task_status: trio.TaskStatus[Service] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve datagrams until stopped; the arguments are those of :func:`serve_tcp`."""
    check(handler, limits, blocking_handlers, server_class, UDPServer)
    infos = await look_up(named_hosts(host), port, socket.SOCK_DGRAM)
    await _serve_addresses(server_class, handler, infos, limits, blocking_handlers, task_status)


async def serve_listeners(
    handler: Callable[..., Any],
    listeners: Iterable[trio.abc.Listener[Any]],
    *,
    limits: Limits = DEFAULT_LIMITS,
    blocking_handlers: BlockingHandlers = "threads",
    server_class: type[ListenerServer] = ListenerServer,
    task_status: trio.TaskStatus[Service] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve on listeners that the application made; they are closed at the end.

    The other arguments are those of :func:`serve_tcp`.
    """
    given = given_listeners(listeners)
    servers: list[ListenerServer] = []
    try:
        check(handler, limits, blocking_handlers, server_class, ListenerServer)
        for listener in given:
            servers.append(server_class(listener, handler))  # noqa: PERF401 - one may fail
        await _serve_all(servers, limits, blocking_handlers, task_status)
    finally:
        await _close_all([*servers, *filter(is_listener, given[len(servers) :])])


if hasattr(socket, "AF_UNIX"):
    from .sockets import UnixDatagramServer, UnixStreamServer

    async def serve_unix(
        handler: Callable[..., Any],
        path: str | bytes | PathLike[str],
        *,
        limits: Limits = DEFAULT_LIMITS,
        blocking_handlers: BlockingHandlers = "threads",
        server_class: type[UnixStreamServer | UnixDatagramServer] = UnixStreamServer,
        task_status: trio.TaskStatus[Service] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve a Unix socket until stopped, then remove its path.

        :param path: where the socket is to be; or a name of Linux's that begins with NUL.
        :param server_class: ``UnixDatagramServer``, or a class derived from it, for datagrams.

        The other arguments are those of :func:`serve_tcp`.
        """
        check(
            handler, limits, blocking_handlers, server_class, UnixStreamServer, UnixDatagramServer
        )
        name = fspath(path)
        async with server_class(name, handler) as server:
            made = None if name[:1] in ("\0", b"\0") else _identity(name)
            try:
                await _serve_all([server], limits, blocking_handlers, task_status)
            finally:
                # Another server may have put a socket of its own there meanwhile.
                if made is not None and _identity(name) == made:
                    os.unlink(name)

    def _identity(path: str | bytes) -> tuple[int, int] | None:
        """Return what tells the file at *path* from all others; None if there is none."""
        try:
            status = os.lstat(path)
        except OSError:
            return None
        return status.st_dev, status.st_ino

    __all__ += ["serve_unix"]


async def _serve_addresses(
    server_class: type[TCPServer],
    handler: Callable[..., Any],
    infos: list[tuple[int, Any]],
    limits: Limits,
    blocking_handlers: BlockingHandlers,
    task_status: trio.TaskStatus[Service],
) -> None:
    servers = _bind_all(server_class, handler, infos)
    try:
        await _serve_all(servers, limits, blocking_handlers, task_status)
    finally:
        await _close_all(servers)


def _bind_all(
    server_class: type[TCPServer], handler: Callable[..., Any], infos: list[tuple[int, Any]]
) -> list[TCPServer]:
    """Return a server for each address that this machine has."""
    for _ in range(_ATTEMPTS):
        try:
            return _bind_to_one_port(server_class, handler, infos)
        except OSError as error:
            # Somebody else has, on another address, the port that the system chose for the first.
            if error.errno != errno.EADDRINUSE or infos[0][1][1] != 0 or len(infos) == 1:
                raise
    return _bind_to_one_port(server_class, handler, infos)


def _bind_to_one_port(
    server_class: type[TCPServer], handler: Callable[..., Any], infos: list[tuple[int, Any]]
) -> list[TCPServer]:
    servers: list[TCPServer] = []
    missing: OSError | None = None
    try:
        for family, address in infos:
            bound = address
            if servers and address[1] == 0:
                # Port 0 was a wish for any port, not for as many as there are addresses.
                bound = (address[0], servers[0].server_address[1], *address[2:])
            try:
                servers.append(_bound(server_class, handler, family, bound))
            except OSError as error:
                if not _is_missing(address, error):
                    raise
                missing = error
    except BaseException:
        for server in servers:
            server.server_close()
        raise
    if missing is not None and not servers:
        raise missing
    return servers


def _is_missing(address: Any, error: OSError) -> bool:
    """Say whether there is no IPv6, of which resolvers tell all the same."""
    return error.errno == errno.EAFNOSUPPORT or (
        error.errno == errno.EADDRNOTAVAIL and address[0] in ("::", "::1")
    )


def _bound(
    server_class: type[TCPServer], handler: Callable[..., Any], family: int, address: Any
) -> TCPServer:
    class Bound(server_class):  # type: ignore[valid-type, misc]  # a base known at run time only
        address_family = family
        # So that a server can follow another at once. For datagrams it would let several have the
        # same address at the same time, and each lose its datagrams to the next.
        allow_reuse_address = server_class.socket_type == socket.SOCK_STREAM

        def server_bind(self) -> Any:
            if self.address_family == socket.AF_INET6:
                # A listener for each family: one for both shows IPv4 clients in disguise.
                self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            return super().server_bind()

    Bound.__name__, Bound.__qualname__ = server_class.__name__, server_class.__qualname__
    server: TCPServer = Bound(address, handler)
    return server


async def _serve_all(
    servers: Sequence[BaseServer],
    limits: Limits,
    blocking_handlers: BlockingHandlers,
    task_status: trio.TaskStatus[Service],
) -> None:
    if not servers:
        raise ValueError("there is no listener to serve on")
    first = servers[0]
    for server in servers:
        server.blocking_handlers = blocking_handlers
        for field in attrs.fields(Limits):
            setattr(server, field.name, getattr(limits, field.name))
        if server is not first:
            server._share(first)
    async with trio.open_nursery() as nursery:
        for server in servers:
            await nursery.start(server.serve_forever)
        task_status.started(Service(tuple(servers)))


async def _close_all(servers: Sequence[AbstractAsyncContextManager[Any]]) -> None:
    """Close each server and listener, whatever becomes of the others."""
    async with AsyncExitStack() as stack:
        for server in servers:
            await stack.enter_async_context(server)
