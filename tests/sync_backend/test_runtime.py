from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from sansio_server.driver import run_blocking
from sync_backend import BaseServer
from sync_backend.runtime import BlockingRequest, BlockingRuntime


@pytest.fixture
def pair() -> Iterator[tuple[BlockingRequest, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield BlockingRequest(ours), theirs


Pair = tuple[BlockingRequest, socket.socket]


def test_every_server_offers_the_runtime() -> None:
    assert isinstance(BaseServer.runtime, BlockingRuntime)


def test_sleep_takes_its_time() -> None:
    begun = time.monotonic()
    run_blocking(BlockingRuntime().sleep(0.01))
    assert time.monotonic() - begun >= 0.01


def test_run_blocking_returns_what_the_function_returns() -> None:
    assert run_blocking(BlockingRuntime().run_blocking(divmod, 7, 2)) == (3, 1)


def test_run_blocking_raises_what_the_function_raises() -> None:
    with pytest.raises(ZeroDivisionError):
        run_blocking(BlockingRuntime().run_blocking(divmod, 7, 0))


def test_what_waits_is_awaited(pair: Pair) -> None:
    request, peer = pair

    async def handle() -> bytes:
        await request.sendall(b"to the ")
        assert await request.send(b"peer") == 4
        first = await request.recv(2)
        buffer = bytearray(10)
        count = await request.recv_into(buffer, 3)
        return first + buffer[:count]

    peer.sendall(b"from the peer")
    assert run_blocking(handle()) == b"from "
    assert peer.recv(100) == b"to the peer"


def test_a_reply_is_sent_without_a_wait() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as theirs,
    ):
        theirs.bind(("127.0.0.1", 0))
        theirs.settimeout(30)
        request = BlockingRequest(ours)
        request.send_reply(b"reply", theirs.getsockname())
        assert theirs.recv(100) == b"reply"


def test_files_are_offered(pair: Pair) -> None:
    request, peer = pair
    rfile, wfile = request.async_files(-1)
    peer.sendall(b"line\n")

    async def handle() -> bytes:
        await wfile.write(b"answer")
        await wfile.flush()
        return await rfile.readline()

    assert run_blocking(handle()) == b"line\n"
    assert peer.recv(10) == b"answer"
    rfile.close()


def test_flags_are_passed_on(pair: Pair) -> None:
    request, peer = pair

    async def handle() -> tuple[bytes, int, bytes]:
        seen = await request.recv(5, socket.MSG_PEEK)
        count = await request.recv_into(bytearray(5), 5, socket.MSG_PEEK)
        await request.sendall(b"a", socket.MSG_DONTWAIT)
        await request.send(b"b", socket.MSG_DONTWAIT)
        return seen, count, await request.recv(5)

    peer.sendall(b"hello")
    assert run_blocking(handle()) == (b"hello", 5, b"hello")
    assert peer.recv(2) == b"ab"


def test_what_does_not_wait_is_the_sockets_own(pair: Pair) -> None:
    request, _ = pair
    request.settimeout(3)
    assert request.gettimeout() == 3
    assert request.family == socket.AF_UNIX
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = request.no_such_thing


def test_a_datagram_is_sent_with_and_without_flags() -> None:
    ours, theirs = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    with ours, theirs:
        theirs.bind(("127.0.0.1", 0))
        theirs.settimeout(10)
        request = BlockingRequest(ours)

        async def handle() -> int:
            count = await request.sendto(b"one", theirs.getsockname())
            return count + await request.sendto(b"three", 0, theirs.getsockname())

        assert run_blocking(handle()) == 8
        assert (theirs.recv(10), theirs.recv(10)) == (b"one", b"three")
