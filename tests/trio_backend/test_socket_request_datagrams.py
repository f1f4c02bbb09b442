"""The forms of a request beside that of a socket: datagrams, files, trio's streams."""

from __future__ import annotations

import errno
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from tests.trio_backend.streams import connected, doing, drain, fill, results_of
from trio_backend.socket_request import TrioRequest, awaited


@pytest.fixture
def pair() -> Iterator[tuple[TrioRequest, socket.socket]]:
    with connected() as pair:
        yield pair


@pytest.fixture
def datagrams(tmp_path: Path) -> Iterator[tuple[TrioRequest, socket.socket]]:
    """Return the sender of Unix datagrams, and a receiver that has an address."""
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ours,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as theirs,
    ):
        ours.bind(str(tmp_path / "ours"))
        theirs.bind(str(tmp_path / "theirs"))
        yield awaited(ours), theirs


def fill_datagrams(request: TrioRequest, address: str) -> None:
    """Send datagrams until the receiver has no room."""
    with suppress(BlockingIOError):
        while True:
            request._sock.sendto(b"fill", socket.MSG_DONTWAIT, address)


# Datagrams.


async def test_datagrams_are_sent_and_received(
    datagrams: tuple[TrioRequest, socket.socket],
) -> None:
    request, theirs = datagrams
    address = theirs.getsockname()
    assert await request.sendto(b"plain", address) == 5
    assert await request.sendto(b"flags", socket.MSG_NOSIGNAL, address) == 5
    assert await request.sendmsg([b"msg"], (), 0, address) == 3
    assert [theirs.recv(10) for _ in range(3)] == [b"plain", b"flags", b"msg"]
    theirs.sendto(b"answer", request.getsockname())
    assert await request.recvfrom(10) == (b"answer", address)


async def test_datagrams_are_tried_again_after_growing_pauses(
    datagrams: tuple[TrioRequest, socket.socket], autojump_clock: trio.abc.Clock
) -> None:
    request, theirs = datagrams
    address = theirs.getsockname()
    fill_datagrams(request, address)
    start = trio.current_time()
    sent: list[float] = []

    async def send() -> None:
        assert await request.sendto(b"late", address) == 4
        sent.append(trio.current_time() - start)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        await trio.sleep(0.4)  # attempts after 1, 3, 7, 15, 31, 63, 127, 227, 327 and 427 ms
        assert sent == []
        assert drain(theirs).endswith(b"fill")
    assert sent == [pytest.approx(0.427)]
    assert drain(theirs) == b"late"


async def test_datagrams_without_room_time_out(
    datagrams: tuple[TrioRequest, socket.socket], autojump_clock: trio.abc.Clock
) -> None:
    request, theirs = datagrams
    address = theirs.getsockname()
    fill_datagrams(request, address)
    start = trio.current_time()
    request.settimeout(1)
    with pytest.raises(TimeoutError, match="timed out"):
        await request.sendto(b"late", address)
    assert trio.current_time() - start == pytest.approx(1)
    request.settimeout(0)
    with pytest.raises(BlockingIOError):
        await request.sendto(b"late", address)


async def test_replies_are_sent_at_once_or_awaited(
    datagrams: tuple[TrioRequest, socket.socket],
) -> None:
    request, theirs = datagrams
    address = theirs.getsockname()
    assert request.send_reply(b"reply", address) is None
    assert theirs.recv(10) == b"reply"
    fill_datagrams(request, address)
    rest = request.send_reply(b"late", address)
    assert rest is not None
    drain(theirs)
    assert await rest == 4
    assert theirs.recv(10) == b"late"


# For rfile.


async def test_who_has_answered_does_not_give_way_again_to_receive_for_a_file(
    pair: tuple[TrioRequest, socket.socket],
) -> None:
    request, theirs = pair
    theirs.sendall(b"onetwo")
    turns: list[str] = []
    async with trio.open_nursery() as nursery:
        await request.sendall(b"answer")
        nursery.start_soon(doing(turns.append, "another's"))
        assert await request.recv_for_file(3) == b"one"
        assert turns == []
        with trio.testing.assert_checkpoints():  # the turn counted once
            assert await request.recv_for_file(3) == b"two"


async def test_receiving_for_a_file_is_cancelled_after_an_answer(
    pair: tuple[TrioRequest, socket.socket],
) -> None:
    request, theirs = pair
    theirs.sendall(b"one")
    await request.sendall(b"answer")
    with trio.CancelScope() as scope:
        scope.cancel()
        await request.recv_for_file(3)
    assert scope.cancelled_caught
    assert await request.recv_for_file(3) == b"one"


async def test_who_has_answered_waits_for_more_for_a_file(
    pair: tuple[TrioRequest, socket.socket],
) -> None:
    request, theirs = pair
    await request.sendall(b"answer")
    action = doing(theirs.sendall, b"more")
    assert await results_of(action, lambda: request.recv_for_file(9)) == [b"more"]
    await request.sendall(b"answer")
    theirs.shutdown(socket.SHUT_WR)
    assert await request.recv_for_file(9) == b""


async def test_receiving_for_a_file_times_out_after_an_answer(
    pair: tuple[TrioRequest, socket.socket], mock_clock: trio.testing.MockClock
) -> None:
    request, _ = pair
    request.settimeout(5)
    await request.sendall(b"answer")
    (error,) = await results_of(doing(mock_clock.jump, 5), lambda: request.recv_for_file(9))
    assert isinstance(error, TimeoutError)


async def test_receiving_for_a_file_ends_with_the_socket(
    pair: tuple[TrioRequest, socket.socket],
) -> None:
    request, _ = pair
    await request.sendall(b"answer")
    (error,) = await results_of(request.aclose, lambda: request.recv_for_file(9))
    assert isinstance(error, OSError)
    assert error.errno == errno.EBADF


# As trio's streams.


async def test_as_a_stream(pair: tuple[TrioRequest, socket.socket]) -> None:
    request, theirs = pair
    await request.wait_send_all_might_not_block()
    await request.send_all(b"all")
    assert theirs.recv(10) == b"all"
    theirs.sendall(b"x" * 1000)
    assert await request.receive_some() == b"x" * 1000
    with pytest.raises(ValueError, match="1 or more, not 0"):
        await request.receive_some(0)
    for _ in range(2):  # a second time does nothing
        await request.send_eof()
        assert theirs.recv(10) == b""
    with pytest.raises(trio.ClosedResourceError, match="after the end"):
        await request.send_all(b"more")
    theirs.sendall(b"still received")
    assert await request.receive_some() == b"still received"
    await request.aclose()
    with pytest.raises(BrokenPipeError):
        theirs.sendall(b"too late")


async def test_waiting_until_something_can_be_sent(
    pair: tuple[TrioRequest, socket.socket],
) -> None:
    request, theirs = pair
    fill(request)
    wait = request.wait_send_all_might_not_block
    assert await results_of(doing(drain, theirs), wait) == [None]
    fill(request)
    (error,) = await results_of(request.aclose, wait)
    assert isinstance(error, trio.ClosedResourceError)


async def test_what_is_closed_says_so_to_each(pair: tuple[TrioRequest, socket.socket]) -> None:
    request, _ = pair
    for _ in range(2):  # a second time does nothing, but is a checkpoint
        with trio.testing.assert_checkpoints():
            await request.aclose()
    assert request.fileno() == -1
    as_streams: list[Callable[[], Awaitable[Any]]] = [
        request.receive_some,
        request.send_eof,
        request.wait_send_all_might_not_block,
        lambda: request.send_all(b"data"),
    ]
    for call in as_streams:
        with pytest.raises(trio.ClosedResourceError, match="connection is closed"):
            await call()
    as_sockets: list[Callable[[], Awaitable[Any]]] = [
        lambda: request.recv(1),
        lambda: request.sendall(b"data"),
    ]
    for call in as_sockets:
        with pytest.raises(OSError, match="descriptor") as caught:
            await call()
        assert caught.value.errno == errno.EBADF


@pytest.mark.parametrize("name", ["recv", "receive_some", "sendall", "send_all"])
async def test_closing_wakes_who_waits(pair: tuple[TrioRequest, socket.socket], name: str) -> None:
    request, _ = pair
    fill(request)
    argument = b"data" if name.startswith("send") else 4
    (error,) = await results_of(request.aclose, lambda: getattr(request, name)(argument))
    if "_" in name:
        assert isinstance(error, trio.ClosedResourceError)
    else:
        assert isinstance(error, OSError)
        assert error.errno == errno.EBADF


async def test_lost_connections_are_broken_streams(
    pair: tuple[TrioRequest, socket.socket],
) -> None:
    request, theirs = pair
    await request.send_all(b"never read")
    theirs.close()
    with pytest.raises(trio.BrokenResourceError) as caught:
        await request.receive_some()
    assert isinstance(caught.value.__cause__, ConnectionResetError)
    with pytest.raises(trio.BrokenResourceError) as caught:
        await request.send_all(b"data")
    assert isinstance(caught.value.__cause__, BrokenPipeError)
    with closing(socket.socket()) as unconnected:
        with pytest.raises(trio.BrokenResourceError) as caught:
            await awaited(unconnected).send_eof()
        assert isinstance(caught.value.__cause__, OSError)
        assert caught.value.__cause__.errno == errno.ENOTCONN
