"""Datagram sockets of a world, and what becomes of datagrams on their way."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from typing import Any

import attrs
import pytest

from sansio_server.testing import World
from sansio_server.testing.scripts.faults import Fault
from sansio_server.testing.sockets.base import AF_UNIX
from sansio_server.testing.sockets.datagram import DatagramSocket


@attrs.define
class Planned:
    """One fault, as soon as its point is reached."""

    fault: Fault | None = None

    def at(self, point: str, actor: str, **context: Any) -> Fault | None:
        if self.fault is None or self.fault.point != point:
            return None
        fault, self.fault = self.fault, None
        return fault


@attrs.frozen
class Pair:
    world: World
    faults: Planned
    client: DatagramSocket
    server: DatagramSocket

    def received(self) -> list[bytes]:
        """Return what has come to the server, and what still comes in some seconds."""
        found: list[bytes] = []
        self.server.settimeout(5.0)
        try:
            while True:
                found.append(self.server.recv(100))
        except TimeoutError:
            return found


@pytest.fixture
def pair() -> Iterator[Pair]:
    faults = Planned()
    with World(faults=faults) as world:
        server = DatagramSocket(world)
        server.bind(("127.0.0.1", 0))
        client = DatagramSocket(world, label="client 1")
        client.connect(server.getsockname())
        yield Pair(world, faults, client, server)


def test_datagrams_come_whole_or_cut_to_size(pair: Pair) -> None:
    assert pair.client.send(b"hello") == 5
    pair.client.sendall(b"world")
    data, address = pair.server.recvfrom(100)
    assert (data, address) == (b"hello", pair.client.getsockname())
    assert pair.server.recv(2) == b"wo"
    pair.server.sendto(b"reply", address)
    buffer = bytearray(10)
    assert pair.client.recvfrom_into(buffer) == (5, pair.server.getsockname())
    assert buffer.startswith(b"reply")


def test_nothing_there(pair: Pair) -> None:
    pair.server.setblocking(False)
    with pytest.raises(BlockingIOError):
        pair.server.recv(1)
    pair.client.sendto(b"into the void", ("127.0.0.1", 9))  # nobody is told
    with pytest.raises(OSError, match="not connected") as caught:
        pair.server.send(b"x")
    assert caught.value.errno == errno.ENOTCONN


def test_unix_sockets_have_to_be_there() -> None:
    with World() as world, pytest.raises(FileNotFoundError):
        DatagramSocket(world, AF_UNIX).sendto(b"x", "/nowhere")


def test_too_many_are_lost(pair: Pair) -> None:
    for _ in range(1000):
        pair.client.send(b"x")
    assert 1 < len(pair.received()) < 1000


@pytest.mark.parametrize(
    ("kind", "amount", "expected"),
    [
        ("lost", None, [b"two"]),
        ("doubled", None, [b"one-one", b"one-one", b"two"]),
        ("reordered", None, [b"two", b"one-one"]),
        ("cut", None, [b"one", b"two"]),
        ("cut", 5, [b"one-o", b"two"]),
    ],
)
def test_faults_on_the_way_in(
    pair: Pair, kind: str, amount: float | None, expected: list[bytes]
) -> None:
    pair.faults.fault = Fault("recvfrom", kind, amount=amount)
    pair.client.send(b"one-one")
    pair.client.send(b"two")
    assert pair.received() == expected


def test_what_nothing_overtakes_is_only_late(pair: Pair) -> None:
    pair.faults.fault = Fault("recvfrom", "reordered")
    pair.client.send(b"late")
    assert pair.received() == [b"late"]
    assert pair.world.now == 6.0


def test_faults_on_the_way_out(pair: Pair) -> None:
    pair.client.send(b"hello")
    _, address = pair.server.recvfrom(100)
    pair.faults.fault = Fault("sendto", "doubled")
    pair.server.sendto(b"reply", address)
    pair.client.setblocking(False)
    assert (pair.client.recv(10), pair.client.recv(10)) == (b"reply", b"reply")


def test_a_closed_one_receives_nothing(pair: Pair) -> None:
    pair.server.close()
    pair.client.send(b"lost")
    with pytest.raises(OSError, match="Bad file descriptor"):
        pair.server.recv(1)
    other = DatagramSocket(pair.world, socket.AF_INET)
    other.bind(("127.0.0.1", 50_001))
