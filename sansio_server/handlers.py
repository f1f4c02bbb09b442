"""Request handlers: what programs subclass to say what a server does.

A handler is *blocking* (``def handle(self)``), and then its constructor does the whole work, or
*asynchronous* (``async def handle(self)``), and then its constructor only takes its arguments, and
the driver runs the rest. Which of the two is read once, when the class is made.
"""

from __future__ import annotations

import functools
import inspect
import io
from collections.abc import Callable, Coroutine
from contextlib import suppress
from socket import IPPROTO_TCP, TCP_NODELAY
from typing import TYPE_CHECKING, Any, ClassVar

from .deferred import Deferred, drop_deferred, is_awaitable, settle_deferred, settled, waiting
from .streams import open_files

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = [
    "BaseRequestHandler",
    "DatagramRequestHandler",
    "StreamRequestHandler",
    "is_asynchronous",
]


def is_asynchronous(handler: Callable[..., Any]) -> bool:
    """Say whether *handler*, a class or any callable, is to be awaited.

    Partials are unwrapped; callables that show nothing count as blocking.
    """
    if isinstance(handler, type):
        return bool(getattr(handler, "_runs_async", False))
    handler = unwrapped(handler)
    if isinstance(handler, type):
        return bool(getattr(handler, "_runs_async", False))
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(
        getattr(handler, "__call__", None)  # noqa: B004 - the method is wanted, not the test
    )


def unwrapped(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Return what *handler* calls in the end, if it is a partial."""
    while isinstance(handler, functools.partial):
        handler = handler.func
    return handler


class BaseRequestHandler:
    """The life of one request: ``setup()``, ``handle()``, ``finish()``.

    ``finish()`` is called if and only if ``setup()`` succeeded, whatever ``handle()`` does. Any of
    the three may be ``async def``; then the handler is asynchronous.

    :param request: what ``get_request()`` returned: a socket, or for datagrams a pair of the data
        and the server's socket.
    :param client_address: the address of the client.
    :param server: the server.
    """

    #: Set this to say whether the handler is asynchronous; None means that it is if any of its
    #: three methods is.
    asynchronous: ClassVar[bool | None] = None
    _runs_async: ClassVar[bool] = False

    request: Any
    client_address: Any
    server: Any

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.asynchronous is not None:
            cls._runs_async = cls.asynchronous
        else:
            cls._runs_async = any(
                inspect.iscoroutinefunction(getattr(cls, name))
                for name in ("setup", "handle", "finish")
            )

    def __init__(self, request: Any, client_address: Any, server: Any) -> None:
        self.request = request
        self.client_address = client_address
        self.server = server
        if self._runs_async:
            adapt = getattr(server, "_async_request", None)
            if adapt is not None:
                self.request = adapt(request)
            Deferred(self._run())
            return
        result = self.setup()
        if result is not None:
            self._drop("setup", result)
        try:
            result = self.handle()
            if result is not None:
                self._drop("handle", result)
        finally:
            result = self.finish()
            if result is not None:
                self._drop("finish", result)

    def _drop(self, name: str, result: object) -> None:
        """Drop what a method of a blocking handler returned.

        :raises TypeError: it is to be awaited, and here is nobody who could.
        """
        if is_awaitable(result) and not isinstance(result, Deferred):
            if isinstance(result, Coroutine):
                result.close()
            raise TypeError(
                f"{type(self).__qualname__}.{name}() is to be awaited, but the class does not show "
                "that it is asynchronous: define it with async def, or set asynchronous = True"
            )

    async def _run(self) -> None:
        result = self.setup()
        if result is not None or waiting.get() is not None:
            await settled(result)
        try:
            # Not by settled(): while a client is waited for, there would be a frame more.
            result = self.handle()
            if is_awaitable(result):
                await result
            if waiting.get() is not None:
                await settle_deferred()
        except BaseException:
            drop_deferred()
            raise
        finally:
            result = self.finish()
            if result is not None or waiting.get() is not None:
                await settled(result)

    # The three return Any so that overrides may be coroutine functions.

    def setup(self) -> Any:
        """Prepare; called first. If this raises, nothing else of the handler is called."""

    def handle(self) -> Any:
        """Serve the request; this is what to override."""

    def finish(self) -> Any:
        """Clean up; called after ``handle()``, even if that raised."""


class StreamRequestHandler(BaseRequestHandler):
    """A handler for stream sockets, with :attr:`rfile` to read from and :attr:`wfile` to write to.

    In a blocking handler the two are what ``makefile`` of the socket makes; in an asynchronous one
    an :class:`~sansio_server.streams.AsyncReader` and an
    :class:`~sansio_server.streams.AsyncWriter`.
    """

    #: The buffer of ``rfile`` in bytes; 0 for none, -1 for the default size.
    rbufsize: int = -1
    #: The buffer of ``wfile`` in bytes; 0 for none: what is written is sent at once and whole.
    wbufsize: int = 0
    #: Seconds after which an operation on the connection fails with TimeoutError; None for never.
    timeout: float | None = None
    #: Whether to send small packets at once, without Nagle's algorithm (RFC 896). TCP only.
    disable_nagle_algorithm: bool = False
    #: Whether a stop of the server ends ``rfile``, once what has come is read, as if the client
    #: sent no more: the handler can say goodbye.
    stop_ends_input: bool = False

    connection: Any
    rfile: Any
    wfile: Any

    def setup(self) -> Any:
        """Apply :attr:`timeout` and :attr:`disable_nagle_algorithm`; open the two files.

        :raises OSError: the connection does not take an option, as TCP_NODELAY on a Unix socket.
        """
        self.connection = connection = self.request
        if self.timeout is not None:
            connection.settimeout(self.timeout)
        if self.disable_nagle_algorithm:
            connection.setsockopt(IPPROTO_TCP, TCP_NODELAY, True)
        if self._runs_async:
            self.rfile, self.wfile = open_files(connection, self.wbufsize)
        else:
            self.rfile = connection.makefile("rb", self.rbufsize)
            if self.wbufsize == 0:
                self.wfile = _SocketWriter(connection)
            else:
                self.wfile = connection.makefile("wb", self.wbufsize)
        if self.stop_ends_input:
            self.server.end_input_at_stop(connection)

    def finish(self) -> Any:
        """Flush and close the two files; the connection is the server's to close."""
        if self._runs_async:
            unsent = getattr(self.wfile, "unsent", None)
            if unsent is None or unsent():
                return Deferred(self._finish())
            self.rfile.close()
            return None
        try:
            try:
                if not self.wfile.closed:
                    self.wfile.flush()
            except OSError:
                pass  # the client is gone; nobody is left to be told
            finally:
                self.wfile.close()
        finally:
            self.rfile.close()  # or the connection stays open until this is collected
        return None

    async def _finish(self) -> None:
        with suppress(OSError):  # as above
            await self.wfile.flush()
        self.rfile.close()


class DatagramRequestHandler(BaseRequestHandler):
    """A handler for datagrams: :attr:`rfile` holds the packet, :attr:`wfile` takes the reply.

    The reply is sent by ``finish()``, even an empty one; to a client without a name, as an unbound
    Unix datagram socket is, nothing is sent (CPython gh-152024).
    """

    packet: bytes
    socket: Any
    rfile: Any
    wfile: Any

    def setup(self) -> Any:
        """Take the packet and the socket from the request."""
        self.packet, self.socket = self.request
        self.rfile = io.BytesIO(self.packet)
        self.wfile = io.BytesIO()

    def finish(self) -> Any:
        """Send the reply, if the client can be named."""
        if not self.client_address:
            return None
        # A socket of a backend that has a way without a wait, where the handler ends anyway.
        send = getattr(self.socket, "send_reply", None) or self.socket.sendto
        sent = send(self.wfile.getvalue(), self.client_address)
        return None if type(sent) is int or not is_awaitable(sent) else Deferred(sent)


class _SocketWriter(io.BufferedIOBase):
    """An unbuffered file over a socket: each write is sent at once and whole."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        """Send *data*; return how many bytes that is."""
        self._connection.sendall(data)
        if isinstance(data, bytes):
            return len(data)
        with memoryview(data) as view:
            return view.nbytes

    def fileno(self) -> int:
        return int(self._connection.fileno())
