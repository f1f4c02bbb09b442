"""The loop: serving, waiting for one request, stopping, limits, back-off, suspending."""

from __future__ import annotations

import errno
import socket
from typing import Any

import pytest
import trio
import trio.lowlevel
import trio.testing

from sansio_server.ledger import Counters
from sansio_server.lifecycle import State
from sansio_server.trace import TraceKind
from trio_backend import BaseServer, TCPServer

from .handlers import Nap, Upper
from .support import MemoryServer, Watcher, ask, is_over, read_to_end, serving, until

Clock = trio.testing.MockClock


# Serving.


async def test_it_serves_until_it_is_stopped(autojump_clock: Clock) -> None:
    server = MemoryServer(Upper)
    async with serving(server):
        assert await ask(server.connect()) == b"HELLO\n"
        assert await ask(server.connect(), b"a\nb\n") == b"A\nB\n"
    assert server.counters == Counters(accepted=2, closed=2)
    assert is_over(server)


async def test_requests_are_served_at_the_same_time(autojump_clock: Clock) -> None:
    server = MemoryServer(Nap)
    async with serving(server):
        begun = trio.current_time()
        clients = [server.connect() for _ in range(100)]
        for client in clients:
            assert await read_to_end(client) == b"done"
        assert trio.current_time() - begun == 10


async def test_starting_it_returns_the_server_which_serves(autojump_clock: Clock) -> None:
    server = MemoryServer(Upper)
    async with server, trio.open_nursery() as nursery:
        assert await nursery.start(server.serve_forever) is server
        assert server._lifecycle.loop is State.SERVING
        server.shutdown()


async def test_it_may_serve_again(autojump_clock: Clock) -> None:
    server = MemoryServer(Upper)
    async with server:
        for _ in range(2):
            async with trio.open_nursery() as nursery:
                await nursery.start(server.serve_forever)
                assert not server.stopping.is_set()
                assert await ask(server.connect()) == b"HELLO\n"
                server.shutdown()
            assert server.stopping.is_set()


async def test_its_times_are_those_of_trios_clock(autojump_clock: Clock) -> None:
    server = MemoryServer(Upper)
    assert server._now() == 0.0
    server.trace = watcher = Watcher()
    async with serving(server):
        await trio.sleep(1000)
        await ask(server.connect())
        assert server._now() == trio.current_time()
        accepted = next(event for event in watcher if event.kind is TraceKind.ACCEPT)
        assert accepted.time == server._now()


async def test_service_actions_are_called_in_turns(autojump_clock: Clock) -> None:
    class Server(MemoryServer):
        turns = 0

        def service_actions(self) -> None:
            self.turns += 1

    server = Server(Upper)
    async with server, trio.open_nursery() as nursery:
        await nursery.start(server.serve_forever, 0.5)
        await trio.sleep(10.2)
        assert server.turns == 20
        server.shutdown()


async def test_service_actions_may_be_awaited(autojump_clock: Clock) -> None:
    class Server(MemoryServer):
        turns = 0

        async def service_actions(self) -> None:
            await trio.sleep(1)
            self.turns += 1

    server = Server(Upper)
    async with server, trio.open_nursery() as nursery:
        await nursery.start(server.serve_forever, 1.0)
        await trio.sleep(10.5)
        assert server.turns == 5
        server.shutdown()


async def test_what_service_actions_raise_ends_the_loop(autojump_clock: Clock) -> None:
    class Server(MemoryServer):
        def service_actions(self) -> None:
            raise ZeroDivisionError

    server = Server(Nap)
    client = server.connect()
    with pytest.RaisesGroup(ZeroDivisionError):
        async with server:
            await server.serve_forever()
    assert await read_to_end(client) == b""
    assert server.stopping.is_set()
    assert is_over(server)


# Letting clients in.


async def test_get_request_may_be_asynchronous_and_wait(autojump_clock: Clock) -> None:
    send, receive = trio.open_memory_channel[str](10)
    served: list[str] = []

    class Server(BaseServer):
        async def get_request(self) -> Any:
            return await receive.receive(), "client"

    def handler(request: str, client_address: str, server: Any) -> None:
        served.append(request)

    server = Server("memory", handler)
    server.request_timeout = 5
    async with serving(server):
        await trio.sleep(7)
        for word in "abc":
            await send.send(word)
        await until(lambda: len(served) == 3)
    assert sorted(served) == ["a", "b", "c"]
    assert server.counters.closed == 3
    send.close()
    receive.close()


async def test_get_request_may_do_more_than_to_accept(autojump_clock: Clock) -> None:
    """Where there is a listener to wait for, only a stop ends what comes after the wait."""

    class Server(TCPServer):
        shaken = 0

        async def get_request(self) -> Any:
            pair = super().get_request()
            try:
                await trio.sleep(3)  # shakes hands
                self.shaken += 1
                return pair
            except trio.Cancelled:
                pair[0].close()
                raise

        def service_actions(self) -> None:
            """To have turns."""

        async def _wait_for_client(self) -> None:
            await trio.lowlevel.checkpoint()  # the listener is readable, and time need not pass

    async with Server(("127.0.0.1", 0), Upper) as server:
        with socket.create_connection(server.server_address) as client:
            client.sendall(b"hello\n")
            client.shutdown(socket.SHUT_WR)
            async with trio.open_nursery() as nursery:
                await nursery.start(server.serve_forever, 0.5)
                await trio.sleep(1)
                server.suspend()  # wakes the loop, but does not end what it is at
                await trio.sleep(5)
                assert server.shaken == 1
                server.resume()
                server.shutdown()
            assert client.makefile("rb").read() == b"HELLO\n"
        with socket.create_connection(server.server_address):
            async with trio.open_nursery() as nursery:
                await nursery.start(server.serve_forever, 0.5)
                await trio.sleep(1)
                server.shutdown()
        assert server.shaken == 1
        assert is_over(server)


async def test_a_client_who_came_just_before_a_stop_is_closed(autojump_clock: Clock) -> None:
    server = MemoryServer(Upper)
    client = server.connect()
    async with server, trio.open_nursery() as nursery:
        server.listener.on_accept = server.shutdown
        await nursery.start(server.serve_forever)
        assert await read_to_end(client) == b""
    assert server.counters.accepted == 0
    assert [stream.closes for stream in server.listener.streams] == [1]


async def test_a_client_who_came_just_before_a_suspension_waits(autojump_clock: Clock) -> None:
    server = MemoryServer(Upper)
    server.listener.on_accept = server.suspend
    async with serving(server) as nursery:
        client = server.connect()
        answers: list[bytes] = []

        @nursery.start_soon
        async def talk() -> None:
            answers.append(await ask(client))

        await trio.sleep(100)
        assert answers == []
        server.resume()
        await until(lambda: answers != [])
        assert answers == [b"HELLO\n"]


async def test_an_error_of_one_connection_is_passed_over(autojump_clock: Clock) -> None:
    server = MemoryServer(Upper)
    server.listener.errors = [OSError(errno.ECONNABORTED, "aborted"), BlockingIOError()]
    async with serving(server):
        assert await ask(server.connect()) == b"HELLO\n"
    assert server.counters == Counters(accepted=1, closed=1, connection_errors=1)


async def test_a_dead_listener_ends_the_loop_and_all_requests(autojump_clock: Clock) -> None:
    server = MemoryServer(Nap)
    client = server.connect()
    async with server, trio.open_nursery() as nursery:

        @nursery.start_soon
        async def kill() -> None:
            await until(lambda: server.counters.accepted == 1)
            await server.listener.aclose()

        with pytest.raises(OSError, match="the listener is closed") as caught:
            await server.serve_forever()
    assert caught.value.errno == errno.EBADF
    assert await read_to_end(client) == b""
    assert is_over(server)


# The rest.


async def test_servers_may_share_their_limits_and_their_end(autojump_clock: Clock) -> None:
    one, other = MemoryServer(Nap, max_connections=1), MemoryServer(Nap, max_connections=1)
    other._share(one)
    async with one, other, trio.open_nursery() as nursery:
        await nursery.start(one.serve_forever)
        await nursery.start(other.serve_forever)
        begun = trio.current_time()
        clients = [server.connect() for server in (one, other, one, other)]
        for client in clients:
            assert await read_to_end(client) == b"done"
        assert trio.current_time() - begun == 40
        assert one.counters == other.counters == Counters(accepted=4, closed=4)
        other.shutdown()


async def test_requests_of_servers_that_share_are_cut_whoever_looks(
    autojump_clock: Clock,
) -> None:
    one, other = MemoryServer(Nap, request_timeout=3), MemoryServer(Nap, request_timeout=3)
    other._share(one)
    async with one, other, trio.open_nursery() as nursery:
        await nursery.start(one.serve_forever)
        await nursery.start(other.serve_forever)
        begun = trio.current_time()
        clients = [server.connect() for server in (one, other)]
        for client in clients:
            assert await read_to_end(client) == b""
        assert trio.current_time() - begun == 3
        one.shutdown()
    assert one.counters.cut == 2


async def test_what_may_be_set_is_checked() -> None:
    with pytest.raises(ValueError, match="on_error must be 'report' or 'crash', not 'ignore'"):
        MemoryServer(Upper, on_error="ignore")
    with pytest.raises(ValueError, match=r"blocking_handlers must be one of .*, not 'processes'"):
        MemoryServer(Upper, blocking_handlers="processes")
    server = MemoryServer(Upper)
    server.blocking_handlers = "processes"  # type: ignore[assignment]
    with pytest.raises(ValueError, match="blocking_handlers must be one of"):
        await server.serve_forever()
    await server.server_close()
