"""The loop: serving, waiting for one request, stopping, limits, back-off, suspending."""

from __future__ import annotations

import errno
import logging
import signal
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.lowlevel
import trio.testing

from sansio_server.handlers import BaseRequestHandler, StreamRequestHandler
from sansio_server.ledger import Counters
from sansio_server.lifecycle import State
from sansio_server.trace import TraceKind
from trio_backend import BaseServer, TCPServer

from .support import MemoryServer, Watcher, ask, is_over, read_to_end, serving, until

Clock = trio.testing.MockClock


class Upper(StreamRequestHandler):
    async def handle(self) -> None:
        async for line in self.rfile:
            await self.wfile.write(line.upper())


class Nap(BaseRequestHandler):
    """Takes ten seconds."""

    async def handle(self) -> None:
        await trio.sleep(10)
        await self.request.sendall(b"done")


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


# Capacity.

FULL = OSError(errno.EMFILE, "too many open files")


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
