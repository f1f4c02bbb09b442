"""The short forms: TCP, UDP, Unix sockets and listeners, one address or several."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trio.testing

import trio_backend.serve as module
from sansio_server.limits import Limits
from trio_backend import (
    ListenerServer,
    Service,
    TCPServer,
    UDPServer,
    serve_listeners,
    serve_tcp,
    serve_udp,
    serve_unix,
)

from .support import MemoryListener, ask, connect, read_to_end, until

Clock = trio.testing.MockClock
V4, V6 = "127.0.0.1", "::1"


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as sock:
            sock.bind((V6, 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6")


async def echo(request: Any, client_address: Any, server: Any) -> None:
    while data := await request.recv(1000):
        await request.sendall(data)


async def datagram_echo(request: Any, client_address: Any, server: Any) -> None:
    data, sock = request
    await sock.sendto(data, client_address)


async def idle(request: Any, client_address: Any, server: Any) -> None:
    await trio.sleep_forever()


def resolve_to(
    monkeypatch: pytest.MonkeyPatch, *found: tuple[int, tuple[Any, ...]]
) -> list[tuple[Any, ...]]:
    """Let every name have these addresses; return what is asked."""
    asked = []

    async def getaddrinfo(*args: Any, **kwargs: Any) -> list[Any]:
        asked.append(args)
        await trio.lowlevel.checkpoint()
        return [(family, 0, 0, "", address) for family, address in found]

    monkeypatch.setattr(trio.socket, "getaddrinfo", getaddrinfo)
    return asked


class Stop:
    """Stops a service as soon as it has begun."""

    def started(self, service: Service) -> None:
        service.shutdown()


async def run(serve: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Serve until it is stopped, which it is at once."""
    await serve(*args, task_status=Stop(), **kwargs)


# TCP.


async def test_tcp_on_one_host() -> None:
    async with trio.open_nursery() as nursery:
        service = await nursery.start(lambda **kw: serve_tcp(echo, 0, host=V4, **kw))
        assert isinstance(service, Service)
        ((host, port),) = service.addresses
        assert host == V4
        assert port > 0
        assert service.server is service.servers[0]
        assert type(service.server).__name__ == "TCPServer"
        assert await ask(await connect((host, port))) == b"hello\n"
        service.shutdown()
    with pytest.raises(OSError, match="refused") as caught:
        await connect((host, port))
    assert caught.value.errno == errno.ECONNREFUSED


async def test_port_0_is_the_same_port_on_all_hosts() -> None:
    async with trio.open_nursery() as nursery:
        service = await nursery.start(
            lambda **kw: serve_tcp(echo, 0, host=(V4, b"127.0.0.2", V4), **kw)
        )
        assert [address[0] for address in service.addresses] == [V4, "127.0.0.2"]
        assert len({address[1] for address in service.addresses}) == 1
        for address in service.addresses:
            assert await ask(await connect(address)) == b"hello\n"
        assert service.server.counters.accepted == 2  # of all together
        service.shutdown()


@needs_ipv6
async def test_both_families_have_a_listener_of_their_own() -> None:
    async with trio.open_nursery() as nursery:
        service = await nursery.start(lambda **kw: serve_tcp(echo, 0, **kw))
        by_family = {server.address_family: server for server in service.servers}
        assert by_family.keys() == {socket.AF_INET, socket.AF_INET6}
        assert len({address[1] for address in service.addresses}) == 1
        v6 = by_family[socket.AF_INET6].socket
        assert v6.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
        service.shutdown()


async def test_without_ipv6_the_other_addresses_are_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolve_to(monkeypatch, (socket.AF_INET, (V4, 0)), (socket.AF_INET6, (V6, 0, 0, 0)))
    for number in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):

        class NoIPv6(TCPServer):
            def server_bind(self, number: int = number) -> Any:
                if self.address_family == socket.AF_INET6:
                    raise OSError(number, os.strerror(number))
                return super().server_bind()

        async with trio.open_nursery() as nursery:
            service = await nursery.start(
                lambda cls=NoIPv6, **kw: serve_tcp(echo, 0, server_class=cls, **kw)
            )
            assert [address[0] for address in service.addresses] == [V4]
            service.shutdown()


async def test_when_no_address_is_there_the_last_failure_is_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Missing(TCPServer):
        def server_bind(self) -> Any:
            raise OSError(errno.EAFNOSUPPORT, "no such family")

    resolve_to(monkeypatch, (socket.AF_INET, (V4, 0)))
    with pytest.raises(OSError, match="no such family"):
        await serve_tcp(echo, 0, server_class=Missing)


async def test_an_ipv4_address_of_another_machine_is_an_error() -> None:
    with pytest.raises(OSError) as caught:  # noqa: PT011 - its number is looked at
        await serve_tcp(echo, 0, host=[V4, "192.0.2.1"])
    assert caught.value.errno == errno.EADDRNOTAVAIL


async def test_a_name_that_cannot_be_resolved() -> None:
    class Resolver(trio.abc.HostnameResolver):
        async def getaddrinfo(self, *args: Any, **kwargs: Any) -> Any:
            raise socket.gaierror(socket.EAI_NONAME, "unknown name")

        async def getnameinfo(self, *args: Any, **kwargs: Any) -> Any:
            raise NotImplementedError

    trio.socket.set_custom_hostname_resolver(Resolver())
    with pytest.raises(socket.gaierror, match="unknown name"):
        await serve_tcp(echo, 0, host="nowhere.invalid")


async def test_no_host_at_all() -> None:
    with pytest.raises(ValueError, match="no host"):
        await serve_tcp(echo, 0, host=[])
    with pytest.raises(ValueError, match="no listener"):
        await serve_listeners(echo, [])


def listener_on(host: str) -> socket.socket:
    """Listen on a port that nobody has on another address, and no connection is given by itself."""
    for port in range(20_000, 30_000):
        with contextlib.suppress(OSError), socket.create_server((V4, port)):
            return socket.create_server((host, port))
    raise AssertionError("no port is free")


async def test_an_address_in_use_closes_those_that_were_bound() -> None:
    unused = "127.0.0.3"  # no client has a port there by chance, as it may have at 127.0.0.1
    closed = []

    class Server(TCPServer):
        def server_close(self) -> Any:
            closed.append(self.server_address[0])
            return super().server_close()

    with listener_on("127.0.0.2") as other:
        port = other.getsockname()[1]
        with pytest.raises(OSError) as caught:  # noqa: PT011 - its number is looked at
            await serve_tcp(echo, port, host=[unused, "127.0.0.2"], server_class=Server)
    assert caught.value.errno == errno.EADDRINUSE
    assert sorted(closed) == ["127.0.0.2", unused]
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind((unused, port))  # free again


@pytest.mark.parametrize("failures", [1, 16, 17])
async def test_another_port_is_tried_when_it_is_in_use_elsewhere(failures: int) -> None:
    tries = 0

    class Server(TCPServer):
        def server_bind(self) -> Any:
            nonlocal tries
            if self.server_address[0] == "127.0.0.2":
                tries += 1
                if tries <= failures:
                    raise OSError(errno.EADDRINUSE, "in use")
            return super().server_bind()

    hosts = [V4, "127.0.0.2"]
    if failures > module._ATTEMPTS:
        with pytest.raises(OSError, match="in use"):
            await run(serve_tcp, echo, 0, host=hosts, server_class=Server)
        assert tries == failures
    else:
        await run(serve_tcp, echo, 0, host=hosts, server_class=Server)
        assert tries == failures + 1


async def test_a_class_of_ones_own_keeps_its_name_and_hooks() -> None:
    class Own(TCPServer):
        def verify_request(self, request: Any, client_address: Any) -> bool:
            return False

    async with trio.open_nursery() as nursery:
        service = await nursery.start(
            lambda **kw: serve_tcp(echo, 0, host=V4, server_class=Own, **kw)
        )
        assert isinstance(service.server, Own)
        assert type(service.server).__qualname__ == Own.__qualname__
        assert await read_to_end(await connect(service.server)) == b""
        service.shutdown()


class Patient(socket.socket):
    """A listener with a timeout of the program's, which notes who would have blocked all tasks."""

    waited = 0

    def accept(self) -> Any:
        try:
            return super().accept()
        except TimeoutError:
            self.waited += 1
            raise


async def test_a_timeout_of_the_listener_does_not_block_other_tasks() -> None:
    class Server(TCPServer):
        def server_activate(self) -> Any:
            self.socket = Patient(fileno=self.socket.detach())
            self.socket.settimeout(0.01)
            return super().server_activate()

    async with trio.open_nursery() as nursery:
        service = await nursery.start(
            lambda **kw: serve_tcp(echo, 0, host=V4, server_class=Server, **kw)
        )
        for _ in range(3):
            assert await ask(await connect(service.server)) == b"hello\n"
        assert service.server.socket.gettimeout() == 0.01
        assert service.server.socket.waited == 0
        service.shutdown()


# UDP.


async def test_datagrams() -> None:
    async with trio.open_nursery() as nursery:
        service = await nursery.start(
            lambda **kw: serve_udp(datagram_echo, 0, host=[V4, "127.0.0.2"], **kw)
        )
        assert all(isinstance(server, UDPServer) for server in service.servers)
        assert not any(server.allow_reuse_address for server in service.servers)
        for address in service.addresses:
            with trio.socket.socket(type=socket.SOCK_DGRAM) as client:
                await client.connect(address)
                await client.send(b"ping")
                assert await client.recv(100) == b"ping"
        service.shutdown()


# Unix sockets.


async def _ask_unix(path: Any) -> bytes:
    return await ask(await trio.open_unix_socket(path))


@pytest.mark.parametrize("kind", [str, os.fsencode, Path])
async def test_a_unix_path_is_there_while_it_is_served(
    tmp_path: Path, kind: Callable[[Path], Any]
) -> None:
    path = tmp_path / "socket"
    async with trio.open_nursery() as nursery:
        service = await nursery.start(lambda **kw: serve_unix(echo, kind(path), **kw))
        assert service.addresses in ((str(path),), (os.fsencode(path),))
        assert path.is_socket()
        assert await _ask_unix(path) == b"hello\n"
        service.shutdown()
    assert not path.exists()


@pytest.mark.skipif(not os.path.exists("/proc/net/unix"), reason="names are Linux's")
@pytest.mark.parametrize("kind", [str, str.encode])
async def test_a_unix_name_has_no_path(kind: Callable[[str], Any]) -> None:
    name = f"\0sansio-server-{os.getpid()}"
    async with trio.open_nursery() as nursery:
        service = await nursery.start(lambda **kw: serve_unix(echo, kind(name), **kw))
        with trio.socket.socket(socket.AF_UNIX) as sock:
            await sock.connect(name)
            assert await ask(trio.SocketStream(sock)) == b"hello\n"
        service.shutdown()


async def test_the_path_of_another_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    async with trio.open_nursery() as nursery:
        service = await nursery.start(lambda **kw: serve_unix(echo, path, **kw))
        path.rename(tmp_path / "old")  # so that its inode is not free to be the next one's
        path.write_text("another's")
        service.shutdown()
    assert path.read_text() == "another's"


async def test_a_path_that_is_gone_already(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    async with trio.open_nursery() as nursery:
        service = await nursery.start(lambda **kw: serve_unix(echo, path, **kw))
        path.unlink()
        service.shutdown()
    assert not path.exists()


async def test_a_cancelled_server_removes_its_path_too(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    async with trio.open_nursery() as nursery:
        await nursery.start(lambda **kw: serve_unix(echo, path, **kw))
        nursery.cancel_scope.cancel()
    assert not path.exists()


# Listeners.


async def test_listeners_in_memory(autojump_clock: Clock) -> None:
    listeners = [MemoryListener(), MemoryListener()]
    async with trio.open_nursery() as nursery:
        service = await nursery.start(lambda **kw: serve_listeners(echo, iter(listeners), **kw))
        assert service.addresses == (None, None)
        for listener in listeners:
            assert await ask(listener.connect()) == b"hello\n"
        service.shutdown()
    for listener in listeners:
        with pytest.raises(trio.ClosedResourceError):
            await listener.accept()


async def test_all_listeners_are_closed_whatever_closing_them_raises(
    autojump_clock: Clock,
) -> None:
    class Bad(MemoryListener):
        async def aclose(self) -> None:
            await super().aclose()
            raise RuntimeError("cannot close")

    listeners = [MemoryListener(), Bad(), MemoryListener()]
    with pytest.raises(RuntimeError, match="cannot close"):
        await run(serve_listeners, echo, listeners)
    for listener in listeners:
        with pytest.raises(trio.ClosedResourceError):
            await listener.accept()


async def test_limits_and_carriers_are_passed_on(autojump_clock: Clock) -> None:
    limits = Limits(max_connections=7, drain_timeout=3.0)
    threads: list[Any] = []

    def blocking(request: Any, client_address: Any, server: Any) -> None:
        threads.append(threading.current_thread())
        request.sendall(request.recv(100))

    listeners = [MemoryListener(), MemoryListener()]
    async with trio.open_nursery() as nursery:
        service = await nursery.start(
            lambda **kw: serve_listeners(
                blocking, listeners, limits=limits, blocking_handlers="greenlets", **kw
            )
        )
        for server in service.servers:
            for field in attrs.fields(Limits):
                assert getattr(server, field.name) == getattr(limits, field.name)
        for listener in listeners:
            assert await ask(listener.connect()) == b"hello\n"
        service.shutdown()
    assert threads == [threading.current_thread()] * 2


async def test_the_limit_is_that_of_all_listeners_together(autojump_clock: Clock) -> None:
    first, second = MemoryListener(), MemoryListener()
    async with trio.open_nursery() as nursery:
        service = await nursery.start(
            lambda **kw: serve_listeners(
                echo, [first, second], limits=Limits(max_connections=1), **kw
            )
        )
        one = first.connect()
        await one.send_all(b"1")
        assert await one.receive_some(1) == b"1"
        two = second.connect()
        await two.send_all(b"2")
        await trio.testing.wait_all_tasks_blocked()
        assert service.server.counters.closed == 0
        assert service.server.counters.accepted == 1
        await one.aclose()
        assert await two.receive_some(1) == b"2"
        await two.aclose()
        service.shutdown()


# A service.


async def test_suspending_and_resuming(autojump_clock: Clock) -> None:
    listener = MemoryListener()
    async with trio.open_nursery() as nursery:
        service = await nursery.start(lambda **kw: serve_listeners(echo, [listener], **kw))
        service.suspend()
        client = listener.connect()
        await trio.testing.wait_all_tasks_blocked()
        assert service.server.counters.accepted == 0
        service.resume()
        assert await ask(client) == b"hello\n"
        service.shutdown()


async def test_a_report_for_each_server_when_it_is_drained(autojump_clock: Clock) -> None:
    listeners = [MemoryListener(), MemoryListener()]
    async with trio.open_nursery() as nursery:
        service = await nursery.start(lambda **kw: serve_listeners(idle, listeners, **kw))
        client = listeners[0].connect()
        await until(lambda: service.server.counters.accepted == 1)
        begun = trio.current_time()
        service.shutdown()
        reports = await service.wait_drained()
        assert len(reports) == 2
        assert trio.current_time() - begun == module.DEFAULT_LIMITS.drain_timeout
        await client.aclose()


async def test_a_class_for_listeners(autojump_clock: Clock) -> None:
    made = []

    class Own(ListenerServer):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            made.append(self)

    listeners: Iterable[MemoryListener] = (MemoryListener(),)
    await run(serve_listeners, echo, listeners, server_class=Own)
    assert len(made) == 1
