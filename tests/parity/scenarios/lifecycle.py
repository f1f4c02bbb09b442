"""Servers from construction to end, apart from requests: attributes, options, what may fail."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import sys
from pathlib import Path
from typing import Any

from tests.parity.instrument import INET, INLINE, STREAMS, UNIX
from tests.parity.scenario import Scenario, ServerOverride, both, raising
from tests.parity.scenarios.faults import ERRORS, EXCEPTIONS, kinds_for
from tests.parity.steps import END, ORDINARY, Call, Close, Connect, Do, Script, Send, Serve, Set

# Of struct tcp_info: where Linux puts the longest queue of a socket that listens (linux/tcp.h).
_TCPI_SACKED = 28


def describe_server(server: Any) -> None:
    """Record what a program can ask a server and its socket."""
    listener, note = server.socket, server.note
    note(f"{listener.family.name} {listener.type.name} timeout {listener.gettimeout()}")
    note(f"inheritable {listener.get_inheritable()}")
    note(f"address is the socket's: {server.server_address == listener.getsockname()}")
    note(f"fileno is the socket's: {server.fileno() == listener.fileno()}")
    for option in ("SO_REUSEADDR", "SO_REUSEPORT", "SO_ACCEPTCONN", "SO_KEEPALIVE", "SO_BROADCAST"):
        value = listener.getsockopt(socket.SOL_SOCKET, getattr(socket, option))
        note(f"{option} {bool(value)}")


def describe_backlog(server: Any) -> None:
    """Record how many clients may wait to be accepted, as the kernel has it."""
    information = server.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 128)
    (backlog,) = struct.unpack_from("I", information, _TCPI_SACKED)
    most = int(Path("/proc/sys/net/core/somaxconn").read_text())
    server.note(f"backlog {'the most there can be' if backlog == most else backlog}")


def describe_end(server: Any) -> None:
    """Record what is left of a server that is closed."""
    server.note(f"fileno {server.fileno()} socket {server.socket.fileno()}")


def look_with_a_selector(server: Any) -> None:
    """Have a selector say that a client is there."""
    with selectors.DefaultSelector() as selector:
        selector.register(server, selectors.EVENT_READ)
        ready = selector.select(10)
        server.note(f"selected {[key.fileobj is server for key, _ in ready]}")


def swap_the_socket(server: Any) -> None:
    """Give the server a socket that somebody else made, as one does with inherited descriptors."""
    with server.socket:
        own = socket.socket(server.address_family, server.socket_type)
        own.bind(server.server_address)
    if server.socket_type == socket.SOCK_STREAM:
        own.listen()
    server.socket = own
    server.server_address = own.getsockname()


def replace_the_handler(server: Any) -> None:
    """Have requests be handled by another class from now on."""
    handler = server.RequestHandlerClass
    server.RequestHandlerClass = lambda *args: (server.note("another"), handler(*args))


class SetsOptions(ServerOverride):
    """Sets socket options before the socket is bound."""

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        super().server_bind()
        self.server_name = "set after bind"


class BindsByItself(ServerOverride):
    """Binds, listens and closes without the base's help."""

    def server_bind(self) -> None:
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def server_activate(self) -> None:
        if self.socket_type == socket.SOCK_STREAM:
            self.socket.listen(3)

    def server_close(self) -> None:
        self.socket.close()


class SecondListener(ServerOverride):
    """Serves a listener of its own, which it alone knows how to accept from."""

    def server_activate(self) -> None:
        super().server_activate()
        self.second = self.socket.dup()
        super().server_close()

    def fileno(self) -> int:
        return self.second.fileno()

    def get_request(self) -> Any:
        return self.second.accept()

    def server_close(self) -> None:
        super().server_close()
        self.second.close()


class WithConstructor(ServerOverride):
    """Has a constructor of its own, as most servers have."""

    def __init__(self, server_address: Any, handler: Any, *, greeting: str) -> None:
        self.greeting = greeting
        super().__init__(server_address, handler)
        self.note(f"{greeting} {vars(self).keys() >= {'server_address', 'RequestHandlerClass'}}")


def has_ipv6() -> bool:
    """Say whether the loopback interface has an IPv6 address."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return True
    return False


DESCRIBED: Script = (Do(describe_server), Close(), Do(describe_end))
BY_HAND: Script = (
    Set("allow_reuse_address", True),
    Call("server_bind"),
    Call("server_activate"),
    Do(describe_server),
    *ORDINARY,
)
IN_CONTEXT: Script = (
    Call("__enter__"),
    *ORDINARY[:-1],
    Call("__exit__", (None, None, None)),
    Do(describe_end),
)
SELECTED: Script = (Connect("a"), Send("a"), Do(look_with_a_selector), Serve(), *END)
BACKLOG: Script = (Do(describe_backlog), Close())

UNBOUND = {"bind_and_activate": False}

CONSTRUCTED = (
    Scenario("described", DESCRIBED),
    Scenario("allow_reuse_address", DESCRIBED, attributes={"allow_reuse_address": True}),
    Scenario("allow_reuse_port", DESCRIBED, attributes={"allow_reuse_port": True}),
    Scenario("options set in server_bind", DESCRIBED, server=SetsOptions),
    Scenario(
        "a constructor of its own",
        ORDINARY,
        server=WithConstructor,
        arguments={"greeting": "hello"},
    ),
    Scenario("bind_and_activate=True", ORDINARY, arguments={"bind_and_activate": True}),
    Scenario("bind_and_activate=False", BY_HAND, arguments=UNBOUND),
    Scenario("never bound", (Close(), Do(describe_end)), arguments=UNBOUND),
    Scenario("a socket swapped in", (Do(swap_the_socket), *ORDINARY), arguments=UNBOUND),
    Scenario("hooks that do without the base", ORDINARY, server=BindsByItself),
    Scenario("fileno and get_request overridden", ORDINARY, server=SecondListener, kinds=STREAMS),
    Scenario("a server in a selector", SELECTED),
    Scenario("the handler replaced", (Do(replace_the_handler), *ORDINARY)),
    Scenario("a context manager", IN_CONTEXT),
    Scenario("closed twice", (*ORDINARY, Call("server_close"))),
)

LINUX_ONLY = (
    Scenario("the default backlog", BACKLOG, kinds=("TCPServer",)),
    Scenario(
        "a backlog of the class",
        BACKLOG,
        kinds=("TCPServer",),
        attributes={"request_queue_size": 7},
    ),
)

IPV6 = Scenario(
    "IPv6",
    (Do(describe_server), *ORDINARY),
    kinds=INET,
    address=("::1", 0),
    attributes={"address_family": socket.AF_INET6},
)

FAILING = (
    *(
        Scenario(
            f"{hook} raises {name}{' afterwards' * after}",
            (),
            server=raising(hook, ERRORS[name], after=after),
            kinds=kinds_for(name),
        )
        for hook in ("server_bind", "server_activate")
        for name in EXCEPTIONS
        for after in (False, True)
    ),
    Scenario(
        "server_bind and server_close raise",
        (),
        server=both(
            raising("server_bind", ValueError), raising("server_close", LookupError, after=True)
        ),
    ),
    Scenario(
        "server_close raises", ORDINARY, server=raising("server_close", ValueError, after=True)
    ),
)

NO_ADDRESS = ("nowhere", 7, ("127.0.0.1",), ("127.0.0.1", -1), ("127.0.0.1", 70000), ("::1", 0))
NO_PATH = (7, ("127.0.0.1", 0), "/", "/does/not/exist", "/" + "x" * 200)

ADDRESSES = (
    *(Scenario(f"address {no!r}", (), address=no, kinds=INET, ways=INLINE) for no in NO_ADDRESS),
    *(Scenario(f"path {str(no)[:20]}", (), address=no, kinds=UNIX, ways=INLINE) for no in NO_PATH),
)

SCENARIOS = (
    *CONSTRUCTED,
    *(LINUX_ONLY if sys.platform == "linux" else ()),
    *((IPV6,) if has_ipv6() else ()),
    *FAILING,
    *ADDRESSES,
)
