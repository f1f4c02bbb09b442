"""Serving on the application's listeners: any stream as a request, and how it is closed."""

from __future__ import annotations

import errno
import socket
from typing import Any, Literal

import attrs
import pytest
import trio
import trio.testing

from trio_backend import ListenerServer
from trio_backend.listeners import StreamRequest

from .support import (
    HERE,
    MemoryListener,
    MemoryServer,
    MemoryStream,
    ask,
    connect,
    is_over,
    read_to_end,
    serving,
    until,
)

Clock = trio.testing.MockClock


class NoHalfClose(trio.abc.Stream):
    """A stream that cannot end its output alone; and that fails as it is told to."""

    def __init__(self, failure: BaseException | None = None) -> None:
        self.failure = failure
        self.sent = b""
        self.closed = False
        self.color = "green"

    async def _step(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.failure is not None:
            raise self.failure

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await self._step()
        return b"data"

    async def send_all(self, data: Any) -> None:
        await self._step()
        self.sent += data

    async def wait_send_all_might_not_block(self) -> None:
        await self._step()

    async def aclose(self) -> None:
        self.closed = True
        await self._step()


@attrs.frozen
class Over:
    """Anything above a transport, as TLS is."""

    transport_stream: Any


def pair() -> tuple[StreamRequest, Any]:
    """Return a request and its client."""
    ours, theirs = trio.testing.memory_stream_pair()
    return StreamRequest(MemoryStream(theirs)), ours


# A stream as a request.


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
    with pytest.raises(ValueError, match="0 or more"):
        request.settimeout(-1)
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


# The server.


async def echo(request: Any, client_address: Any, server: Any) -> None:
    while data := await request.recv(1000):
        await request.sendall(data)


async def nothing(request: Any, client_address: Any, server: Any) -> None:
    """Leave the client."""


def blocking_echo(request: Any, client_address: Any, server: Any) -> None:
    while data := request.recv(1000):
        request.sendall(data)


async def test_addresses_of_sockets_are_known() -> None:
    addresses = []

    async def note(request: Any, client_address: Any, server: Any) -> None:
        addresses.append(client_address)

    (listener,) = await trio.open_tcp_listeners(0, host=HERE[0])
    server = ListenerServer(listener, note)
    assert server.server_address == listener.socket.getsockname()
    async with serving(server):
        client = await connect(server)
        here = client.socket.getsockname()
        assert await read_to_end(client) == b""
    assert addresses == [here]


async def test_a_client_that_has_gone_has_no_address() -> None:
    addresses = []

    async def note(request: Any, client_address: Any, server: Any) -> None:
        addresses.append(client_address)

    listener = MemoryListener()
    sock = trio.socket.socket()  # never connected
    stream: Any = NoHalfClose()
    stream.transport_stream = Over(None)
    stream.socket = sock
    stream.transport_stream = None
    with sock:
        listener._send.send_nowait(stream)
        async with serving(ListenerServer(listener, note)):
            await until(lambda: stream.closed)
    assert addresses == [None]


async def test_accepting_fails_and_goes_on(autojump_clock: Clock) -> None:
    server = MemoryServer(echo)
    server.listener.errors += [OSError(errno.EMFILE, "too many"), OSError(errno.ECONNABORTED, "")]
    async with serving(server):
        assert await ask(server.connect()) == b"hello\n"
    assert is_over(server)


async def test_a_closed_listener_ends_the_server(autojump_clock: Clock) -> None:
    server = MemoryServer(echo)
    async with server:
        await server.listener.aclose()
        with pytest.raises(OSError, match="the listener is closed") as caught:
            await server.serve_forever()
    assert caught.value.errno == errno.EBADF


async def test_accepted_but_stopped_meanwhile_is_closed(autojump_clock: Clock) -> None:
    served: list[Any] = []
    server = MemoryServer(lambda *args: served.append(args))
    server.listener.on_accept = server.shutdown
    client = server.connect()
    async with serving(server, stop=False):
        assert await read_to_end(client) == b""
    assert served == []
    assert all(stream.closes for stream in server.listener.streams)


async def test_closing_that_never_ends_is_cut_off(autojump_clock: Clock) -> None:
    class Stuck(NoHalfClose):
        async def aclose(self) -> None:
            self.closed = True
            await trio.sleep_forever()

    listener: Any = MemoryListener()
    stream = Stuck()
    listener._send.send_nowait(stream)
    server = ListenerServer(listener, nothing)
    server.close_timeout = 7
    async with serving(server):
        await until(lambda: stream.closed)
        begun = trio.current_time()
        await trio.testing.wait_all_tasks_blocked()
        assert server.counters.closed == 0
        server.shutdown()
        await server.wait_drained()
        assert trio.current_time() - begun == 7
    assert is_over(server)


@pytest.mark.parametrize("failure", [trio.BrokenResourceError, trio.ClosedResourceError])
async def test_a_goodbye_to_one_who_has_gone(
    autojump_clock: Clock, failure: type[Exception]
) -> None:
    class Gone(MemoryStream):
        async def send_eof(self) -> None:
            await trio.lowlevel.checkpoint()
            raise failure

    server = MemoryServer(nothing)
    _, theirs = trio.testing.memory_stream_pair()
    stream = Gone(theirs)
    server.listener._send.send_nowait(stream)
    async with serving(server):
        await until(lambda: stream.closes == 1)
    assert server.reported == []
    assert is_over(server)


async def test_a_request_is_closed_though_it_has_no_place(autojump_clock: Clock) -> None:
    request, client = pair()
    server = MemoryServer(nothing)
    async with server:
        await server.close_request(request)
    assert await read_to_end(client) == b""
    assert server.counters.closed == 0


async def test_a_cancelled_server_closes_without_delay(autojump_clock: Clock) -> None:
    begun = trio.Event()

    async def wait(request: Any, client_address: Any, server: Any) -> None:
        begun.set()
        await trio.sleep_forever()

    server = MemoryServer(wait)
    client = server.connect()
    async with serving(server, stop=False) as nursery:
        await begun.wait()
        nursery.cancel_scope.cancel()
    assert trio.current_time() == 0
    assert is_over(server)
    with pytest.raises(trio.BrokenResourceError):
        await client.send_all(b"x")


async def test_a_request_that_a_cancelled_hook_left_open_is_closed(autojump_clock: Clock) -> None:
    begun = trio.Event()

    class Server(MemoryServer):
        async def shutdown_request(self, request: Any) -> None:
            begun.set()
            await trio.sleep_forever()

    server = Server(nothing)
    client = server.connect()
    async with serving(server, stop=False) as nursery:
        await begun.wait()
        nursery.cancel_scope.cancel()
    assert [stream.closes for stream in server.listener.streams] == [1]
    assert await read_to_end(client) == b""


async def test_a_drain_ends_the_input(autojump_clock: Clock) -> None:
    server = MemoryServer(echo)
    async with serving(server):
        client = server.connect()
        await client.send_all(b"x")
        assert await client.receive_some(1) == b"x"
        for place in list(server._workers):
            server._end_input(server._workers[place].request)
        assert await client.receive_some(1) == b""
    assert is_over(server)


# Blocking handlers.


@pytest.mark.parametrize("carrier", ["threads", "greenlets"])
async def test_blocking_handlers(carrier: Literal["threads", "greenlets"]) -> None:
    server = MemoryServer(blocking_echo, blocking_handlers=carrier)
    async with serving(server):
        assert await ask(server.connect()) == b"hello\n"
    assert server.reported == []
    assert is_over(server)


@pytest.mark.parametrize("carrier", ["threads", "greenlets"])
async def test_cancelling_interrupts_a_blocking_handler(
    carrier: Literal["threads", "greenlets"],
) -> None:
    ended: list[str] = []

    def handler(request: Any, client_address: Any, server: Any) -> None:
        request.sendall(b"begun")
        try:
            request.recv(1)
        finally:
            ended.append(carrier)

    server = MemoryServer(handler, blocking_handlers=carrier)
    client = server.connect()
    async with serving(server, stop=False) as nursery:
        assert await client.receive_some(5) == b"begun"
        nursery.cancel_scope.cancel()
    assert ended == [carrier]
    assert is_over(server)
