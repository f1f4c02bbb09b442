"""The servers of datagrams, UDP and Unix: who is answered, and until when."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any, ClassVar

import pytest
import trio
import trio.testing

from sansio_server.handlers import (
    BaseRequestHandler,
    DatagramRequestHandler,
)
from sansio_server.trace import TraceKind
from trio_backend import (
    UDPServer,
    UnixDatagramServer,
)

from .support import HERE, Watcher, is_over, until


class Shout(DatagramRequestHandler):
    def handle(self) -> None:
        self.wfile.write(self.rfile.read().upper())


class AsyncShout(DatagramRequestHandler):
    async def handle(self) -> None:
        await trio.lowlevel.checkpoint()
        self.wfile.write(self.rfile.read().upper())


class SocketShout(BaseRequestHandler):
    def handle(self) -> None:
        data, sock = self.request
        assert sock.getsockname() == self.server.server_address
        sock.sendto(data.upper(), self.client_address)


DATAGRAM_HANDLERS = [
    (AsyncShout, "threads"),
    (Shout, "threads"),
    (Shout, "greenlets"),
    (SocketShout, "threads"),
    (SocketShout, "greenlets"),
]


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize(("handler", "where"), DATAGRAM_HANDLERS)
async def test_datagrams_are_answered(handler: Any, where: Any, traced: bool) -> None:
    async with UDPServer(HERE, handler) as server:
        server.blocking_handlers = where
        watcher = Watcher()
        if traced:
            server.trace = watcher
        async with trio.open_nursery() as nursery:
            await nursery.start(server.serve_forever)
            with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                await client.connect(server.server_address)
                for word in (b"one", b"two"):
                    await client.send(word)
                    assert await client.recv(100) == word.upper()
            server.shutdown()
        assert is_over(server)
    moved = sorted((e.what, e.detail) for e in watcher if e.kind is TraceKind.BYTES)
    assert moved == ([("in", 3), ("in", 3), ("out", 3), ("out", 3)] if traced else [])


@pytest.mark.parametrize(("handler", "where"), DATAGRAM_HANDLERS)
async def test_unix_datagrams_are_answered_where_there_is_a_name(
    handler: Any, where: Any, tmp_path: Path
) -> None:
    async with UnixDatagramServer(str(tmp_path / "server"), handler) as server:
        server.blocking_handlers = where
        async with trio.open_nursery() as nursery:
            await nursery.start(server.serve_forever)
            with trio.socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
                await client.connect(server.server_address)
                if handler is not SocketShout:
                    await client.send(b"nameless")
                    await until(lambda: server.counters.closed == 1)
                await client.bind(str(tmp_path / "client"))
                await client.send(b"named")
                assert await client.recv(100) == b"NAMED"
            server.shutdown()
        assert server.counters.errors == 0


async def test_a_handler_of_datagrams_may_be_cut() -> None:
    async def handler(request: Any, client_address: Any, server: Any) -> None:
        await trio.sleep_forever()

    async with UDPServer(HERE, handler) as server, trio.open_nursery() as nursery:
        server.drain_timeout = 0
        await nursery.start(server.serve_forever)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"hello", server.server_address)
            await until(lambda: server.counters.accepted == 1)
        server.shutdown()
    assert server.counters.cut == 1
    assert is_over(server)


def ask_by_datagram(server: UDPServer) -> socket.socket:
    """Return a client that has asked, and waits for its answer."""
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.settimeout(30)
    client.connect(server.server_address)
    client.send(b"hello")
    return client


class Held(AsyncShout):
    """Answers when it may, but not before."""

    may_answer: ClassVar[trio.Event]

    async def handle(self) -> None:
        await self.may_answer.wait()
        await super().handle()


@pytest.mark.parametrize("from_thread", [False, True])
@pytest.mark.parametrize("times", [1, 2])
async def test_datagrams_are_answered_after_the_server_was_closed(
    times: int, from_thread: bool
) -> None:
    Held.may_answer = trio.Event()
    server = UDPServer(HERE, Held)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve_forever)
        with ask_by_datagram(server) as client:
            await until(lambda: server.counters.accepted == 1)
            for _ in range(times):
                if from_thread:
                    await trio.to_thread.run_sync(server.server_close)
                else:
                    server.server_close()
            await trio.testing.wait_all_tasks_blocked()
            client.send(b"too late")
            Held.may_answer.set()
            report = await server.wait_drained()
            assert server.fileno() == -1
            assert client.recv(100) == b"HELLO"
    assert len(report.finished) == 1
    assert server.counters.accepted == 1
    assert is_over(server)


async def test_a_datagram_is_answered_though_its_handler_closes_the_server() -> None:
    """Where it is the only request that is served."""

    class Closing(AsyncShout):
        async def handle(self) -> None:
            self.server.server_close()
            await super().handle()

    server = UDPServer(HERE, Closing)
    with ask_by_datagram(server) as client:
        await server.handle_request()
        assert server.fileno() == -1
        assert client.recv(100) == b"HELLO"


async def test_a_listener_is_closed_when_the_time_to_reply_is_over() -> None:
    """A thread may compute for ever, which the loop waits for; but it was left behind."""
    may_end = threading.Event()

    class Endless(DatagramRequestHandler):
        def handle(self) -> None:
            assert may_end.wait(30)

        def finish(self) -> None:
            """Do not reply."""

    server = UDPServer(HERE, Endless)
    server.drain_timeout = server.cut_timeout = 0
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve_forever)
        with ask_by_datagram(server):
            await until(lambda: server.counters.accepted == 1)
            server.server_close()
            assert server.fileno() >= 0
            report = await server.wait_drained()
        assert server.fileno() == -1
        assert len(report.left) == 1
        may_end.set()


async def test_a_cancelled_server_of_datagrams_that_was_closed_lets_go_of_its_socket() -> None:
    Held.may_answer = trio.Event()
    server = UDPServer(HERE, Held)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve_forever)
        with ask_by_datagram(server):
            await until(lambda: server.counters.accepted == 1)
        server.server_close()
        nursery.cancel_scope.cancel()
    assert server.fileno() == -1
    assert is_over(server)
