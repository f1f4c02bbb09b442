"""What a server on trio takes on, and when it takes on nobody.

Real sockets where errors of accepting and the kernel's queue are what it is about.
"""

from __future__ import annotations

import errno
import logging
import socket
import threading
from typing import Any

import pytest
import trio
import trio.lowlevel
import trio.testing

from sansio_server.handlers import BaseRequestHandler
from sansio_server.ledger import Counters
from sansio_server.lifecycle import State
from trio_backend import TCPServer

from .handlers import Nap, Upper
from .support import MemoryServer, ask, read_to_end, serving, until

# Capacity.

FULL = OSError(errno.EMFILE, "too many open files")

Clock = trio.testing.MockClock


async def test_it_backs_off_when_the_machine_is_full(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    server = MemoryServer(Upper)
    server.listener.errors = [FULL] * 6
    async with serving(server):
        begun = trio.current_time()
        assert await ask(server.connect()) == b"HELLO\n"
        waited = trio.current_time() - begun
        assert waited == pytest.approx(0.1 + 0.2 + 0.4 + 0.8 + 1 + 1)
        assert await ask(server.connect()) == b"HELLO\n"
    assert server.counters.capacity_errors == 6
    assert [(record.name, record.levelno) for record in caplog.records] == [
        ("sansio_server", logging.WARNING)
    ] * 2
    assert "cannot accept, and waits until it can: [Errno 24]" in caplog.messages[0]
    assert "accepts again" in caplog.messages[1]


async def test_a_stop_ends_the_back_off(autojump_clock: Clock) -> None:
    server = MemoryServer(Upper)
    server.listener.errors = [FULL] * 6
    async with serving(server):
        await until(lambda: server.counters.capacity_errors == 1)
        begun = trio.current_time()
    assert trio.current_time() == begun


async def test_each_episode_is_logged_once_where_get_request_is_overridden(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    class Server(MemoryServer):
        full = 0

        async def get_request(self) -> Any:
            if self.full:
                self.full -= 1
                raise FULL
            return await super().get_request()

    server = Server(Upper, full=3)
    async with serving(server):
        assert await ask(server.connect()) == b"HELLO\n"
        server.full = 3
        assert await ask(server.connect()) == b"HELLO\n"
        assert await ask(server.connect()) == b"HELLO\n"
    assert len(caplog.records) == 4


# Limits.


async def test_a_full_server_lets_nobody_in_until_there_is_room(autojump_clock: Clock) -> None:
    server = MemoryServer(Nap, max_connections=2)
    async with serving(server):
        begun = trio.current_time()
        clients = [server.connect() for _ in range(6)]
        for client in clients:
            assert await read_to_end(client) == b"done"
        assert trio.current_time() - begun == 30


async def test_no_more_are_let_in_at_once_than_there_is_room_for() -> None:
    most = 0

    class Server(TCPServer):
        max_connections = 3

    async def handler(request: Any, client_address: Any, server: Any) -> None:
        nonlocal most
        most = max(most, len(server._ledger))
        await trio.lowlevel.checkpoint()
        await request.sendall(b"done")

    async with Server(("127.0.0.1", 0), handler) as server:
        clients = [socket.create_connection(server.server_address) for _ in range(20)]
        async with trio.open_nursery() as nursery:
            await nursery.start(server.serve_forever)
            await until(lambda: server.counters.closed == 20)
            server.shutdown()
        for client in clients:
            with client:
                assert client.recv(5) == b"done"
    assert most == 3


async def test_a_full_server_may_shed(autojump_clock: Clock) -> None:
    class Server(MemoryServer):
        async def shed_request(self, request: Any, client_address: Any) -> None:
            await request.sendall(b"full")

    server = Server(Nap, max_connections=1, when_full="shed")
    async with serving(server):
        stays = server.connect()
        await until(lambda: server.counters.accepted == 1)
        assert await read_to_end(server.connect()) == b"full"
        assert await read_to_end(stays) == b"done"
        assert await read_to_end(server.connect()) == b"done"
    assert server.counters == Counters(accepted=3, shed=1, closed=3)


async def test_room_that_a_thread_makes_is_seen(autojump_clock: Clock) -> None:
    """A blocking handler may close its request itself, and have other things to do."""
    free = threading.Event()

    class Server(TCPServer):
        max_connections = 1

        def _limiter(self) -> trio.CapacityLimiter:
            return trio.CapacityLimiter(10)

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(b"done")
            self.server.shutdown_request(self.request)
            free.wait(10)

    async with Server(("127.0.0.1", 0), Handler) as server:
        clients = [socket.create_connection(server.server_address) for _ in range(2)]
        async with trio.open_nursery() as nursery:
            await nursery.start(server.serve_forever)
            await until(lambda: server.counters.closed == 2)
            free.set()
            server.shutdown()
        for client in clients:
            with client:
                assert client.recv(5) == b"done"


async def test_the_place_of_a_request_that_nobody_closed_is_found_again(
    autojump_clock: Clock,
) -> None:
    """An override may take a request away and close it by itself."""
    taken: list[Any] = []

    class Server(TCPServer):
        max_connections = 1

        def process_request(self, request: Any, client_address: Any) -> None:
            taken.append(request)

    async with Server(("127.0.0.1", 0), Upper) as server:
        with socket.create_connection(server.server_address):
            async with trio.open_nursery() as nursery:
                await nursery.start(server.serve_forever)
                await until(lambda: taken != [])
                with socket.create_connection(server.server_address):
                    await trio.sleep(5)
                    assert len(taken) == 1
                    taken[0].close()
                    await trio.sleep(5)
                    assert len(taken) == 2
                server.shutdown()
        taken[1].close()


async def test_limits_are_checked_before_it_serves() -> None:
    server = MemoryServer(Upper)
    server.cut_timeout = -1
    for serve in (server.serve_forever, server.handle_request):
        with pytest.raises(ValueError, match="cut_timeout must be 0 seconds or more"):
            await serve()
    assert server._lifecycle.loop is State.IDLE
    await server.server_close()


# Suspending.


async def test_a_suspended_server_accepts_nobody_and_goes_on_serving(
    autojump_clock: Clock,
) -> None:
    server = MemoryServer(Nap)
    async with serving(server):
        first = server.connect()
        await until(lambda: server.counters.accepted == 1)
        server.suspend()
        second = server.connect()
        assert await read_to_end(first) == b"done"
        await trio.sleep(100)
        assert server.counters.accepted == 1
        server.resume()
        assert await read_to_end(second) == b"done"


async def test_a_server_may_be_suspended_before_it_serves(autojump_clock: Clock) -> None:
    server = MemoryServer(Upper)
    server.suspend()
    async with serving(server):
        await trio.sleep(1)
        client = server.connect()
        await trio.sleep(1)
        assert server.counters.accepted == 0
        server.resume()
        assert await ask(client) == b"HELLO\n"
