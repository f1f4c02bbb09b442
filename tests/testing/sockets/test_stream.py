"""Stream sockets of a world: what sockets promise, and what goes wrong where a fault says so."""

from __future__ import annotations

import errno
import io
import socket
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest

from sansio_server.testing import World
from sansio_server.testing.scripts.faults import Fault
from sansio_server.testing.sockets.base import AF_UNIX
from sansio_server.testing.sockets.stream import StreamSocket


@attrs.define
class Planned:
    """Faults that come as soon as their point is reached."""

    faults: list[Fault] = attrs.Factory(list)

    def at(self, point: str, actor: str, **context: Any) -> Fault | None:
        if self.faults and self.faults[0].point == point:
            return self.faults.pop(0)
        return None

    def plan(self, point: str, kind: str, amount: float | None = None) -> None:
        self.faults.append(Fault(point, kind, amount=amount))


@attrs.frozen
class Pair:
    world: World
    faults: Planned
    client: StreamSocket
    server: StreamSocket
    listener: StreamSocket


def pair_in(world: World, family: int, faults: Planned) -> Pair:
    listener = StreamSocket(world, family)
    listener.bind("/path" if family == AF_UNIX else ("", 0))
    listener.listen()
    client = StreamSocket(world, family, label="client 1")
    client.connect(listener.getsockname())
    return Pair(world, faults, client, listener.accept()[0], listener)


@pytest.fixture
def pair() -> Iterator[Pair]:
    faults = Planned()
    with World(faults=faults) as world:
        yield pair_in(world, socket.AF_INET, faults)


def error_of(call: Any, *args: Any) -> int | None:
    with pytest.raises(OSError) as caught:  # noqa: PT011 - its number is returned
        call(*args)
    return caught.value.errno


def test_names_and_options(pair: Pair) -> None:
    server, client = pair.server, pair.client
    assert server.getpeername() == client.getsockname() == ("127.0.0.1", 40_001)
    assert server.fileno() != client.fileno()
    assert pair.listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
    assert server.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
    assert server.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 4) == b"\x01\0\0\0"
    server.settimeout(2.0)
    assert (server.gettimeout(), server.timeout, server.getblocking()) == (2.0, 2.0, True)
    with pytest.raises(ValueError, match="out of range"):
        server.settimeout(-1)
    assert error_of(pair.listener.getpeername) == errno.ENOTCONN


def test_addresses_are_taken_once(pair: Pair) -> None:
    other = StreamSocket(pair.world)
    assert error_of(other.bind, pair.listener.getsockname()) == errno.EADDRINUSE
    with pytest.raises(TypeError, match="pair"):
        other.bind("here")
    with pytest.raises(OverflowError):
        other.bind(("", 70_000))
    pair.listener.close()
    assert error_of(other.connect, ("127.0.0.1", 50_001)) == errno.ECONNREFUSED
    assert other.connect_ex(("127.0.0.1", 50_001)) == errno.ECONNREFUSED
    assert error_of(other.accept) == errno.EINVAL


def test_bytes_move_both_ways(pair: Pair) -> None:
    pair.client.sendall(b"hello")
    assert pair.server.recv(2, socket.MSG_PEEK) == b"he"
    buffer = bytearray(3)
    assert pair.server.recv_into(buffer) == 3
    assert (bytes(buffer), pair.server.recvfrom(10)) == (b"hel", (b"lo", None))
    assert pair.server.sendfile(io.BytesIO(b"0123456789"), 2, 5) == 5
    assert pair.client.recv(100) == b"23456"


def test_waiting_that_is_not_allowed(pair: Pair) -> None:
    pair.server.setblocking(False)
    assert error_of(pair.server.recv, 1) == errno.EAGAIN
    pair.server.settimeout(3.0)
    with pytest.raises(TimeoutError):
        pair.server.recv(1)
    assert pair.world.now == 3.0
    pair.listener.os_blocking = False
    assert error_of(pair.listener.accept) == errno.EAGAIN


def test_sending_waits_for_room(pair: Pair) -> None:
    pair.server.settimeout(1.0)
    with pytest.raises(TimeoutError):
        pair.server.sendall(bytes(1_000_000))
    assert pair.world.now == 1.0
    assert len(pair.client.recv(1_000_000)) == pair.world.network.buffer_size


def test_half_closes(pair: Pair) -> None:
    pair.client.shutdown(socket.SHUT_WR)
    assert pair.server.recv(1) == b""
    pair.server.sendall(b"bye")
    assert pair.client.recv(10) == b"bye"
    assert error_of(pair.client.send, b"x") == errno.EPIPE
    pair.server.shutdown(socket.SHUT_RDWR)
    assert pair.client.recv(10) == b""


def test_closing_with_bytes_left_resets(pair: Pair) -> None:
    pair.client.sendall(b"unread")
    pair.server.close()
    assert error_of(pair.client.recv, 1) == errno.ECONNRESET
    assert error_of(pair.client.send, b"x") == errno.EPIPE
    assert error_of(pair.server.recv, 1) == errno.EBADF


def test_sending_nothing_to_a_closed_end_is_answered_by_nothing(pair: Pair) -> None:
    pair.server.sendall(b"bye")
    pair.server.close()
    assert [pair.client.send(b"") for _ in range(2)] == [0, 0]
    assert pair.client.recv(10) == b"bye"


def test_the_first_to_be_sent_to_a_closed_end_is_lost_silently(pair: Pair) -> None:
    pair.client.close()
    assert pair.server.recv(1) == b""
    assert pair.server.send(b"lost") == 4
    assert error_of(pair.server.send, b"x") == errno.EPIPE


def test_unix_sockets_tell_at_once() -> None:
    with World() as world:
        pair = pair_in(world, AF_UNIX, Planned())
        assert error_of(StreamSocket(world, AF_UNIX).connect, "/nowhere") == errno.ENOENT
        options = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        assert error_of(pair.server.setsockopt, *options) == errno.EOPNOTSUPP
        pair.client.close()
        assert error_of(pair.server.send, b"x") == errno.EPIPE


def test_files_keep_a_socket_open(pair: Pair) -> None:
    lines, out = pair.server.makefile("r", newline="\n"), pair.server.makefile("wb")
    pair.server.close()
    pair.client.sendall("höre\n".encode())
    assert lines.readline() == "höre\n"
    out.write(b"yes")
    out.close()
    assert pair.client.recv(10) == b"yes"
    lines.close()
    assert pair.client.recv(10) == b""
    with pytest.raises(ValueError, match="mode must be made of r, w and b, not 'x'"):
        pair.client.makefile("x")


def test_copies_share_a_connection(pair: Pair) -> None:
    copy = pair.server.dup()
    pair.server.close()
    copy.sendall(b"still here")
    assert pair.client.recv(100) == b"still here"
    copy.close()
    assert pair.client.recv(100) == b""


# Faults.


def call_at(pair: Pair, point: str) -> Callable[[], object]:
    """Return what comes to *point*."""
    if point == "recv":
        return lambda: pair.server.recv(1)
    return lambda: pair.server.send(b"x")


@pytest.mark.parametrize("kind", ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "EAGAIN", "EINTR"])
def test_accepting_may_fail(pair: Pair, kind: str) -> None:
    client = StreamSocket(pair.world, label="client 2")
    client.connect(pair.listener.getsockname())
    pair.faults.plan("accept", kind)
    assert error_of(pair.listener.accept) == getattr(errno, kind)
    assert pair.listener.accept()[1] == client.getsockname()  # it has stayed in the queue
    assert [m.detail for m in pair.world.timeline if m.what == "fault"] == [f"accept {kind}"]


def test_a_connection_may_be_lost_before_it_is_accepted(pair: Pair) -> None:
    client = StreamSocket(pair.world, label="client 2")
    client.connect(pair.listener.getsockname())
    pair.faults.plan("accept", "ECONNABORTED")
    assert error_of(pair.listener.accept) == errno.ECONNABORTED
    assert error_of(client.recv, 1) == errno.ECONNRESET


def test_receiving_may_bring_less(pair: Pair) -> None:
    pair.client.sendall(b"0123456789")
    pair.faults.plan("recv", "short")
    pair.faults.plan("recv", "short", 2)
    pair.faults.plan("recv", "one-byte")
    assert [pair.server.recv(100) for _ in range(4)] == [b"01234", b"56", b"7", b"89"]


def test_sending_may_take_less(pair: Pair) -> None:
    pair.faults.plan("send", "short")
    pair.faults.plan("send", "one-byte")
    assert [pair.server.send(b"0123") for _ in range(3)] == [2, 1, 4]
    pair.faults.plan("send", "short", 3)
    pair.server.sendall(b"abcdef")
    assert pair.client.recv(100) == b"0100123abcdef"


@pytest.mark.parametrize("point", ["recv", "send"])
def test_a_connection_may_break(pair: Pair, point: str) -> None:
    call = call_at(pair, point)
    pair.faults.plan(point, "reset")
    assert error_of(call) == errno.ECONNRESET
    assert error_of(pair.client.recv, 1) == errno.ECONNRESET


@pytest.mark.parametrize("point", ["recv", "send"])
def test_calls_may_be_interrupted_delayed_or_fail_for_now(pair: Pair, point: str) -> None:
    call = call_at(pair, point)
    pair.client.sendall(b"abc")
    pair.faults.plan(point, "EINTR")
    assert error_of(call) == errno.EINTR
    pair.faults.plan(point, "EAGAIN")
    call()  # it blocks, and so it is none of these
    pair.server.setblocking(False)
    pair.faults.plan(point, "EAGAIN")
    assert error_of(call) == errno.EAGAIN
    pair.faults.plan(point, "delay", 2.0)
    call()
    assert pair.world.now == 2.0


def test_a_stream_may_end_early(pair: Pair) -> None:
    pair.client.sendall(b"lost")
    pair.faults.plan("recv", "eof")
    assert pair.server.recv(10) == b""
    pair.client.sendall(b"lost, too")
    assert pair.server.recv(10) == b""
    pair.server.sendall(b"reply")
    assert pair.client.recv(10) == b"reply"


def test_a_peer_may_fall_silent(pair: Pair) -> None:
    pair.client.sendall(b"lost")
    pair.faults.plan("recv", "mute")
    pair.server.settimeout(1000.0)
    assert error_of(pair.server.recv, 10) == errno.ECONNRESET
    assert pair.world.now == 300.0


def test_a_peer_may_read_slowly(pair: Pair) -> None:
    pair.faults.plan("send", "slow-reader", 7.0)
    pair.server.settimeout(100.0)
    pair.server.sendall(b"late")
    assert pair.world.now == 7.0
    assert pair.client.recv(10) == b"late"


def test_the_clock_may_jump(pair: Pair) -> None:
    pair.faults.plan("clock", "jump", 30.0)
    pair.world.sleep(1.0)
    assert pair.world.now == 31.0
