"""A bridged request does what a socket does: each test runs with both."""

from __future__ import annotations

import array
import copy
import io
import pickle
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from trio_backend.bridged_request import BridgedRequest
from trio_backend.carriers import wait_in_thread
from trio_backend.greenlet_request import GreenRequest
from trio_backend.greenlets import GreenWaits, bridge
from trio_backend.socket_request import TrioRequest

Body = Callable[[Any, socket.socket], None]


class Worker:
    greenlet: Any = None


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, peer = socket.socketpair()
    peer.settimeout(10)
    with ours, peer:
        yield ours, peer


@pytest.fixture
def datagrams() -> Iterator[tuple[socket.socket, socket.socket]]:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer,
    ):
        for each in (ours, peer):
            each.bind(("127.0.0.1", 0))
        peer.settimeout(10)
        yield ours, peer


@pytest.fixture(params=["socket", "bridged", "greenlet"])
def both(request: pytest.FixtureRequest) -> Callable[[socket.socket, socket.socket, Body], Any]:
    """Return what runs a blocking body with a socket as it is, or bridged to a thread or greenlet.

    The client's end blocks in any case.
    """

    async def run(ours: socket.socket, peer: socket.socket, body: Body) -> None:
        if request.param == "socket":
            await trio.to_thread.run_sync(body, ours, peer)
        elif request.param == "greenlet":
            green = GreenRequest(TrioRequest(ours), ours, GreenWaits())
            await bridge(Worker(), body, green, peer)
        else:
            bridged = BridgedRequest(TrioRequest(ours), ours, wait_in_thread)
            await trio.to_thread.run_sync(body, bridged, peer)

    return run


async def test_receiving(both: Any, pair: Any) -> None:
    def body(ours: Any, peer: socket.socket) -> None:
        peer.sendall(b"0123456789abcdef")
        assert ours.recv(2, socket.MSG_PEEK) == b"01"
        assert ours.recv(2) == b"01"
        buffer = bytearray(4)
        assert ours.recv_into(buffer) == 4
        assert ours.recv_into(buffer, 2) == 2
        assert buffer == b"6745"
        assert ours.recvfrom(2)[0] == b"89"
        assert ours.recvfrom_into(buffer, 3)[0] == 3
        assert buffer[:3] == b"abc"
        data, ancillary, _, _ = ours.recvmsg(2)
        assert (data, ancillary) == (b"de", [])
        count, ancillary, _, _ = ours.recvmsg_into(iter([buffer, bytearray(4)]))
        assert (count, ancillary, bytes(buffer[:1])) == (1, [], b"f")
        peer.close()
        assert ours.recv(1) == b""

    await both(*pair, body)


async def test_sending(both: Any, pair: Any) -> None:
    def body(ours: Any, peer: socket.socket) -> None:
        assert ours.send(b"ab") == 2
        assert ours.sendall(array.array("H", [25443])) is None
        assert ours.sendmsg([b"e", b"f"]) == 2
        with tempfile.TemporaryFile() as file:
            file.write(b"0123456789")
            file.flush()
            assert ours.sendfile(file, 4, 3) == 3
            assert ours.sendfile(file, 8) == 2
            assert ours.sendfile(file) == 10
        ours.shutdown(socket.SHUT_WR)
        number = array.array("H", [25443]).tobytes()
        received = b"".join(iter(lambda: peer.recv(100), b""))
        assert received == b"ab" + number + b"ef" + b"456" + b"89" + b"0123456789"

    await both(*pair, body)


async def test_what_cannot_be_sent_as_a_file(both: Any, pair: Any, tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("text")

    def body(ours: Any, peer: socket.socket) -> None:
        for count in (0, -1):
            with pytest.raises(ValueError, match="count"), path.open("rb") as file:
                ours.sendfile(file, 0, count)
        with pytest.raises(ValueError, match="binary"), path.open() as text:
            ours.sendfile(text)
        assert ours.sendfile(io.BytesIO(b"in memory"), 3) == 6
        assert peer.recv(100) == b"memory"

    await both(*pair, body)


def test_a_reply_is_waited_for_where_there_is_no_room() -> None:
    class Full:
        def send_reply(self, data: bytes, address: Any) -> Any:
            return (data, address) if address == "full" else None

    waited: list[Any] = []
    bridged = BridgedRequest(Full(), None, waited.append)
    bridged.send_reply(b"one", "roomy")
    bridged.send_reply(b"two", "full")
    assert waited == [(b"two", "full")]


async def test_datagrams(both: Any, datagrams: Any) -> None:
    def body(ours: Any, peer: socket.socket) -> None:
        assert ours.sendto(b"one", peer.getsockname()) == 3
        assert ours.sendto(b"two", 0, peer.getsockname()) == 3
        assert [peer.recvfrom(10) for _ in range(2)] == [
            (b"one", ours.getsockname()),
            (b"two", ours.getsockname()),
        ]

    await both(*datagrams, body)


async def test_a_file_that_was_too_slow_reads_no_more(both: Any, pair: Any) -> None:
    def body(ours: Any, peer: socket.socket) -> None:
        ours.settimeout(0.01)
        with ours.makefile("rb") as file:
            with pytest.raises(TimeoutError, match="timed out") as caught:
                file.readline()
            assert caught.value.__context__ is None or caught.value.__suppress_context__
            peer.sendall(b"line\n")
            with pytest.raises(OSError, match="cannot read from timed out object"):
                file.readline()

    await both(*pair, body)


async def test_timeouts(both: Any, pair: Any) -> None:
    def body(ours: Any, _peer: socket.socket) -> None:
        assert (ours.gettimeout(), ours.timeout, ours.getblocking()) == (None, None, True)
        ours.settimeout(0.01)
        assert (ours.gettimeout(), ours.timeout, ours.getblocking()) == (0.01, 0.01, True)
        with pytest.raises(TimeoutError, match="timed out"):
            ours.recv(1)
        ours.setblocking(False)
        assert (ours.gettimeout(), ours.getblocking()) == (0.0, False)
        with pytest.raises(BlockingIOError):
            ours.recv(1)
        ours.setblocking(True)
        assert ours.gettimeout() is None

    await both(*pair, body)


@pytest.mark.parametrize("buffering", [None, -1, 0, 5])
async def test_binary_files(both: Any, pair: Any, buffering: int | None) -> None:
    def body(ours: Any, peer: socket.socket) -> None:
        peer.sendall(b"line\nrest")
        peer.shutdown(socket.SHUT_WR)
        with ours.makefile("rb", buffering) as file:
            assert (file.mode, file.name) == ("rb", ours.fileno())
            assert (file.readable(), file.writable(), file.fileno()) == (True, False, ours.fileno())
            assert file.readline() == b"line\n"
            assert file.read() == b"rest"
        with ours.makefile("wb", buffering) as file:
            assert (file.readable(), file.writable(), file.mode) == (False, True, "wb")
            assert file.write(b"written") == 7
        assert peer.recv(100) == b"written"

    await both(*pair, body)


async def test_a_file_of_both_directions_and_a_closed_one(both: Any, pair: Any) -> None:
    def body(ours: Any, _peer: socket.socket) -> None:
        file = ours.makefile("rwb", 0)
        assert (file.mode, file.name) == ("rwb", ours.fileno())
        file.close()
        assert file.name == -1

    await both(*pair, body)


async def test_text_files_and_files_for_both(both: Any, pair: Any) -> None:
    def body(ours: Any, peer: socket.socket) -> None:
        peer.sendall("größe\n".encode("latin-1"))
        with ours.makefile(encoding="latin-1") as file:
            assert (file.mode, file.readline()) == ("r", "größe\n")
        with ours.makefile("rwb") as file:
            file.write(b"out")
            file.flush()
            assert peer.recv(10) == b"out"
            peer.sendall(b"in")
            assert file.read(2) == b"in"

    await both(*pair, body)


async def test_files_that_cannot_be(both: Any, pair: Any) -> None:
    def body(ours: Any, _peer: socket.socket) -> None:
        for arguments in (("a",), ("r", 0), ("x+",)):
            with pytest.raises(ValueError):  # noqa: PT011 - sockets have words of their own
                ours.makefile(*arguments)

    await both(*pair, body)


async def test_a_file_that_cannot_wait(both: Any, pair: Any) -> None:
    def body(ours: Any, _peer: socket.socket) -> None:
        ours.setblocking(False)
        with ours.makefile("rb", 0) as file:
            assert file.read(1) is None
        with ours.makefile("wb", 0) as file:
            while file.write(bytes(65536)) is not None:
                pass

    await both(*pair, body)


async def test_the_last_file_closes(both: Any, pair: Any) -> None:
    def body(ours: Any, peer: socket.socket) -> None:
        reading, writing = ours.makefile("rb"), ours.makefile("wb")
        ours.close()
        reading.close()
        writing.write(b"last")
        writing.close()
        assert b"".join(iter(lambda: peer.recv(100), b"")) == b"last"
        assert ours.fileno() == -1

    await both(*pair, body)


async def test_as_a_context(both: Any, pair: Any) -> None:
    def body(ours: Any, peer: socket.socket) -> None:
        with ours as same:
            assert same is ours
        assert peer.recv(1) == b""
        with ours:
            ours.close()
        assert ours.fileno() == -1

    await both(*pair, body)


async def test_what_else_a_socket_has(both: Any, pair: Any) -> None:
    def body(ours: Any, peer: socket.socket) -> None:
        assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_STREAM
        assert ours.family == peer.family
        assert f"fd={ours.fileno()}" in repr(ours)
        for copied in copy.copy, copy.deepcopy, pickle.dumps:
            with pytest.raises(TypeError):
                copied(ours)
        with pytest.raises(AttributeError):
            _ = ours.no_such_name

    await both(*pair, body)


def test_the_request_can_be_had_as_an_asynchronous_handler_has_it() -> None:
    request = object()
    assert BridgedRequest(request, None, lambda _: None).awaitable is request
