"""Requests as asynchronous handlers have them: real sockets, of which only the clock is mocked."""

from __future__ import annotations

import array
import math
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import trio
import trio.testing

from tests.trio_backend.streams import MUCH, connected, doing, drain, fill, results_of
from trio_backend.socket_request import TrioRequest, awaited

Call = Callable[[TrioRequest], Awaitable[Any]]


@pytest.fixture
def pair() -> Iterator[tuple[TrioRequest, socket.socket]]:
    with connected() as pair:
        yield pair


RECEIVING: list[Any] = [
    pytest.param(lambda r: r.recv(3), b"one", id="recv"),
    pytest.param(lambda r: r.recv_for_file(3), b"one", id="recv_for_file"),
    pytest.param(lambda r: r.recv_into(bytearray(3)), 3, id="recv_into"),
    pytest.param(lambda r: r.recv_into_for_file(bytearray(3)), 3, id="recv_into_for_file"),
    pytest.param(lambda r: r.recvfrom(3), (b"one", None), id="recvfrom"),
    pytest.param(lambda r: r.recvfrom_into(bytearray(3)), (3, None), id="recvfrom_into"),
    pytest.param(lambda r: r.recvmsg(3), (b"one", [], 0, None), id="recvmsg"),
    pytest.param(
        lambda r: r.recvmsg_into([bytearray(1), bytearray(2)]), (3, [], 0, None), id="recvmsg_into"
    ),
    pytest.param(lambda r: r.receive_some(3), b"one", id="receive_some"),
]


SENDING: list[Any] = [
    pytest.param(lambda r: r.send(b"one"), 3, id="send"),
    pytest.param(lambda r: r.sendmsg([b"o", b"ne"]), 3, id="sendmsg"),
    pytest.param(lambda r: r.sendall(b"one"), None, id="sendall"),
    pytest.param(lambda r: r.send_all(b"one"), None, id="send_all"),
]


def _told(result: Any) -> Any:
    """Leave out the address, which systems tell as None or as nothing."""
    return (*result[:-1], result[-1] or None) if isinstance(result, tuple) else result


# Timeouts.


async def test_timeouts_are_checked_and_told() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        request = awaited(ours)
        assert request.gettimeout() is None
        assert request.getblocking()
        request.settimeout(2.5)
        assert request.gettimeout() == 2.5
        assert request.getblocking()
        for wrong in -1, math.nan:
            with pytest.raises(ValueError, match=f"0 or more, or None, not {wrong}"):
                request.settimeout(wrong)
        assert repr(request) == f"<TrioRequest of {ours!r}>"
        assert request.gettimeout() == 2.5
        request.settimeout(0)
        assert not request.getblocking()
        request.setblocking(True)
        assert request.gettimeout() is None
        request.setblocking(False)
        assert request.gettimeout() == 0
        assert not request.getblocking()
        assert ours.gettimeout() is None  # the mode of the socket is left alone


@pytest.mark.parametrize("name", ["makefile", "sendfile"])
def test_what_would_block_is_not_there(name: str, pair: tuple[TrioRequest, socket.socket]) -> None:
    with pytest.raises(AttributeError, match=rf"{name}\(\) would block the other tasks: await "):
        getattr(pair[0], name)
    assert not hasattr(pair[0], name)


async def test_default_timeouts_become_those_of_the_request() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(5)
        assert awaited(ours).gettimeout() == 5
        assert ours.gettimeout() is None
        ours.settimeout(0)
        assert awaited(ours).gettimeout() == 0
        assert ours.gettimeout() == 0


async def test_tls_sockets_cannot_be_awaited() -> None:
    ours, theirs = socket.socketpair()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    with theirs, context.wrap_socket(ours, do_handshake_on_connect=False) as secure:
        with pytest.raises(TypeError, match=r"would block the other tasks.*trio\.SSLListener"):
            awaited(secure)


@pytest.mark.parametrize(("call", "result"), RECEIVING)
async def test_receiving_waits_no_longer_than_the_timeout(
    pair: tuple[TrioRequest, socket.socket],
    mock_clock: trio.testing.MockClock,
    call: Call,
    result: Any,
) -> None:
    request, theirs = pair
    request.settimeout(5)
    (error,) = await results_of(doing(mock_clock.jump, 5), lambda: call(request))
    assert isinstance(error, TimeoutError)
    assert str(error) == "timed out"
    theirs.sendall(b"one")  # nothing was lost
    assert _told(await call(request)) == result


@pytest.mark.parametrize(("call", "result"), SENDING)
async def test_sending_waits_no_longer_than_the_timeout(
    pair: tuple[TrioRequest, socket.socket],
    mock_clock: trio.testing.MockClock,
    call: Call,
    result: Any,
) -> None:
    request, theirs = pair
    fill(request)
    request.settimeout(5)
    (error,) = await results_of(doing(mock_clock.jump, 5), lambda: call(request))
    assert isinstance(error, TimeoutError)
    assert not drain(theirs).endswith(b"one")
    assert await call(request) == result
    assert drain(theirs) == b"one"


@pytest.mark.parametrize(("call", "result"), RECEIVING)
async def test_without_waiting_receiving_raises_that_it_would_block(
    pair: tuple[TrioRequest, socket.socket], call: Call, result: Any
) -> None:
    request, theirs = pair
    request.setblocking(False)
    with pytest.raises(BlockingIOError):
        await call(request)
    theirs.sendall(b"one")
    assert _told(await call(request)) == result


@pytest.mark.parametrize(("call", "result"), SENDING)
async def test_without_waiting_sending_raises_that_it_would_block(
    pair: tuple[TrioRequest, socket.socket], call: Call, result: Any
) -> None:
    request, theirs = pair
    request.setblocking(False)
    assert await call(request) == result
    assert drain(theirs) == b"one"
    fill(request)
    with pytest.raises(BlockingIOError):
        await call(request)


@pytest.mark.parametrize("kind", [bytes, bytearray])
async def test_without_waiting_what_has_room_is_sent(
    pair: tuple[TrioRequest, socket.socket], kind: Callable[[bytes], Any]
) -> None:
    request, theirs = pair
    request.setblocking(False)
    with pytest.raises(BlockingIOError):
        await request.sendall(kind(MUCH))
    came = drain(theirs)
    assert came
    assert MUCH.startswith(came)
    await request.sendall(kind(b"short"))
    assert drain(theirs) == b"short"


# Receiving and sending.


@pytest.mark.parametrize(("call", "result"), RECEIVING)
async def test_receiving_waits_for_data(
    pair: tuple[TrioRequest, socket.socket], call: Call, result: Any
) -> None:
    request, theirs = pair
    (got,) = await results_of(doing(theirs.sendall, b"one"), lambda: call(request))
    assert _told(got) == result


@pytest.mark.parametrize(("call", "result"), SENDING)
async def test_sending_waits_for_room(
    pair: tuple[TrioRequest, socket.socket], call: Call, result: Any
) -> None:
    request, theirs = pair
    fill(request)
    assert await results_of(doing(drain, theirs), lambda: call(request)) == [result]
    assert drain(theirs) == b"one"


@pytest.mark.parametrize("call", [p.values[0] for p in RECEIVING + SENDING])
async def test_what_waits_is_a_checkpoint_and_cancelled_begins_nothing(
    pair: tuple[TrioRequest, socket.socket], call: Call
) -> None:
    request, theirs = pair
    theirs.sendall(b"one")
    with trio.testing.assert_checkpoints():
        await call(request)
    theirs.sendall(b"two")
    drain(theirs)
    with trio.CancelScope() as scope:
        scope.cancel()
        await call(request)
    assert scope.cancelled_caught
    assert drain(theirs) == b""
    assert drain(request._sock).endswith(b"two")


async def test_received_into_buffers(pair: tuple[TrioRequest, socket.socket]) -> None:
    request, theirs = pair
    buffer = bytearray(b"------")
    theirs.sendall(b"abcd")
    assert await request.recv_into(buffer, 2) == 2
    assert buffer == b"ab----"
    assert (await request.recvfrom_into(memoryview(buffer)[3:], 0, socket.MSG_PEEK))[0] == 2
    assert buffer == b"ab-cd-"
    assert await request.recv(10) == b"cd"


async def test_file_descriptors_are_sent_and_received() -> None:
    ours, theirs = (awaited(sock) for sock in socket.socketpair())
    with ours._sock, theirs._sock:
        rights = array.array("i", [ours.fileno()])
        sent = await ours.sendmsg([b"fd"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        assert sent == 2
        data, [(level, kind, got)], _, _ = await theirs.recvmsg(10, socket.CMSG_SPACE(4))
        assert (data, level, kind) == (b"fd", socket.SOL_SOCKET, socket.SCM_RIGHTS)
        with socket.socket(fileno=array.array("i", got)[0]) as copy:
            copy.sendall(b"through the copy")
            assert await theirs.recv(100) == b"through the copy"


@pytest.mark.parametrize("kind", [bytes, bytearray, lambda data: array.array("I", data)])
async def test_all_is_sent_in_parts(
    pair: tuple[TrioRequest, socket.socket], kind: Callable[[bytes], Any]
) -> None:
    request, theirs = pair
    client = awaited(theirs)
    came = bytearray()

    async def receive() -> None:
        while chunk := await client.recv(30_000):
            came.extend(chunk)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await request.sendall(kind(MUCH))
        await request.sendall(kind(b""))
        await request.send_eof()
    assert came == MUCH


async def test_who_finds_the_data_taken_waits_on(pair: tuple[TrioRequest, socket.socket]) -> None:
    request, theirs = pair
    got: list[bytes] = []

    async def receive(one: TrioRequest, done: Callable[..., Any]) -> None:
        got.append(await one.recv(10))
        done()

    with request._sock.dup() as copy:
        async with trio.open_nursery() as nursery:
            first = trio.Event()
            for one in (request, awaited(copy)):
                nursery.start_soon(receive, one, first.set)
            await trio.testing.wait_all_tasks_blocked()
            theirs.sendall(b"first")
            await first.wait()
            await trio.testing.wait_all_tasks_blocked()
            assert got == [b"first"]
            theirs.sendall(b"second")
    assert got == [b"first", b"second"]


async def test_who_finds_the_room_taken_waits_on(pair: tuple[TrioRequest, socket.socket]) -> None:
    request, theirs = pair
    client = awaited(theirs)
    fill(request)
    filled = len(drain(theirs))
    fill(request)
    with request._sock.dup() as copy:
        async with trio.open_nursery() as nursery:
            for one, data in ((request, b"1"), (awaited(copy), b"2")):
                nursery.start_soon(one.sendall, data * 2 * filled)
            await trio.testing.wait_all_tasks_blocked()
            came = drain(theirs)
            while len(came) < 5 * filled:
                came += await client.recv(len(MUCH))
    assert came.count(b"1") >= 2 * filled
    assert came.count(b"2") >= 2 * filled
