"""Any stream of trio's as a request: what sockets say, and what streams do."""

from __future__ import annotations

import errno
import math
import socket
from typing import Any

import pytest
import trio
import trio.testing

from trio_backend.stream_request import StreamRequest

from .streams import NoHalfClose, Over
from .support import (
    MemoryStream,
    read_to_end,
)

Clock = trio.testing.MockClock


def pair() -> tuple[StreamRequest, Any]:
    """Return a request and its client."""
    ours, theirs = trio.testing.memory_stream_pair()
    return StreamRequest(MemoryStream(theirs)), ours


async def test_it_sends_and_receives(autojump_clock: Clock) -> None:
    request, client = pair()
    await client.send_all(b"abcdefgh")
    assert await request.recv(2) == b"ab"
    assert await request.receive_some(1) == b"c"
    buffer = bytearray(4)
    assert await request.recv_into(buffer, 2) == 2
    assert buffer == b"de\0\0"
    assert await request.recv_into(buffer) == 3
    assert buffer == b"fgh\0"
    await request.sendall(b"1")
    assert await request.send(memoryview(b"23")) == 2
    await request.wait_send_all_might_not_block()
    await request.send_all(b"4")
    await request.send_eof()
    assert await read_to_end(client) == b"1234"
    assert await request.recv(1) == await request.receive_some() == b""


async def test_its_time_is_up(autojump_clock: Clock) -> None:
    request, client = pair()
    assert request.gettimeout() is None
    for wrong in -1, math.nan:
        with pytest.raises(ValueError, match=f"0 or more, or None, not {wrong}"):
            request.settimeout(wrong)
    request.settimeout(3)
    assert request.gettimeout() == 3
    begun = trio.current_time()
    with pytest.raises(TimeoutError):
        await request.recv(1)
    assert trio.current_time() - begun == 3
    with pytest.raises(TimeoutError):
        await request.recv_into(bytearray(1))
    assert trio.current_time() - begun == 6
    await client.send_all(b"x")
    assert await request.recv(1) == b"x"


async def test_sending_takes_too_long(autojump_clock: Clock) -> None:
    class Stuck(NoHalfClose):
        async def send_all(self, data: Any) -> None:
            await trio.sleep_forever()

    request = StreamRequest(Stuck())
    request.settimeout(3)
    for send in (request.send, request.sendall):
        with pytest.raises(TimeoutError):
            await send(b"x")
    assert trio.current_time() == 6


async def test_a_timeout_is_not_for_the_names_of_trio(autojump_clock: Clock) -> None:
    request, _ = pair()
    request.settimeout(3)
    with trio.move_on_after(5) as scope:
        await request.receive_some()
    assert scope.cancelled_caught


async def test_the_input_ends_for_one_who_waits_and_later(autojump_clock: Clock) -> None:
    request, _ = pair()
    got = []

    async def receive() -> None:
        got.append(await request.recv(1))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await trio.testing.wait_all_tasks_blocked()
        request.end_input()
    assert got == [b""]
    assert await request.recv(1) == b""


async def test_shutting_down_one_direction_or_both(autojump_clock: Clock) -> None:
    request, client = pair()
    await client.send_all(b"more")
    await request.shutdown(socket.SHUT_RD)
    assert await request.recv(4) == b""
    await request.sendall(b"out")
    await request.shutdown(socket.SHUT_WR)
    assert await read_to_end(client) == b"out"

    request, client = pair()
    await request.shutdown(socket.SHUT_RDWR)
    assert await request.recv(4) == b""
    assert await read_to_end(client) == b""


async def test_a_stream_without_an_end_of_its_own() -> None:
    stream = NoHalfClose()
    request = StreamRequest(stream)
    with trio.testing.assert_checkpoints():
        await request.send_eof()
    await request.sendall(b"still open")
    assert stream.sent == b"still open"
    assert [stream.closed, request.closed] == [False, False]
    await request.aclose()
    assert [stream.closed, request.closed] == [True, True]


async def test_errors_are_those_of_sockets() -> None:
    for failure, number in (
        (trio.ClosedResourceError(), errno.EBADF),
        (trio.BrokenResourceError("lost"), errno.ECONNRESET),
    ):
        request = StreamRequest(NoHalfClose(failure))
        with pytest.raises(OSError) as caught:  # noqa: PT011 - its number is looked at
            await request.recv(1)
        assert caught.value.errno == number
        with pytest.raises(OSError) as caught:  # noqa: PT011 - its number is looked at
            await request.sendall(b"x")
        assert caught.value.errno == number
        with pytest.raises(type(failure)):
            await request.receive_some(1)  # by this name, as trio has it


async def test_the_cause_of_an_error_is_raised() -> None:
    cause = BrokenPipeError(errno.EPIPE, "pipe")
    failure = trio.BrokenResourceError()
    failure.__cause__ = cause
    with pytest.raises(BrokenPipeError) as caught:
        await StreamRequest(NoHalfClose(failure)).sendall(b"x")
    assert caught.value is cause


async def test_it_says_what_it_is_of() -> None:
    request, _ = pair()
    assert repr(request) == f"<StreamRequest of {request.stream!r}>"


async def test_other_names_are_the_streams_and_its_sockets() -> None:
    request = StreamRequest(NoHalfClose())
    assert request.color == "green"
    with pytest.raises(AttributeError, match="getpeername"):
        request.getpeername()
    ours, theirs = trio.socket.socketpair()
    with ours, theirs:
        above: Any = Over(Over(trio.SocketStream(ours)))
        request = StreamRequest(above)
        assert request.fileno() == ours.fileno()
        with pytest.raises(AttributeError, match="nonsense"):
            _ = request.nonsense
