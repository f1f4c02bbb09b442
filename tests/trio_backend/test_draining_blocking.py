"""Draining a server on trio whose handlers block.

Real sockets and threads: what is tested is that a thread that waits in the kernel is woken and
joined.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import trio
import trio.testing

from sansio_server.handlers import BaseRequestHandler, StreamRequestHandler
from trio_backend import TCPServer

from .support import HERE, MemoryServer, is_over, read_to_end, serving, until, with_clients

Clock = trio.testing.MockClock


# Blocking handlers.


@pytest.fixture
def may_end() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def computing(may_end: threading.Event) -> Any:
    """Return a handler that computes until an event, and knows nothing of its client."""

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            self.server.begun.set()
            self.compute()

        def compute(self) -> None:
            assert may_end.wait(30)

    return Handler


class ThreadServer(TCPServer):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.begun = threading.Event()


async def test_a_thread_that_computes_for_ever_is_told_of_and_waited_for(
    may_end: threading.Event, autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    async with ThreadServer(HERE, computing(may_end)) as server:
        server.drain_timeout, server.cut_timeout = 2, 3
        ended = trio.Event()

        async def serve(task_status: Any) -> None:
            await server.serve_forever(task_status=task_status)
            ended.set()

        with socket.create_connection(server.server_address) as client:
            async with trio.open_nursery() as nursery:
                await nursery.start(serve)
                await until(server.begun.is_set)
                server.shutdown()
                report = await server.wait_drained()
                assert report.seconds == 5
                [straggler] = report.left
                assert "in compute\n    assert may_end.wait(30)" in straggler.where
                assert straggler.client_address == client.getsockname()
                assert straggler.where.splitlines()[-1] in caplog.text
                await trio.testing.wait_all_tasks_blocked()
                assert not ended.is_set()
                may_end.set()
        assert ended.is_set()
        assert is_over(server)


async def test_a_cancelled_server_tells_of_a_thread_that_would_not_end(
    may_end: threading.Event, autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    async with ThreadServer(HERE, computing(may_end)) as server:
        with socket.create_connection(server.server_address):
            async with trio.open_nursery() as outer:

                @outer.start_soon
                async def look() -> None:
                    report = await server.wait_drained()
                    assert report.seconds == server.cut_timeout
                    assert "in compute" in report.left[0].where
                    assert "in compute" in caplog.text
                    may_end.set()

                with trio.CancelScope() as scope:
                    async with trio.open_nursery() as nursery:
                        await nursery.start(server.serve_forever)
                        await until(server.begun.is_set)
                        scope.cancel()
        assert is_over(server)


@pytest.mark.parametrize("blocking_handlers", ["threads", "greenlets"])
@pytest.mark.parametrize("by", ["cancellation", "drain"])
async def test_blocking_handlers_are_woken(blocking_handlers: Any, by: str) -> None:
    """A client that says nothing holds nobody up."""
    seen: list[Any] = []

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            self.server.begun.set()
            try:
                seen.append(self.rfile.readline())
            except trio.Cancelled:
                seen.append("cancelled")
                raise

    async with ThreadServer(HERE, Handler) as server:
        server.blocking_handlers = blocking_handlers
        server.drain_timeout = 0
        with socket.create_connection(server.server_address) as client:
            async with trio.open_nursery() as nursery:
                await nursery.start(server.serve_forever)
                await until(server.begun.is_set)
                if by == "cancellation":
                    nursery.cancel_scope.cancel()
                else:
                    server.shutdown()
            assert client.recv(1) == b""
        assert seen == [b"" if blocking_handlers == "threads" else "cancelled"]
        assert server.drain_report is not None
        if by == "drain":
            [straggler] = server.drain_report.cut
            assert straggler.ended
            assert "seen.append(self.rfile.readline())" in straggler.where
        assert is_over(server)


# Ending what there is to read.


class Goodbye(StreamRequestHandler):
    """Answers each line, and says goodbye when no more come."""

    stop_ends_input = True

    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line.upper())
        self.wfile.write(b"goodbye\n")


class AsyncGoodbye(StreamRequestHandler):
    """The same, to be awaited."""

    stop_ends_input = True

    async def handle(self) -> None:
        async for line in self.rfile:
            await self.wfile.write(line.upper())
        await self.wfile.write(b"goodbye\n")


WAYS = [(AsyncGoodbye, "threads"), (Goodbye, "threads"), (Goodbye, "greenlets")]


@pytest.mark.parametrize(("handler", "blocking_handlers"), WAYS)
async def test_a_stop_ends_the_input_of_sockets(handler: Any, blocking_handlers: Any) -> None:
    async with TCPServer(HERE, handler) as server:
        server.blocking_handlers = blocking_handlers
        with socket.create_connection(server.server_address) as client:
            client.setblocking(False)
            stream = trio.SocketStream(trio.socket.from_stdlib_socket(client))
            async with trio.open_nursery() as nursery:
                await nursery.start(server.serve_forever)
                await stream.send_all(b"hello\n")
                assert await stream.receive_some() == b"HELLO\n"
                server.shutdown()
                assert await read_to_end(stream) == b"goodbye\n"
            assert server.drain_report is not None
            assert server.drain_report.cut == ()


@pytest.mark.parametrize(("handler", "blocking_handlers"), WAYS)
async def test_a_stop_ends_the_input_of_streams(handler: Any, blocking_handlers: Any) -> None:
    server = MemoryServer(handler, blocking_handlers=blocking_handlers)
    async with serving(server):
        stream = server.connect()
        await stream.send_all(b"hello\n")
        assert await stream.receive_some() == b"HELLO\n"
        server.shutdown()
        assert await read_to_end(stream) == b"goodbye\n"


async def test_what_has_come_is_read_before_the_end() -> None:
    class Slow(AsyncGoodbye):
        async def handle(self) -> None:
            self.server.begun.set()
            await self.server.stopping.wait()
            await super().handle()

    async with ThreadServer(HERE, Slow) as server:
        with socket.create_connection(server.server_address) as client:
            client.sendall(b"one\ntwo\n")
            async with trio.open_nursery() as nursery:
                await nursery.start(server.serve_forever)
                await until(server.begun.is_set)
                server.shutdown()
            assert client.makefile("rb").read() == b"ONE\nTWO\ngoodbye\n"


async def test_who_asks_for_it_after_the_stop_has_it_at_once() -> None:
    class Late(AsyncGoodbye):
        async def setup(self) -> None:
            self.server.begun.set()
            await self.server.stopping.wait()
            super().setup()

    async with ThreadServer(HERE, Late) as server:
        with socket.create_connection(server.server_address) as client:
            async with trio.open_nursery() as nursery:
                await nursery.start(server.serve_forever)
                await until(server.begun.is_set)
                server.shutdown()
            assert client.recv(10) == b"goodbye\n"


async def test_the_input_of_a_single_request_ends_too() -> None:
    class Counted(AsyncGoodbye):
        async def handle(self) -> None:
            self.server.begun.set()
            await super().handle()

    async with ThreadServer(HERE, Counted) as server:
        with socket.create_connection(server.server_address) as client:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(server.handle_request)
                await until(server.begun.is_set)
                server.shutdown()
            assert client.recv(10) == b"goodbye\n"


async def test_others_read_on_during_the_grace(autojump_clock: Clock) -> None:
    class Stays(AsyncGoodbye):
        stop_ends_input = False

    server = MemoryServer(Stays)
    async with serving(server):
        [client] = await with_clients(server, 1)
        server.shutdown()
        await trio.sleep(5)
        await client.send_all(b"hello\n")
        assert await client.receive_some() == b"HELLO\n"
        await client.send_eof()
        assert await read_to_end(client) == b"goodbye\n"
