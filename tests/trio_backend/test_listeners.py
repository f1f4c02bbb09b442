"""Serving on the application's listeners, and how connections are closed."""

from __future__ import annotations

import errno
from typing import Any, Literal

import pytest
import trio
import trio.testing

from trio_backend import ListenerServer
from trio_backend.stream_request import StreamRequest

from .streams import NoHalfClose, Over
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
    client, theirs = trio.testing.memory_stream_pair()
    request = StreamRequest(MemoryStream(theirs))
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
