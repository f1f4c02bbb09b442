from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from typing import Any

import attrs
import pytest

from sansio_server.trace import TraceEvent, TraceKind
from sync_backend import BaseRequestHandler, BaseServer
from sync_backend.observed import ObservedSocket, observe


@attrs.define
class Told:
    """A server, and the bytes that its trace was told of."""

    server: BaseServer
    events: list[TraceEvent]

    def bytes(self) -> list[tuple[int, str, int]]:
        moved = [event for event in self.events if event.kind is not TraceKind.BEGIN]
        assert {event.kind for event in moved} <= {TraceKind.BYTES}
        return [(event.request, event.what, event.detail) for event in moved]


@pytest.fixture
def told() -> Told:
    server = BaseServer(None, BaseRequestHandler)
    told = Told(server, [])
    server.trace = told.events.append
    return told


@pytest.fixture
def pair(told: Told) -> Iterator[tuple[Any, socket.socket]]:
    """A request that is being served, observed, and its client."""
    ours, theirs = socket.socketpair()
    ours.settimeout(10)
    request = observe(told.server, ours)
    told.server._ledger.take(request.fileno(), "client", 0.0)
    with request, theirs:
        yield request, theirs


def test_a_socket_is_taken_over_as_it_was() -> None:
    ours, theirs = socket.socketpair()
    ours.settimeout(3)
    descriptor = ours.fileno()
    request = observe(BaseServer(None, BaseRequestHandler), ours)
    with request, theirs:
        assert isinstance(request, ObservedSocket)
        assert (request.fileno(), ours.fileno()) == (descriptor, -1)
        assert (request.family, request.type, request.gettimeout()) == (
            theirs.family,
            theirs.type,
            3,
        )


def test_what_is_received_is_told(told: Told, pair: tuple[Any, socket.socket]) -> None:
    request, client = pair
    client.sendall(b"hello, world")
    assert request.recv(5) == b"hello"
    assert request.recv(2, socket.MSG_PEEK) == b", "
    buffer = bytearray(16)
    assert request.recv_into(buffer, 2) == 2
    assert request.recv_into(buffer) == 5
    client.close()
    assert request.recv(5) == b""
    assert told.bytes() == [(1, "in", count) for count in (5, 2, 2, 5, 0)]


def test_what_is_sent_is_told(told: Told, pair: tuple[Any, socket.socket]) -> None:
    request, client = pair
    assert request.send(b"hello") == 5
    request.sendall(memoryview(bytes(8)).cast("I"))
    assert client.recv(100) == b"hello" + bytes(8)
    assert told.bytes() == [(1, "out", 5), (1, "out", 8)]


def test_files_of_the_socket_are_observed_too(told: Told, pair: tuple[Any, socket.socket]) -> None:
    request, client = pair
    client.sendall(b"line\n")
    with request.makefile("rwb") as file:
        assert file.readline() == b"line\n"
        file.write(b"answer")
        file.flush()
    assert told.bytes() == [(1, "in", 5), (1, "out", 6)]


def test_nothing_is_told_of_a_copy(told: Told, pair: tuple[Any, socket.socket]) -> None:
    request, client = pair
    with request.dup() as copy:
        copy.sendall(b"hello")
    assert client.recv(100) == b"hello"
    assert told.bytes() == []


def test_a_request_without_a_place_has_number_0(told: Told) -> None:
    ours, theirs = socket.socketpair()
    with observe(told.server, ours) as request, theirs:
        request.sendall(b"hello")
    assert told.bytes() == [(0, "out", 5)]


def test_datagrams_are_told_as_they_come_and_go(told: Told) -> None:
    ours, theirs = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    with ours, theirs:
        theirs.bind(("127.0.0.1", 0))
        data, request = observe(told.server, (b"hello", ours))
        assert data == b"hello"
        assert request.sendto(b"answer", theirs.getsockname()) == 6
        assert request.fileno() == ours.fileno()
    assert told.bytes() == [(0, "in", 5), (0, "out", 6)]


def test_what_overrides_made_of_a_request_stays_as_it_is(told: Told) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        wrapped = ssl.create_default_context().wrap_socket(
            ours, do_handshake_on_connect=False, server_hostname="localhost"
        )
        with wrapped:
            for request in (wrapped, (b"", wrapped), (b"", ours, 1), "text"):
                assert observe(told.server, request) is request
    assert told.bytes() == []
