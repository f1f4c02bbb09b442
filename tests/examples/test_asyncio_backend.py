"""The asyncio backend does what the others do, though it decides nothing itself."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sansio_server import (
    BaseRequestHandler,
    StreamRequestHandler,
    TraceEvent,
    TraceKind,
)
from tests.examples.asyncio_servers import (
    BOTH,
    HERE,
    PATIENCE,
    AsyncLines,
    AsyncPackets,
    Lines,
    Packets,
    backend,
    callable_handler,
    callable_that_returns_an_awaitable,
    connect,
    leave,
    run,
    running,
    say,
)
from tests.examples.programs import said, serving

# As a program.


def test_the_program_sorts_the_words_of_each_line() -> None:
    with serving("asyncio_server.py") as server:
        assert said("lines_client.py", server.address, "c a b", "z y") == ["a b c", "y z"]


# Handlers of every kind, on sockets of every kind.


@pytest.mark.parametrize(
    "handler", [AsyncLines, Lines, callable_handler, callable_that_returns_an_awaitable]
)
@pytest.mark.parametrize("kind", ["TCPServer", "UnixStreamServer"])
def test_streams(kind: str, handler: Callable[..., Any], tmp_path: Path) -> None:
    async def test() -> None:
        address = HERE if kind == "TCPServer" else str(tmp_path / "server")
        async with running(getattr(backend, kind)(address, handler)) as server:
            clients = [await connect(server) for _ in range(3)]
            for client in clients:
                assert await say(client) == b"HELLO\n"
            for client in clients:
                client[1].write_eof()
                assert await leave(client) == b""
        assert (server.counters.closed, server.counters.errors) == (3, 0)

    run(test())


@pytest.mark.parametrize("handler", [AsyncPackets, Packets])
@pytest.mark.parametrize("kind", ["UDPServer", "UnixDatagramServer"])
def test_datagrams(kind: str, handler: Callable[..., Any], tmp_path: Path) -> None:
    async def test() -> None:
        unix = kind == "UnixDatagramServer"
        address = str(tmp_path / "server") if unix else HERE
        family = socket.AF_UNIX if unix else socket.AF_INET
        async with running(getattr(backend, kind)(address, handler)) as server:
            with socket.socket(family, socket.SOCK_DGRAM) as client:
                if unix:
                    client.bind(str(tmp_path / "client"))
                client.setblocking(False)
                for data in b"one", b"two":
                    client.sendto(data, server.server_address)
                    reply = await asyncio.get_running_loop().sock_recv(client, 100)
                    assert reply == data.upper()
        assert server.counters.closed == 2

    run(test())


def test_a_handler_may_await_the_runtime() -> None:
    class Handler(StreamRequestHandler):
        async def handle(self) -> None:
            await self.server.runtime.sleep(0.0)
            main = threading.main_thread()
            elsewhere = await self.server.runtime.run_blocking(threading.current_thread) is not main
            await self.connection.send(b"%d" % elsewhere)

    async def test() -> None:
        async with running(backend.TCPServer(HERE, Handler)) as server:
            assert await leave(await connect(server)) == b"1"

    run(test())


def test_an_operation_may_time_out() -> None:
    class Impatient(StreamRequestHandler):
        timeout = 0.01

        async def handle(self) -> None:
            try:
                await self.rfile.readline()
            except TimeoutError:
                await self.wfile.write(b"too late")

    async def test() -> None:
        async with running(backend.TCPServer(HERE, Impatient)) as server:
            assert await leave(await connect(server)) == b"too late"

    run(test())


# Hooks.


@BOTH
def test_hooks_run_in_the_order_of_the_table(handler: Callable[..., Any]) -> None:
    events: list[TraceEvent] = []

    async def test() -> None:
        server = backend.TCPServer(HERE, handler)
        server.trace = events.append
        async with running(server):
            client = await connect(server)
            await say(client)
            client[1].write_eof()
            await leave(client)

    run(test())
    entered = [event.what for event in events if event.kind is TraceKind.ENTER]
    assert entered == ["verify_request", "process_request", "finish_request", "shutdown_request"]
    moved = [(event.what, event.detail) for event in events if event.kind is TraceKind.BYTES]
    assert [pair for pair in moved if pair[1]] == [("in", 6), ("out", 6)]


def test_hooks_may_be_asynchronous() -> None:
    class Server(backend.TCPServer):  # type: ignore[misc]
        async def get_request(self) -> Any:
            await asyncio.sleep(0)
            return super().get_request()

        async def verify_request(self, request: Any, client_address: Any) -> bool:
            await asyncio.sleep(0)
            if len(refused) == 2:
                return True
            refused.append(client_address)
            return False

        async def process_request(self, request: Any, client_address: Any) -> None:
            await super().process_request(request, client_address)

    refused: list[Any] = []

    async def test() -> None:
        async with running(Server(HERE, AsyncLines)) as server:
            for _ in range(2):
                assert await leave(await connect(server)) == b""
            client = await connect(server)
            assert await say(client) == b"HELLO\n"
            client[1].write_eof()
            await leave(client)
        assert server.counters.refused == 2

    run(test())


def test_a_blocking_handler_has_a_thread_below_an_asynchronous_hook_too() -> None:
    class Server(backend.TCPServer):  # type: ignore[misc]
        async def finish_request(self, request: Any, client_address: Any) -> None:
            await asyncio.sleep(0)
            await super().finish_request(request, client_address)

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            threads.append(threading.current_thread())

    threads: list[threading.Thread] = []

    async def test() -> None:
        async with running(Server(HERE, Handler)) as server:
            assert await leave(await connect(server)) == b""

    run(test())
    [thread] = threads
    assert thread is not threading.main_thread()


def test_errors_are_told_and_the_server_lives() -> None:
    class Server(backend.TCPServer):  # type: ignore[misc]
        def handle_error(self, request: Any, client_address: Any) -> None:
            told.append(sys.exc_info()[1])
            if len(told) == 2:
                raise KeyError("nobody deals with this")

    class Fails(BaseRequestHandler):
        async def handle(self) -> None:
            raise ValueError("no")

    told: list[Any] = []
    contexts: list[dict[str, Any]] = []

    async def test() -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda loop, context: contexts.append(context)
        )
        async with running(Server(HERE, Fails)) as server:
            for _ in range(3):
                assert await leave(await connect(server)) == b""

    run(test())
    assert [type(error) for error in told] == [ValueError] * 3
    assert [type(context["exception"]) for context in contexts] == [KeyError]


# Limits.


@BOTH
def test_clients_wait_for_room(handler: Callable[..., Any]) -> None:
    async def test() -> None:
        server = backend.TCPServer(HERE, handler)
        server.max_connections = 2
        most = 0

        def watch(event: TraceEvent) -> None:
            nonlocal most
            if event.kind is TraceKind.ACCEPT:
                most = max(most, event.request - server.counters.closed)

        server.trace = watch
        clients = [await connect(server) for _ in range(5)]
        async with running(server):
            for client in clients:
                assert await say(client) == b"HELLO\n"
                client[1].write_eof()
                await leave(client)
        assert (most, server.counters.accepted) == (2, 5)

    run(test())


def test_a_suspended_server_leaves_clients_in_the_queue() -> None:
    async def test() -> None:
        server = backend.TCPServer(HERE, AsyncLines)
        server.suspend()
        async with running(server):
            client = await connect(server)
            client[1].write(b"hello\n")
            await asyncio.sleep(0)
            server.service_actions = server.resume  # in the loop's next turn,
            server.suspend()  # for which this wakes it
            assert await client[0].readline() == b"HELLO\n"
            del server.service_actions
            client[1].close()
            await client[1].wait_closed()

    run(test())


@BOTH
def test_a_request_may_take_so_long_and_no_longer(handler: Callable[..., Any]) -> None:
    async def test() -> None:
        server = backend.TCPServer(HERE, handler)
        server.request_timeout = 0.05
        async with running(server):
            client = await connect(server)
            assert await leave(client) == b""
        assert server.counters.cut == 1

    run(test())


# Stopping.


@BOTH
def test_a_drain_waits_and_then_cuts(
    handler: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        server = backend.TCPServer(HERE, handler)
        server.drain_timeout = 0.05
        async with running(server):
            leaves, stays = await connect(server), await connect(server)
            name = stays[1].get_extra_info("sockname")
            for client in leaves, stays:
                assert await say(client) == b"HELLO\n"
            server.shutdown()
            leaves[1].write_eof()
            assert await leave(leaves) == b""
            assert await leave(stays) == b""
        report = server.drain_report
        assert len(report.finished) == 1
        [straggler] = report.cut
        assert (straggler.client_address, straggler.ended) == (name, True)
        assert "for line in self.rfile" in straggler.where

    run(test())
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


@BOTH
def test_cancelling_the_loop_ends_all_requests(handler: Callable[..., Any]) -> None:
    async def test() -> None:
        server = backend.TCPServer(HERE, handler)
        task = asyncio.create_task(server.serve_forever())
        clients = [await connect(server) for _ in range(3)]
        for client in clients:
            await say(client)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        server.server_close()
        for client in clients:
            assert await leave(client) == b""
        assert (server.counters.closed, server.counters.cut) == (3, 3)
        assert [straggler.ended for straggler in server.drain_report.cut] == [True] * 3

    run(test())


def test_a_request_that_is_cut_twice_is_closed_when_its_thread_has_ended() -> None:
    gate, begun = threading.Event(), threading.Event()
    order: list[str] = []

    class Gate(BaseRequestHandler):
        def handle(self) -> None:
            begun.set()
            gate.wait(PATIENCE)
            order.append("handled")

    class Server(backend.TCPServer):  # type: ignore[misc]
        def _interrupt(self, request: Any) -> None:
            super()._interrupt(request)
            interrupted.set()

        def shutdown_request(self, request: Any) -> None:
            order.append("closed")
            super().shutdown_request(request)

    interrupted = asyncio.Event()

    async def test() -> None:
        async with running(Server(HERE, Gate)) as server:
            client = await connect(server)
            await asyncio.to_thread(begun.wait, PATIENCE)
            [place] = server._workers
            for _ in range(2):
                server._cut(place, "a test")
                await interrupted.wait()
                interrupted.clear()
            gate.set()
            await leave(client)

    run(test())
    assert order == ["handled", "closed"]


def test_a_request_that_waits_for_its_thread_can_be_cut() -> None:
    gate, begun = threading.Event(), threading.Event()

    class Gate(BaseRequestHandler):
        def handle(self) -> None:
            begun.set()
            gate.wait(PATIENCE)

    async def test() -> None:
        server = backend.TCPServer(HERE, Gate)
        server.max_connections = 1
        task = asyncio.create_task(server.serve_forever())
        clients = [await connect(server)]
        await asyncio.to_thread(begun.wait, PATIENCE)
        server.max_connections = 2  # the thread pool goes by what was said before
        accepted = asyncio.Event()
        server.trace = lambda event: accepted.set() if event.what == "finish_request" else None
        clients.append(await connect(server))
        server._control.wake()
        await accepted.wait()
        task.cancel()
        assert await leave(clients[1]) == b""  # though the thread is busy
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        server.server_close()
        await leave(clients[0])

    run(test())


@pytest.mark.parametrize("method", ["shutdown", "server_close"])
def test_any_thread_and_any_handler_may_stop_it(method: str) -> None:
    class Stops(BaseRequestHandler):
        def handle(self) -> None:
            getattr(self.server, method)()

    class AsyncStops(BaseRequestHandler):
        async def handle(self) -> None:
            getattr(self.server, method)()

    async def test() -> None:
        for handler in Stops, AsyncStops:
            server = backend.TCPServer(HERE, handler)
            client = await connect(server)
            await server.serve_forever()
            assert (server.fileno() < 0) is (method == "server_close")
            server.server_close()
            await leave(client)

    run(test())


def test_a_stop_is_kept_for_the_next_loop() -> None:
    async def test() -> None:
        server = backend.TCPServer(HERE, AsyncLines)
        server.shutdown()
        await server.serve_forever()
        server.shutdown()
        assert await server.handle_request() is None
        server.server_close()
        server.shutdown()
        await server.serve_forever()

    run(test())


@BOTH
def test_one_request_is_served_to_its_end(handler: Callable[..., Any]) -> None:
    async def test() -> None:
        server = backend.TCPServer(HERE, handler)
        clients = [await connect(server) for _ in range(2)]
        for client in clients:
            client[1].write(b"hello\n")
            client[1].write_eof()
        await server.handle_request()
        assert server.counters.closed == 1
        assert await leave(clients[0]) == b"HELLO\n"
        await server.handle_request()
        assert await leave(clients[1]) == b"HELLO\n"
        server.server_close()

    run(test())


def test_nobody_comes() -> None:
    class Server(backend.TCPServer):  # type: ignore[misc]
        timeout = 0.01

        def handle_timeout(self) -> str:
            return "nobody"

    async def test() -> None:
        server = Server(HERE, AsyncLines)
        assert await server.handle_request() == "nobody"
        server.server_close()

    run(test())
