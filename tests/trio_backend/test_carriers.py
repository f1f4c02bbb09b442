"""Where blocking handlers run: threads and greenlets, and what they have there."""

from __future__ import annotations

import gc
import http.client
import http.server
import socket
import threading
from collections.abc import Awaitable, Generator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
import trio
import trio.testing

from sansio_server.handlers import BaseRequestHandler, StreamRequestHandler
from trio_backend import TCPServer, carriers
from trio_backend.carriers import Waits, check_carrier, wait_in_thread
from trio_backend.crowd import CROWD

from .support import HERE, MemoryServer, ask, connect, is_over, read_to_end, serving, until

WHERE = ["threads", "greenlets"]
Clock = trio.testing.MockClock


class Handler(StreamRequestHandler):
    def handle(self) -> None:
        self.server.seen.append(self)
        for line in self.rfile:
            self.wfile.write(line.upper())


def server_with(handler: Any, where: Any, **attributes: Any) -> Any:
    server = MemoryServer(handler, blocking_handlers=where, **attributes)
    server.seen = []  # type: ignore[attr-defined]
    return server


@pytest.mark.parametrize("where", WHERE)
async def test_what_an_override_returns_is_awaited_in_the_task(
    where: Any, autojump_clock: Clock
) -> None:
    class Server(MemoryServer):
        def finish_request(self, request: Any, client_address: Any) -> Any:
            super().finish_request(request, client_address)
            return self.rest()

        async def rest(self) -> None:
            await trio.sleep(3)
            ended.append(threading.get_ident())

    ended: list[int] = []
    server = Server(BaseRequestHandler, blocking_handlers=where)
    async with serving(server):
        assert await read_to_end(server.connect()) == b""
    assert ended == [threading.get_ident()]
    assert server.counters.errors == 0


# Unmodified handlers.


class Files(http.server.SimpleHTTPRequestHandler):
    """Serves files, without a word."""

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@pytest.mark.parametrize("where", WHERE)
async def test_http_of_the_standard_library(where: Any, tmp_path: Path) -> None:
    (tmp_path / "small").write_text("hello")
    (tmp_path / "large").write_bytes(bytes(3_000_000))

    def get(port: int) -> list[tuple[int, int]]:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        answers = []
        for path in ("/small", "/large", "/", "/missing"):
            client.request("GET", path)
            response = client.getresponse()
            answers.append((response.status, len(response.read())))
        client.close()
        return answers

    class Server(TCPServer):
        blocking_handlers = where

    async with Server(HERE, partial(Files, directory=str(tmp_path))) as server:
        async with trio.open_nursery() as nursery:
            await nursery.start(server.serve_forever)
            answers = await trio.to_thread.run_sync(get, server.server_address[1])
            server.shutdown()
    assert answers[:2] == [(200, 5), (200, 3_000_000)]
    assert [status for status, _ in answers] == [200, 200, 200, 404]


@pytest.mark.parametrize("where", WHERE)
async def test_a_request_is_like_a_socket(where: Any, tmp_path: Path) -> None:
    """What handlers written for the standard library do with it."""
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")

    class Thorough(BaseRequestHandler):
        def handle(self) -> None:
            request = self.request
            assert request.getpeername() == self.client_address
            assert request.getsockname() == self.server.server_address
            assert request.fileno() >= 0
            assert request.family == socket.AF_INET
            request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            assert request.gettimeout() is None
            request.settimeout(30)
            assert request.gettimeout() == 30
            assert request.recv(2) == b"he"
            buffer = bytearray(2)
            assert request.recv_into(buffer) == 2
            assert buffer == b"ll"
            with request.makefile("r", encoding="ascii") as text:
                assert text.readline() == "o\n"
                assert text.readline() == "two\n"
            assert request.send(b"1") == 1
            request.sendall(b"23")
            with request.makefile("wb") as file:
                file.write(b"45")
            with path.open("rb") as file:
                assert request.sendfile(file, 6) == 4
                assert request.sendfile(file, 1, 2) == 2
            request.shutdown(socket.SHUT_WR)
            assert request.recv(1) == b""

    class Server(TCPServer):
        blocking_handlers = where

    async with Server(HERE, Thorough) as server, trio.open_nursery() as nursery:
        await nursery.start(server.serve_forever)
        assert await ask(await connect(server), b"hello\ntwo\n") == b"12345678912"[:5] + b"678912"
        server.shutdown()


@pytest.mark.parametrize("where", WHERE)
async def test_a_timeout_of_a_handler(where: Any) -> None:
    class Impatient(StreamRequestHandler):
        timeout = 0.01

        def handle(self) -> None:
            with pytest.raises(TimeoutError):
                self.rfile.readline()
            self.wfile.write(b"too slow")

    server = server_with(Impatient, where)
    async with serving(server):
        assert await read_to_end(server.connect()) == b"too slow"
    assert server.reported == []


# Errors of streams that are no sockets.


@pytest.mark.parametrize("where", WHERE)
async def test_a_client_that_is_gone_is_an_oserror(where: Any) -> None:
    errors: list[BaseException] = []

    class Talkative(BaseRequestHandler):
        def handle(self) -> None:
            assert self.request.recv(1) == b""
            try:
                self.request.sendall(b"is anybody there?")
            except OSError as error:
                errors.append(error)

    server = server_with(Talkative, where)
    async with serving(server):
        async with server.connect():
            pass
        await until(lambda: server.counters.closed == 1)
    assert [type(error) for error in errors] == [ConnectionResetError]
    assert server.reported == []


# Limits of threads.


@pytest.mark.parametrize("crowd", [0, CROWD])
async def test_a_handler_waits_for_a_thread(crowd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where requests are closed before their handlers end there may be more of those."""
    monkeypatch.setattr(carriers, "CROWD", crowd)
    may_end = threading.Event()

    class Slow(BaseRequestHandler):
        def handle(self) -> None:
            self.server.seen.append("begun")
            self.server.shutdown_request(self.request)
            assert may_end.wait(30)

    class Server(TCPServer):
        max_connections = 1
        seen: ClassVar[list[str]]

    Server.seen = []
    async with Server(HERE, Slow) as server, trio.open_nursery() as nursery:
        await nursery.start(server.serve_forever)
        clients = [await connect(server), await connect(server)]
        await until(lambda: len(server._workers) == 2)
        await trio.testing.wait_all_tasks_blocked()
        assert server.seen == ["begun"]
        assert server._limiter().statistics().tasks_waiting == 1
        may_end.set()
        await until(lambda: server.counters.closed == 2)
        for client in clients:
            assert await read_to_end(client) == b""
        server.shutdown()
    assert server.seen == ["begun", "begun"]
    assert server._limiter().borrowed_tokens == 0


# Cancellation.


async def test_a_thread_sees_that_it_was_cancelled() -> None:
    """By what trio has for this."""
    seen: list[str] = []

    class Computing(BaseRequestHandler):
        def handle(self) -> None:
            self.server.seen.append("begun")
            try:
                while True:
                    trio.from_thread.check_cancelled()
            except trio.Cancelled:
                seen.append("cancelled")
                raise

    server = server_with(Computing, "threads", drain_timeout=0)
    async with serving(server):
        server.connect()
        await until(lambda: server.seen != [])
    assert seen == ["cancelled"]
    assert server.drain_report.left == ()


async def test_what_an_interrupted_handler_raises_is_a_consequence() -> None:
    class Fragile(BaseRequestHandler):
        def handle(self) -> None:
            self.server.seen.append("begun")
            self.request.recv(1)
            raise ZeroDivisionError

    class Server(TCPServer):
        seen: ClassVar[list[str]]
        drain_timeout = 0

        def handle_error(self, request: Any, client_address: Any) -> None:
            self.seen.append("reported")

    Server.seen = []
    async with Server(HERE, Fragile) as server, await connect(server):
        async with trio.open_nursery() as nursery:
            await nursery.start(server.serve_forever)
            await until(lambda: server.seen != [])
            server.shutdown()
    assert server.seen == ["begun"]


async def test_what_a_cancelled_handler_left_to_be_awaited_is_dropped() -> None:
    begun = threading.Event()

    async def rest() -> None:
        raise AssertionError

    def handler(request: Any, client_address: Any, server: Any) -> Any:
        begun.set()
        request.recv(1)
        return rest()

    async with TCPServer(HERE, handler) as server, await connect(server):
        async with trio.open_nursery() as nursery:
            await nursery.start(server.serve_forever)
            await until(begun.is_set)
            nursery.cancel_scope.cancel()
    assert is_over(server)


# Waiting on behalf of handlers.


async def nothing() -> None:
    """Be awaited."""


class Bare(Awaitable[Any]):
    def __await__(self) -> Generator[Any, Any, Any]:
        raise AssertionError


async def test_nobody_waits_for_a_handler_that_has_ended() -> None:
    waits = Waits(lambda awaitable: awaitable)
    awaitable = Bare()
    assert waits(awaitable) is awaitable
    waits.ended = True
    for each in (Bare(), nothing()):
        with pytest.raises(OSError, match="the handler of this request has ended"):
            waits(each)


def test_a_thread_that_is_none_of_trios_cannot_wait() -> None:
    with pytest.raises(RuntimeError, match="this thread wasn't created by Trio"):
        wait_in_thread(nothing())


@pytest.mark.parametrize("where", WHERE)
async def test_files_left_open_are_collected_without_harm(where: Any) -> None:
    class Careless(BaseRequestHandler):
        def handle(self) -> None:
            self.file = self.request.makefile("wb")
            self.file.write(b"never sent")
            self.file.cycle = [self.file, self]
            self.server.seen.append("handled")

    server = server_with(Careless, where)
    async with serving(server):
        assert await read_to_end(server.connect()) == b""
        gc.collect()
        await trio.testing.wait_all_tasks_blocked()
    assert server.seen == ["handled"]


def test_the_places_there_are() -> None:
    check_carrier("threads", needed=True)
    with pytest.raises(ValueError, match=r"must be one of \['greenlets', 'threads'\], not 'forks'"):
        check_carrier("forks")
