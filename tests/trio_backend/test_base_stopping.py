"""How a loop on trio ends: by a stop, or with its one request.

Real sockets where a task that waits for a listener is to be woken.
"""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.lowlevel
import trio.testing

from sansio_server.handlers import BaseRequestHandler
from sansio_server.ledger import Counters
from sansio_server.lifecycle import State
from sansio_server.trace import TraceKind
from trio_backend import TCPServer

from .handlers import Nap, Upper
from .support import MemoryServer, Watcher, ask, is_over, read_to_end, serving

Clock = trio.testing.MockClock


# Stopping.


def in_thread(function: Callable[[], None]) -> None:
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


def in_signal_handler(function: Callable[[], None]) -> None:
    former = signal.signal(signal.SIGUSR1, lambda *_: function())
    try:
        signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, former)


def twice(function: Callable[[], None]) -> None:
    function()
    function()


def at_once(function: Callable[[], None]) -> None:
    threads = [threading.Thread(target=function) for _ in range(8)]
    for thread in threads:
        thread.start()
    function()
    for thread in threads:
        thread.join()


WAYS = [lambda function: function(), in_thread, in_signal_handler, twice, at_once]


@pytest.mark.parametrize("somewhere", WAYS)
async def test_anybody_may_stop_it_in_any_way(somewhere: Callable[[Any], None]) -> None:
    server = MemoryServer(Upper)
    async with serving(server, stop=False):
        assert await ask(server.connect()) == b"HELLO\n"
        await trio.testing.wait_all_tasks_blocked()
        somewhere(server.shutdown)
    assert is_over(server)


async def test_a_handler_may_stop_it_and_goes_on(autojump_clock: Clock) -> None:
    async def handler(request: Any, client_address: Any, server: Any) -> None:
        server.shutdown()
        await server.stopping.wait()
        await trio.sleep(5)
        await request.sendall(b"done")

    server = MemoryServer(handler)
    async with serving(server, stop=False):
        assert await read_to_end(server.connect()) == b"done"


@pytest.mark.parametrize("somewhere", WAYS)
async def test_a_stop_before_it_serves_is_kept(
    somewhere: Callable[[Any], None], autojump_clock: Clock
) -> None:
    server = MemoryServer(Upper, timeout=5)
    async with server:
        client = server.connect()
        somewhere(server.shutdown)
        await server.serve_forever()
        assert server.stopping.is_set()
        assert server.counters.accepted == 0
        somewhere(server.shutdown)
        with trio.testing.assert_checkpoints():
            assert await server.handle_request() is None
        assert server.counters.accepted == 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.handle_request)
            assert await ask(client) == b"HELLO\n"


@pytest.mark.parametrize("steps", range(12))
async def test_a_stop_as_it_begins_is_not_lost(steps: int, autojump_clock: Clock) -> None:
    server = MemoryServer(Upper)
    async with server, trio.open_nursery() as nursery:
        nursery.start_soon(server.serve_forever)
        for _ in range(steps):
            await trio.lowlevel.checkpoint()
        server.shutdown()
    assert server._lifecycle.loop is State.IDLE


async def test_a_stop_while_one_request_is_served_is_seen_by_its_handler(
    autojump_clock: Clock,
) -> None:
    seen: list[float] = []

    async def handler(request: Any, client_address: Any, server: Any) -> None:
        begun = trio.current_time()
        await server.stopping.wait()
        seen.append(trio.current_time() - begun)

    async with MemoryServer(handler) as server:
        server.connect()
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def stop() -> None:
                await trio.sleep(2)
                server.shutdown()

            await server.handle_request()
        assert seen == [2]
        await server.serve_forever()  # the stop was kept


async def test_closing_it_stops_it(autojump_clock: Clock) -> None:
    server = MemoryServer(Upper)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve_forever)
        await trio.testing.wait_all_tasks_blocked()
        await server.server_close()
    assert server._lifecycle.listener is State.CLOSED


async def test_it_may_be_stopped_where_no_run_is_any_more() -> None:
    def run() -> None:
        async def main() -> None:
            server.shutdown()
            await server.serve_forever()

        trio.run(main)
        server.shutdown()
        server.server_close()

    server = TCPServer(("127.0.0.1", 0), Upper)
    thread = threading.Thread(target=run)
    thread.start()
    await trio.to_thread.run_sync(thread.join)
    assert server.fileno() == -1


async def test_the_trace_tells_of_its_states(autojump_clock: Clock) -> None:
    server = MemoryServer(Upper)
    server.trace = watcher = Watcher()
    async with serving(server):
        server.suspend()
    states = [event.what for event in watcher if event.kind is TraceKind.STATE]
    assert states == ["SERVE", "SUSPEND", "SHUTDOWN", "LEAVE", "CLOSE"]


# One request.


async def test_one_request_is_served_in_the_callers_task(autojump_clock: Clock) -> None:
    tasks: list[Any] = []

    async def handler(request: Any, client_address: Any, server: Any) -> None:
        tasks.append(trio.lowlevel.current_task())

    server = MemoryServer(handler)
    async with server:
        clients = [server.connect(), server.connect()]
        with trio.testing.assert_checkpoints():
            assert await server.handle_request() is None
        assert tasks == [trio.lowlevel.current_task()]
        assert server.counters == Counters(accepted=1, closed=1)
        await server.handle_request()
        for client in clients:
            assert await read_to_end(client) == b""
    assert is_over(server)


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_wait_that_took_too_long_calls_a_hook(
    is_async: bool, autojump_clock: Clock
) -> None:
    class Server(MemoryServer):
        timeout = 3

        def handle_timeout(self) -> Any:
            return self.later() if is_async else "timed out"

        async def later(self) -> str:
            await trio.sleep(1)
            return "timed out"

    async with Server(Upper) as server:
        begun = trio.current_time()
        assert await server.handle_request() == "timed out"
        assert trio.current_time() - begun == 3 + is_async


async def test_no_time_at_all_is_one_look() -> None:
    class Server(TCPServer):
        timeout = 0
        timeouts = 0

        def handle_timeout(self) -> None:
            self.timeouts += 1

    async with Server(("127.0.0.1", 0), BaseRequestHandler) as server:
        await server.handle_request()
        assert server.timeouts == 1
        with socket.create_connection(server.server_address):
            await server.handle_request()
        assert (server.timeouts, server.counters.accepted) == (1, 1)


async def test_a_stop_ends_the_wait_for_one_request(autojump_clock: Clock) -> None:
    async with MemoryServer(Upper, timeout=5) as server:
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def stop() -> None:
                await trio.sleep(1)
                server.shutdown()

            begun = trio.current_time()
            assert await server.handle_request() is None
            assert trio.current_time() - begun == 1
        assert server._lifecycle.loop is State.IDLE


async def test_a_request_that_takes_too_long_is_cut_there_too(autojump_clock: Clock) -> None:
    async with MemoryServer(Nap, request_timeout=4) as server:
        client = server.connect()
        begun = trio.current_time()
        await server.handle_request()
        assert trio.current_time() - begun == 4
        assert await read_to_end(client) == b""
        assert server.counters.cut == server.counters.closed == 1


async def test_what_nobody_deals_with_comes_out_as_it_is(autojump_clock: Clock) -> None:
    async def handler(request: Any, client_address: Any, server: Any) -> None:
        raise ZeroDivisionError

    async with MemoryServer(handler, on_error="crash") as server:
        client = server.connect()
        with pytest.raises(ZeroDivisionError):
            await server.handle_request()
        assert await read_to_end(client) == b""
    assert is_over(server)


async def test_several_tasks_may_wait_for_a_request_each() -> None:
    async with TCPServer(("127.0.0.1", 0), Upper) as server, trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(server.handle_request)
        for _ in range(3):
            stream = await trio.open_tcp_stream(*server.server_address)
            assert await ask(stream) == b"HELLO\n"


async def test_while_it_is_suspended_the_time_passes(autojump_clock: Clock) -> None:
    class Server(MemoryServer):
        timeout = 3
        timeouts = 0

        def handle_timeout(self) -> None:
            self.timeouts += 1

    async with Server(Upper) as server:
        server.suspend()
        client = server.connect()
        await server.handle_request()
        assert (server.timeouts, server.counters.accepted) == (1, 0)
        server.resume()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.handle_request)
            assert await ask(client) == b"HELLO\n"
