"""Addresses: who has them, what they look like, who listens there."""

from __future__ import annotations

import errno
import math
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sansio_server.testing import World
from sansio_server.testing.sockets.base import AF_UNIX, MemorySocket
from sansio_server.testing.sockets.datagram import DatagramSocket
from sansio_server.testing.sockets.stream import StreamSocket


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


def number_of(call: Callable[..., object], *args: Any) -> int | None:
    with pytest.raises(OSError) as caught:  # noqa: PT011 - its number is returned
        call(*args)
    return caught.value.errno


@pytest.mark.parametrize(
    ("family", "address", "bound"),
    [
        (socket.AF_INET, ("", 80), ("0.0.0.0", 80)),
        (socket.AF_INET, ("127.0.0.1", 80), ("127.0.0.1", 80)),
        (socket.AF_INET6, ("", 80), ("::", 80, 0, 0)),
        (socket.AF_INET6, ("::1", 80, 1, 2), ("::1", 80, 1, 2)),
        (AF_UNIX, "/path", "/path"),
        (AF_UNIX, b"\0name", b"\0name"),
    ],
)
def test_addresses_have_the_form_of_their_family(
    world: World, family: int, address: Any, bound: Any
) -> None:
    sock = StreamSocket(world, family)
    sock.bind(address)
    assert sock.getsockname() == bound


@pytest.mark.parametrize(
    ("family", "address"),
    [
        (socket.AF_INET, "localhost"),
        (socket.AF_INET, ("localhost",)),
        (socket.AF_INET, ("localhost", "80")),
        (AF_UNIX, ("localhost", 80)),
    ],
)
def test_other_forms_are_refused(world: World, family: int, address: Any) -> None:
    with pytest.raises(TypeError, match="address"):
        StreamSocket(world, family).bind(address)


@pytest.mark.parametrize("port", [-1, 65536])
def test_ports_have_a_range(world: World, port: int) -> None:
    with pytest.raises(OverflowError):
        StreamSocket(world).bind(("", port))


def test_an_address_is_one_sockets(world: World) -> None:
    one = StreamSocket(world)
    one.bind(("", 80))
    assert number_of(StreamSocket(world).bind, ("127.0.0.1", 80)) == errno.EADDRINUSE
    # Each kind and each family has its own.
    others: list[MemorySocket] = [DatagramSocket(world), StreamSocket(world, socket.AF_INET6)]
    for other in others:
        other.bind(("", 80))
    one.close()
    StreamSocket(world).bind(("", 80))


def test_any_port_is_one_that_is_free(world: World) -> None:
    taken = StreamSocket(world)
    taken.bind(("", 50_002))
    ports = []
    for _ in range(3):
        sock = StreamSocket(world)
        sock.bind(("", 0))
        ports.append(sock.getsockname()[1])
    assert ports == [50_001, 50_003, 50_004]


def test_sockets_are_found_by_their_descriptors_while_they_are_open(world: World) -> None:
    sock = StreamSocket(world)
    number = sock.fileno()
    assert world.network.find(number) is sock
    sock.close()
    assert world.network.find(number) is None
    assert StreamSocket(world).fileno() > number


@pytest.mark.parametrize(
    ("family", "address", "number"),
    [
        (socket.AF_INET, ("127.0.0.1", 80), errno.ECONNREFUSED),
        (AF_UNIX, "/path", errno.ENOENT),
    ],
)
def test_connecting_to_nobody(world: World, family: int, address: Any, number: int) -> None:
    assert number_of(StreamSocket(world, family, label="client 1").connect, address) == number


@pytest.mark.parametrize("family", [socket.AF_INET, AF_UNIX])
def test_connecting_to_who_does_not_listen(world: World, family: int) -> None:
    bound = StreamSocket(world, family)
    address: Any = "/path" if family == AF_UNIX else ("127.0.0.1", 80)
    bound.bind(address)
    client = StreamSocket(world, family, label="client 1")
    assert number_of(client.connect, address) == errno.ECONNREFUSED


def test_what_is_no_address_is_told(world: World) -> None:
    with pytest.raises(TypeError, match="5 is no address"):
        StreamSocket(world, label="client 1").connect(5)


def test_who_was_accepted(world: World) -> None:
    listener = StreamSocket(world)
    listener.bind(("", 80))
    listener.listen()
    for name in ("client 1", "client 2"):
        StreamSocket(world, label=name).connect(("127.0.0.1", 80))
    assert listener.accept()[0].peer_label == world.network.accepted == "client 1"
    assert listener.accept()[0].peer_label == world.network.accepted == "client 2"


def test_a_full_backlog_keeps_others_waiting(world: World) -> None:
    listener = StreamSocket(world)
    listener.bind(("", 80))
    listener.listen(1)
    first, second = (StreamSocket(world, label=f"client {n}") for n in (1, 2))
    first.connect(("127.0.0.1", 80))
    with pytest.raises(TimeoutError):
        world.network.connect(second, ("127.0.0.1", 80), world.now + 2.0)
    assert world.now == 2.0
    actor = world.spawn(
        "client", lambda: world.network.connect(second, ("127.0.0.1", 80), math.inf)
    )
    world.settle()
    assert not actor.is_over
    listener.accept()
    world.join(actor)
    assert actor.failure is None


def test_who_waits_for_room_is_told_that_the_listener_is_gone(world: World) -> None:
    listener = StreamSocket(world)
    listener.bind(("", 80))
    listener.listen(1)
    clients = [StreamSocket(world, label=f"client {n}") for n in (1, 2)]
    clients[0].connect(("127.0.0.1", 80))
    actor = world.spawn("client", lambda: clients[1].connect(("127.0.0.1", 80)))
    world.settle()
    listener.close()
    world.join(actor)
    assert isinstance(actor.failure, ConnectionRefusedError)
    # Who was in the queue finds the connection broken.
    assert number_of(clients[0].recv, 1) == errno.ECONNRESET
