"""The hooks that touch a listening socket, and never wait: for every backend that has sockets."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, Final

from sansio_server.hooks import ServerHooks
from sansio_server.ledger import Place, current
from sansio_server.lifecycle import Event

from .observed import observe

__all__ = ["DatagramHooks", "SocketHooks"]

#: The largest backlog: listen(2) reduces it to what the kernel allows. The stdlib's 5 makes
#: clients wait for seconds under a burst.
_LARGEST_BACKLOG: Final = 65535

_DONTWAIT: Final = int(getattr(socket, "MSG_DONTWAIT", 0))
_SHUT_WR: Final = int(socket.SHUT_WR)

#: The part of ``socket.accept`` that is the system call. Not public, so done without where it is
#: not; on systems where a connection inherits the listener's mode there is more to do anyway.
_ACCEPT: Final = (
    getattr(socket.socket, "_accept", None) if sys.platform.startswith("linux") else None
)


class SocketHooks(ServerHooks):
    """The hooks of a server on a stream socket.

    :param server_address: where to bind, in the form that :attr:`address_family` asks for.
    :param RequestHandlerClass: called for each request; see
        :class:`~sansio_server.hooks.ServerHooks`.
    :param bind_and_activate: whether to call ``server_bind()`` and ``server_activate()``; if they
        raise, the server is closed first.
    :raises OSError: the address cannot be bound.
    """

    address_family: int = socket.AF_INET
    socket_type: int = socket.SOCK_STREAM
    #: How many clients the kernel keeps waiting; it reduces this to what it allows.
    request_queue_size: int = _LARGEST_BACKLOG
    allow_reuse_address: bool = False
    allow_reuse_port: bool = False

    def __init__(
        self,
        server_address: Any,
        RequestHandlerClass: Callable[..., Any] | None,
        bind_and_activate: bool = True,
    ) -> None:
        super().__init__(server_address, RequestHandlerClass)
        self.socket = self._new_socket()
        if bind_and_activate:
            try:
                self.server_bind()
                self.server_activate()
            except BaseException:
                self.server_close()
                raise

    def _new_socket(self) -> socket.socket:
        """Return the socket to listen on, not yet bound."""
        return socket.socket(self.address_family, self.socket_type)

    if TYPE_CHECKING:

        def server_close(self) -> Any:
            """Close the server; the backend brings this."""

    def server_bind(self) -> Any:
        """Set the options that the class asks for, and bind :attr:`socket` to the address.

        :raises OSError: the address is in use, is not one of this machine, or has the wrong form.
        :raises TypeError: the address is of the wrong type.
        """
        if self.allow_reuse_address and hasattr(socket, "SO_REUSEADDR"):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Linux takes SO_REUSEPORT for these families only, since 6.12.9 (CPython gh-128916).
        if (
            self.allow_reuse_port
            and hasattr(socket, "SO_REUSEPORT")
            and self.address_family in (socket.AF_INET, socket.AF_INET6)
        ):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            self.socket.bind(self.server_address)
        except (OSError, TypeError, ValueError, OverflowError) as error:
            raise _with_address(error, self.server_address) from None
        self.server_address = self.socket.getsockname()
        self._happened(Event.BIND)

    def server_activate(self) -> Any:
        """Let clients connect.

        :raises OSError: the socket cannot listen.
        """
        self.socket.listen(self.request_queue_size)
        self._happened(Event.ACTIVATE)

    def fileno(self) -> int:
        """Return the listening socket's descriptor; -1 when it is closed."""
        return self.socket.fileno()

    def get_request(self) -> Any:
        """Accept a client; return its socket and address.

        :raises OSError: no client is there, or the connection failed.
        """
        listener = self.socket
        if type(listener) is socket.socket and _ACCEPT is not None:
            # What accept() does, but for asking the listener for its family, kind and protocol as
            # enums: that costs as much as the system call.
            known, family, kind, protocol = self._listener_kind
            if known is not listener:
                _, family, kind, protocol = self._kind_of(listener)
            descriptor, client_address = _ACCEPT(listener)
            return socket.socket(family, kind, protocol, descriptor), client_address
        request, client_address = listener.accept()
        if not sys.platform.startswith("linux"):
            # Elsewhere a socket inherits the listener's mode; see make_nonblocking.
            request.settimeout(socket.getdefaulttimeout())
        return request, client_address

    def shutdown_request(self, request: Any) -> Any:
        """Tell the client that no more will come, and close *request*."""
        try:
            request.shutdown(_SHUT_WR)
        except OSError:
            pass  # the client has gone already
        finally:  # even if Ctrl-C comes in between
            result = self.close_request(request)
        return result

    def close_request(self, request: Any) -> Any:
        """Close *request*; its place becomes free."""
        place = current.get()
        try:
            if place is None or place.request is not request:
                place = self._ledger.find_exactly(self._request_key(request))
        finally:
            request.close()
        if place is not None:
            self._release(place)

    def _request_key(self, request: Any) -> Hashable:
        """Return the descriptor of *request*: TLS around it has the same, no other open one has."""
        try:
            descriptor = request.fileno()
        except (AttributeError, OSError, ValueError):
            return id(request)
        return descriptor if type(descriptor) is int and descriptor >= 0 else id(request)

    # What serve loops need.

    def _kind_of(self, listener: socket.socket) -> tuple[Any, int, int, int]:
        """Return *listener* with its family, kind and protocol as plain numbers."""
        kind = (listener, int(listener.family), int(listener.type), int(listener.proto))
        self._listener_kind = kind
        return kind

    _listener_kind: tuple[Any, int, int, int] = (None, 0, 0, 0)

    def _make_nonblocking(self) -> None:
        """Make accepting never block, whatever ``gettimeout`` shows.

        Whoever shares the listener (siblings that were forked, threads with loops of their own) may
        be faster after a wake-up. The descriptor alone is put into non-blocking mode: the socket's
        timeout is the program's, which may read and set it.
        """
        if not self._listener_is_dead():  # an override may serve a socket of another kind
            with suppress(OSError):  # it was closed just now, which ends the loop
                os.set_blocking(self.fileno(), False)

    def _gets_requests_itself(self) -> bool:
        """Say whether ``get_request`` is known not to wait, since no override stands in for it."""
        body = getattr(self.get_request, "__func__", None)
        return body in (SocketHooks.get_request, DatagramHooks.get_request)

    def _listener_is_dead(self) -> bool:
        try:
            return not self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        except OSError:
            return True

    def _close_listener(self) -> None:
        self.socket.close()

    def _interrupt(self, request: Any) -> None:
        """Wake whoever waits for *request*."""
        # Not the method of the request itself, which in a TLS socket drops the encryption first.
        if isinstance(request, socket.socket):
            with suppress(OSError):  # it has gone already
                socket.socket.shutdown(request, socket.SHUT_RDWR)

    def _end_input(self, request: Any) -> None:
        """Let reading from *request* come to its end, from outside."""
        if isinstance(request, socket.socket):
            with suppress(OSError):  # it has gone already
                socket.socket.shutdown(request, socket.SHUT_RD)

    def _observed(self, request: Any) -> Any:
        return observe(self, request)

    def _is_gone(self, place: Place) -> bool:
        """Say whether the request of *place* is known to be closed."""
        if type(place.key) is not int:
            return False
        try:
            os.fstat(place.key)
        except OSError:
            return True
        return False


def _with_address(error: Exception, address: Any) -> Exception:
    """Return *error* with a message that says which address it means; the system's does not."""
    where = f"cannot bind to {address!r}"
    if isinstance(error, OSError) and error.errno is not None:
        return type(error)(error.errno, f"{error.strerror}: {where}")
    if isinstance(error, UnicodeError):
        return UnicodeError(f"{error}: {where}")  # its subclasses take no message
    return type(error)(f"{error}: {where}")


class DatagramHooks(SocketHooks):
    """The hooks of a server on a datagram socket.

    A request is a pair of the data and the server's own socket, by which a handler replies.
    """

    socket_type: int = socket.SOCK_DGRAM
    allow_reuse_port: bool = False
    #: The most bytes of a datagram; the rest of a longer one is lost.
    max_packet_size: int = 8192

    _replies_by_listener: ClassVar[bool] = True
    _receive_flags: int = 0

    def server_activate(self) -> Any:
        """Nothing is to be done for datagrams."""
        self._happened(Event.ACTIVATE)

    def get_request(self) -> Any:
        """Receive a datagram; return it with the server's socket, and the sender's address.

        :raises OSError: nothing is there, or receiving failed.
        """
        data, client_address = self.socket.recvfrom(self.max_packet_size, self._receive_flags)
        return (data, self.socket), client_address

    def shutdown_request(self, request: Any) -> Any:
        """Let go of *request*; there is no connection to end."""
        return self.close_request(request)

    def close_request(self, request: Any) -> Any:
        """Let go of *request*; the socket is the server's."""
        place = current.get()
        if place is None or place.request is not request:
            place = self._ledger.find_exactly(self._request_key(request))
        if place is not None:
            self._release(place)

    def _async_request(self, request: Any) -> Any:
        """Return *request* as an asynchronous handler sees it, with the socket as it sees one."""
        data, sock = request
        return data, super()._async_request(sock)

    def _request_key(self, request: Any) -> Hashable:
        """Return what tells the pair from all others that are alive."""
        return id(request)

    def _make_nonblocking(self) -> None:
        # Handlers share the socket, which must go on blocking for them.
        self._receive_flags = _DONTWAIT

    def _listener_is_dead(self) -> bool:
        return self.fileno() < 0

    def _interrupt(self, request: Any) -> None:
        """Nobody waits for a datagram that has come."""

    def _is_gone(self, place: Place) -> bool:
        return False
