from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import sync_backend
from sync_backend import (
    BaseRequestHandler,
    TCPServer,
    UDPServer,
    UnixDatagramServer,
    UnixStreamServer,
    socket_hooks,
)
from tests.sync_backend.support import HERE, connect, descriptors, name_of, reset

linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="how Linux does it")


@pytest.fixture
def server() -> Iterator[TCPServer]:
    with TCPServer(HERE, BaseRequestHandler) as server:
        yield server


# Binding.


def test_the_address_is_where_the_server_is_bound(server: TCPServer) -> None:
    host, port = server.server_address
    assert (host, port) == server.socket.getsockname()
    assert port > 0


def test_nothing_is_bound_unless_asked_for() -> None:
    with TCPServer(HERE, BaseRequestHandler, bind_and_activate=False) as server:
        assert server.socket.getsockname() == ("0.0.0.0", 0)
        server.server_bind()
        server.server_activate()
        connect(server).close()


def test_an_ipv6_server_is_a_matter_of_a_class_attribute() -> None:
    class Server(TCPServer):
        address_family = socket.AF_INET6

    with Server(("::1", 0), BaseRequestHandler) as server:
        assert server.server_address[0] == "::1"


def test_a_unix_server_leaves_its_path_behind(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with UnixStreamServer(path, BaseRequestHandler) as server:
        assert server.server_address == path
        connect(server).close()
    with pytest.raises(OSError, match="in use") as caught:
        UnixStreamServer(path, BaseRequestHandler)
    assert caught.value.errno == errno.EADDRINUSE
    assert path in str(caught.value)


@linux_only
def test_an_abstract_name_comes_back_as_bytes() -> None:
    name = f"\0test-socket-hooks-{os.getpid()}"
    with UnixDatagramServer(name, BaseRequestHandler) as server:
        assert server.server_address == name.encode()


def option(server: TCPServer, name: int) -> bool:
    return bool(server.socket.getsockopt(socket.SOL_SOCKET, name))


@pytest.mark.parametrize("kind", [TCPServer, UDPServer])
@pytest.mark.parametrize("wanted", [False, True])
def test_options_are_set_as_the_class_asks(kind: type[TCPServer], wanted: bool) -> None:
    class Server(kind):  # type: ignore[misc,valid-type]
        allow_reuse_address = wanted
        allow_reuse_port = wanted

    with Server(HERE, BaseRequestHandler) as server:
        assert option(server, socket.SO_REUSEADDR) is wanted
        assert option(server, socket.SO_REUSEPORT) is wanted


@pytest.mark.parametrize("kind", [UnixStreamServer, UnixDatagramServer])
def test_the_port_of_a_unix_socket_is_not_reused(kind: type[TCPServer], tmp_path: Path) -> None:
    # Linux refuses the option there from 6.12.9 on.
    class Server(kind):  # type: ignore[misc,valid-type]
        allow_reuse_port = True

    with Server(str(tmp_path / "socket"), BaseRequestHandler) as server:
        assert not option(server, socket.SO_REUSEPORT)


def backlog(server: TCPServer) -> int:
    """How many clients may wait; the kernel tells of a listening socket in tcpi_sacked."""
    info = server.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 32)
    return int(struct.unpack_from("I", info, 28)[0])


@linux_only
def test_as_many_clients_may_wait_as_the_kernel_allows(server: TCPServer) -> None:
    assert backlog(server) == int(Path("/proc/sys/net/core/somaxconn").read_text())


@linux_only
def test_fewer_clients_wait_if_the_class_says_so() -> None:
    class Server(TCPServer):
        request_queue_size = 5

    with Server(HERE, BaseRequestHandler) as server:
        assert backlog(server) == 5


# What cannot be bound.

TOO_LONG = "/" + "x" * 200


@pytest.mark.parametrize(
    ("kind", "address", "error"),
    [
        (TCPServer, None, TypeError),
        (TCPServer, "127.0.0.1", TypeError),
        (TCPServer, ("127.0.0.1",), TypeError),
        (TCPServer, ("127.0.0.1", "80"), TypeError),
        (TCPServer, (None, 0), TypeError),
        (TCPServer, ("127.0.0.1", 99999), OverflowError),
        (TCPServer, ("::1", 0), socket.gaierror),
        (TCPServer, ("203.0.113.7", 0), OSError),  # for documentation only (RFC 5737): not ours
        (UDPServer, ("203.0.113.7", 0), OSError),
        (UDPServer, None, TypeError),
        (UnixStreamServer, None, TypeError),
        (UnixStreamServer, ("127.0.0.1", 0), TypeError),
        (UnixStreamServer, TOO_LONG, OSError),
        (UnixStreamServer, "/no/such/folder/socket", FileNotFoundError),
        (UnixStreamServer, "\ud800", UnicodeError),
        (UnixDatagramServer, TOO_LONG, OSError),
    ],
    ids=name_of,
)
def test_a_bad_address_is_named_and_nothing_left_open(
    kind: type[TCPServer], address: Any, error: type[Exception]
) -> None:
    before = descriptors()
    with pytest.raises(error) as caught:
        kind(address, BaseRequestHandler)
    assert str(caught.value).endswith(f"cannot bind to {address!r}")
    assert descriptors() == before


@pytest.mark.parametrize("kind", [TCPServer, UDPServer])
def test_an_address_in_use_is_named(kind: type[TCPServer]) -> None:
    with kind(HERE, BaseRequestHandler) as server:
        with pytest.raises(OSError, match="in use") as caught:
            kind(server.server_address, BaseRequestHandler)
        assert caught.value.errno == errno.EADDRINUSE
        assert repr(server.server_address) in str(caught.value)


def test_a_thousand_failures_to_bind_leak_nothing(server: TCPServer) -> None:
    before = descriptors()
    for _ in range(1000):
        with pytest.raises(OSError, match="in use"):
            TCPServer(server.server_address, BaseRequestHandler)
    assert descriptors() == before


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_any_exception_while_binding_closes_the_server(error: type[BaseException]) -> None:
    class Server(TCPServer):
        closed = False

        def server_activate(self) -> None:
            raise error

        def server_close(self) -> None:
            super().server_close()
            type(self).closed = True

    before = descriptors()
    with pytest.raises(error):
        Server(HERE, BaseRequestHandler)
    assert Server.closed
    assert descriptors() == before


# Other input that makes no sense.


@pytest.mark.parametrize("handler", ["Handler", 7, object()], ids=name_of)
@pytest.mark.parametrize("kind", [sync_backend.BaseServer, TCPServer, UnixDatagramServer])
def test_a_handler_that_cannot_be_called_is_named(kind: Any, handler: Any) -> None:
    before = descriptors()
    with pytest.raises(TypeError) as caught:
        kind(HERE, handler)
    assert str(caught.value).endswith(f"not {handler!r}")
    assert descriptors() == before


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("max_connections", -1, ValueError),
        ("max_connections", 0, ValueError),
        ("max_connections", 1.5, TypeError),
        ("when_full", "explode", ValueError),
        ("request_timeout", -0.5, ValueError),
        ("request_timeout", float("nan"), ValueError),
        ("drain_timeout", -1, ValueError),
        ("drain_timeout", "1", TypeError),
        ("cut_timeout", -1, ValueError),
    ],
    ids=name_of,
)
def test_a_bad_limit_is_named_and_nothing_left_open(
    name: str, value: object, error: type[Exception]
) -> None:
    server_class = type("Server", (TCPServer,), {name: value})
    before = descriptors()
    with pytest.raises(error) as caught:
        server_class(HERE, BaseRequestHandler)
    assert str(caught.value).startswith(name)
    assert str(caught.value).endswith(f"not {value!r}")
    assert descriptors() == before


def test_a_negative_drain_is_refused(server: TCPServer) -> None:
    with pytest.raises(ValueError, match="-3"):
        server.drain(-3)
    with pytest.raises(TypeError, match="'soon'"):
        server.drain("soon")  # type: ignore[arg-type]


# Requests.


def test_a_request_is_a_socket_and_an_address(server: TCPServer) -> None:
    with connect(server) as client:
        request, address = server.get_request()
        with request:
            assert address == client.getsockname()
            assert request.getpeername() == client.getsockname()
            assert request.gettimeout() is None


def test_elsewhere_a_request_does_not_inherit_the_listeners_mode(
    server: TCPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(socket_hooks, "_ACCEPT", None)
    os.set_blocking(server.fileno(), False)
    with connect(server):
        request, _ = server.get_request()
        with request:
            assert os.get_blocking(request.fileno())


def test_a_listener_of_the_programs_own_accepts_in_its_own_way(server: TCPServer) -> None:
    class Listener(socket.socket):
        accepted = 0

        def accept(self) -> tuple[socket.socket, Any]:
            self.accepted += 1
            return super().accept()

    server.socket = Listener(fileno=server.socket.detach())
    with connect(server):
        server.get_request()[0].close()
    assert server.socket.accepted == 1


def test_requests_are_of_the_listeners_kind_even_if_that_is_swapped(
    server: TCPServer, tmp_path: Path
) -> None:
    with connect(server), server.get_request()[0] as request:
        assert (request.family, request.type) == (socket.AF_INET, socket.SOCK_STREAM)
    server.socket.close()
    server.socket = socket.socket(socket.AF_UNIX)
    server.socket.bind(str(tmp_path / "socket"))
    server.socket.listen()
    with connect(server.socket.getsockname()), server.get_request()[0] as request:
        assert (request.family, request.type) == (socket.AF_UNIX, socket.SOCK_STREAM)


def test_requests_have_the_default_timeout(server: TCPServer) -> None:
    socket.setdefaulttimeout(7.5)
    try:
        with connect(server), server.get_request()[0] as request:
            assert request.gettimeout() == 7.5
    finally:
        socket.setdefaulttimeout(None)


def test_shutting_down_tells_the_client_even_if_others_hold_the_socket(server: TCPServer) -> None:
    with connect(server) as client:
        request, _ = server.get_request()
        with request.dup():
            server.shutdown_request(request)
            assert client.recv(1) == b""
        assert request.fileno() == -1


def test_shutting_down_a_request_whose_client_has_gone_just_closes_it(server: TCPServer) -> None:
    client = connect(server)
    request, _ = server.get_request()
    reset(client)
    server.shutdown_request(request)
    assert request.fileno() == -1


@pytest.mark.parametrize(
    "request_", [object(), type("Closed", (), {"fileno": lambda _: -1})(), [1]], ids=name_of
)
def test_what_has_no_descriptor_is_known_by_itself(server: TCPServer, request_: object) -> None:
    assert server._request_key(request_) == id(request_)


def test_a_request_is_closed_even_if_ctrl_c_comes_as_it_is_shut_down(server: TCPServer) -> None:
    class Request(socket.socket):
        def shutdown(self, how: int) -> None:
            raise KeyboardInterrupt

    request = Request()
    with pytest.raises(KeyboardInterrupt):
        server.shutdown_request(request)
    assert request.fileno() == -1


def test_a_socket_is_known_by_its_descriptor(server: TCPServer) -> None:
    with socket.socket() as request:
        assert server._request_key(request) == request.fileno()
    assert server._request_key(request) == id(request)


def test_a_request_is_gone_when_its_descriptor_is(server: TCPServer) -> None:
    with socket.socket() as request:
        place = server._ledger.take(request.fileno(), "client", 0.0)
        assert not server._is_gone(place)
    assert server._is_gone(place)
    assert not server._is_gone(server._ledger.take(("child", 1), "client", 0.0))


# Datagrams.


@pytest.fixture
def datagrams() -> Iterator[UDPServer]:
    with UDPServer(HERE, BaseRequestHandler) as server:
        yield server


def test_a_datagram_comes_with_the_servers_socket(datagrams: UDPServer) -> None:
    with connect(datagrams) as client:
        client.send(b"hello")
        request, address = datagrams.get_request()
        assert request == (b"hello", datagrams.socket)
        assert address == client.getsockname()
        datagrams.shutdown_request(request)
        assert datagrams.fileno() >= 0


def test_the_rest_of_a_long_datagram_is_lost(datagrams: UDPServer) -> None:
    datagrams.max_packet_size = 4
    with connect(datagrams) as client:
        client.send(b"hello")
        client.send(b"you")
        assert [datagrams.get_request()[0][0] for _ in range(2)] == [b"hell", b"you"]


def test_a_datagrams_place_is_never_swept(datagrams: UDPServer) -> None:
    assert not datagrams._is_gone(datagrams._ledger.take(1 << 20, "client", 0.0))


def test_a_listener_is_dead_when_it_no_longer_listens(
    server: TCPServer, datagrams: UDPServer
) -> None:
    for each in (server, datagrams):
        assert not each._listener_is_dead()
        each.server_close()
        assert each._listener_is_dead()
