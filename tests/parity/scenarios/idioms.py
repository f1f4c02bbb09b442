"""What programs do that the documentation does not mention, and that works."""

from __future__ import annotations

import os
import socket
import ssl
from typing import Any

from tests.parity.instrument import INLINE, NO_FORKS, STREAMS
from tests.parity.recorder import PATIENCE
from tests.parity.scenario import EchoLine, HandlerOverride, Scenario, ServerOverride
from tests.parity.scenarios.handlers import Fails
from tests.parity.steps import (
    END,
    ORDINARY,
    PREPARED,
    Call,
    Close,
    Connect,
    Do,
    HandleRequest,
    ReadLine,
    ReadToEnd,
    Script,
    Send,
    Serve,
    WaitFor,
    WaitForLoop,
)

TCP = ("TCPServer",)


class SkipsTheConstructor(ServerOverride):
    """Calls the constructor of the base of its base, and does by hand what lies between."""

    def __init__(self, server_address: Any, handler: Any) -> None:
        base_server(self).__init__(self, server_address, handler)
        self.socket = socket.socket(self.address_family, self.socket_type)
        self.server_bind()
        self.server_activate()


class CallsTheBaseByName(ServerOverride):
    """Serves in place, by the method that all servers have from the base of them all."""

    def process_request(self, request: Any, client_address: Any) -> None:
        base_server(self).process_request(self, request, client_address)


class ServesItsOwnSocket(ServerOverride):
    """Is connected instead of bound, and has its own socket for its only request."""

    def server_bind(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.peer = socket.create_connection(listener.getsockname(), timeout=PATIENCE)
            accepted, self.server_address = listener.accept()
        self.socket.close()
        self.socket = accepted

    def server_activate(self) -> None:
        pass

    def get_request(self) -> Any:
        return self.socket, ("the peer", 1)

    def server_close(self) -> None:
        self.peer.close()
        super().server_close()


class HasStrangeAddresses(ServerOverride):
    """Says where clients are in a form of its own, which cannot be hashed."""

    def get_request(self) -> Any:
        request, client_address = super().get_request()
        return [request, {"client": client_address}]


class ClosesInTheHandler(EchoLine):
    """Ends the request by the server's hook before the server does."""

    def handle(self) -> None:
        super().handle()
        self.wfile.flush()
        self.server.shutdown_request(self.request)


class ClosesTheServer(EchoLine):
    """Closes the server that it is served by."""

    def handle(self) -> None:
        super().handle()
        try:
            self.server.server_close()
        except RuntimeError as error:
            self.server.note(f"server_close raises {error}")
        self.server.note("closed")


class WrapsInTls(ServerOverride):
    """Answers each client over TLS, with a handshake where the request is served."""

    def finish_request(self, request: Any, client_address: Any) -> None:
        with tls_server().wrap_socket(request, server_side=True) as wrapped:
            super().finish_request(wrapped, client_address)


class AcceptsTls(ServerOverride):
    """Has each client's handshake done before it is served."""

    def get_request(self) -> Any:
        request, client_address = super().get_request()
        return tls_server().wrap_socket(request, server_side=True), client_address


class TellsThatItBlocks(EchoLine):
    """Records whether a read would wait for data that is still to come."""

    def handle(self) -> None:
        self.server.note(f"blocking {os.get_blocking(self.request.fileno())}")
        super().handle()


class TellsThatItIsTls(HandlerOverride):
    """Echoes a line, and records what it came through."""

    def handle(self) -> None:
        self.server.note(f"{type(self.request).__name__} {self.request.version()}")
        self.wfile.write(self.rfile.readline().upper())


class RecordsTheRequest(HandlerOverride):
    """Records what it was given."""

    def handle(self) -> None:
        self.server.note(f"{self.request!r} from {self.client_address!r}")


def base_server(server: Any) -> Any:
    """Return the base of all servers in the module that *server* is from."""
    return next(cls for cls in type(server).__mro__ if cls.__name__ == "BaseServer")


def tls_server() -> ssl.SSLContext:
    """Return the server's side of TLS without certificates, which only tests may use."""
    return _anonymous(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))


def tls_client() -> ssl.SSLContext:
    """Return the client's side of the same."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return _anonymous(context)


def _anonymous(context: ssl.SSLContext) -> ssl.SSLContext:
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("aNULL:@SECLEVEL=0")
    return context


def wrap_the_listener(server: Any) -> None:
    """Have the listener do the handshakes when it accepts."""
    server.socket = tls_server().wrap_socket(server.socket, server_side=True)


def set_hooks(server: Any) -> None:
    """Override hooks on the server itself, not in a class."""
    for name in (
        *("get_request", "verify_request", "process_request", "finish_request"),
        *("shutdown_request", "close_request", "handle_error"),
    ):
        setattr(server, name, _noting(server, name, getattr(server, name)))


def _noting(server: Any, name: str, hook: Any) -> Any:
    def noting(*args: Any) -> Any:
        server.note(f"the server's own {name}")
        return hook(*args)

    return noting


def send_a_line(server: Any) -> None:
    """Send what the server is to answer."""
    server.peer.sendall(b"hello\n")


def read_the_reply(server: Any) -> None:
    """Record the answer."""
    server.note(f"the peer reads {server.peer.recv(100)!r}")


def write_to_the_pipe(server: Any) -> None:
    """Make a request of a server that is no socket's."""
    os.write(server.writing, b"hello")


OWN_SOCKET: Script = (Do(send_a_line), HandleRequest(), Do(read_the_reply), Close())
# Not END: a handshake that fails is no request that was taken.
ENDED: Script = (Call("shutdown"), WaitForLoop(), Close())
HELLO_BY_TLS: Script = (Connect("b", tls=tls_client), Send("b"), ReadLine("b"), ReadToEnd("b"))
OVER_TLS: Script = (Serve(), *HELLO_BY_TLS, *END)
OVER_NONE: Script = (Serve(), Connect("a"), Send("a"), ReadToEnd("a"), *HELLO_BY_TLS, *ENDED)
FROM_A_PIPE: Script = (Serve(), Do(write_to_the_pipe), WaitFor("leave finish_request: None"), *END)

BY_HAND = (
    Scenario("the constructor skipped", ORDINARY, server=SkipsTheConstructor),
    Scenario("the base called by name", PREPARED, server=CallsTheBaseByName),
    Scenario("the base called by name, fails", PREPARED, server=CallsTheBaseByName, handler=Fails),
    Scenario("hooks set on the server", (Do(set_hooks), *ORDINARY)),
    Scenario("hooks set on the server, fails", (Do(set_hooks), *PREPARED), handler=Fails),
    Scenario("shutdown_request called by the handler", PREPARED, handler=ClosesInTheHandler),
    Scenario("strange addresses", PREPARED, server=HasStrangeAddresses, kinds=STREAMS),
    Scenario(
        "server_close called by the handler",
        ORDINARY,
        handler=ClosesTheServer,
        kinds=STREAMS,
        ways=NO_FORKS,
        recorded=False,
    ),
)

OTHER_REQUESTS = (
    Scenario(
        "its own socket served",
        OWN_SOCKET,
        server=ServesItsOwnSocket,
        handler=TellsThatItBlocks,
        kinds=TCP,
        ways=INLINE,
    ),
    Scenario(
        "requests from a pipe",
        FROM_A_PIPE,
        handler=RecordsTheRequest,
        handler_base="base",
        kinds=("BaseServer",),
    ),
)

TLS = (
    Scenario(
        "TLS around the listener",
        (Do(wrap_the_listener), *OVER_TLS),
        handler=TellsThatItIsTls,
        kinds=TCP,
    ),
    Scenario(
        "TLS around the listener, and a client without it",
        (Do(wrap_the_listener), *OVER_NONE),
        handler=TellsThatItIsTls,
        kinds=TCP,
    ),
    Scenario(
        "TLS in get_request", OVER_TLS, server=AcceptsTls, handler=TellsThatItIsTls, kinds=TCP
    ),
    Scenario(
        "TLS in finish_request", OVER_TLS, server=WrapsInTls, handler=TellsThatItIsTls, kinds=TCP
    ),
)

SCENARIOS = (*BY_HAND, *OTHER_REQUESTS, *TLS)
