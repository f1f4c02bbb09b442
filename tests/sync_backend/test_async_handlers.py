"""Asynchronous handlers, in each way of serving: they need no event loop, and may not want one."""

from __future__ import annotations

import asyncio
import functools
import sys
import threading
import traceback
import types
from collections.abc import Callable, Generator
from typing import Any

import pytest
import trio

from sansio_server.exceptions import SuspendedError
from sync_backend import (
    BaseRequestHandler,
    BaseServer,
    DatagramRequestHandler,
    ForkingTCPServer,
    StreamRequestHandler,
    TCPServer,
    ThreadingTCPServer,
    UDPServer,
)
from tests.sync_backend.support import HERE, PATIENCE, connect, read_to_end


class Telling(BaseServer):
    """Tells the client which error there was, and in which line of the handler."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        assert error is not None
        frames = traceback.extract_tb(error.__traceback__)
        [line] = [frame.line for frame in frames if frame.filename == __file__][-1:] or [""]
        request.sendall(f"{type(error).__name__}: {line}".encode())


class InlineServer(Telling, TCPServer):
    pass


class ThreadsServer(Telling, ThreadingTCPServer):
    pass


class ForksServer(Telling, ForkingTCPServer):
    pass


Serve = Callable[..., bytes]


@pytest.fixture(
    params=[InlineServer, ThreadsServer, ForksServer], ids=["inline", "threads", "forks"]
)
def serve(request: pytest.FixtureRequest) -> Serve:
    """Serve one client by a handler; return the answer."""

    def serve(handler: Callable[..., Any], data: bytes = b"hello\nworld\n") -> bytes:
        with request.param(HERE, handler) as server:
            server.timeout = PATIENCE
            answers = []
            for _ in range(2):  # the server goes on, whatever the first has met
                client = connect(server)
                client.sendall(data)
                server.handle_request()
                answers.append(read_to_end(client))
            [answer] = set(answers)
            return answer

    return serve


# What they are.


def test_a_stream_handler_awaits_its_files(serve: Serve) -> None:
    class Upper(StreamRequestHandler):
        async def handle(self) -> None:
            line = await self.rfile.readline()
            await self.wfile.write(line.upper())
            await self.wfile.write(await self.rfile.readuntil(b"r"))
            await self.wfile.flush()

    assert serve(Upper) == b"HELLO\nwor"


def test_a_buffered_answer_is_sent_at_the_end(serve: Serve) -> None:
    class Buffered(StreamRequestHandler):
        wbufsize = -1

        async def handle(self) -> None:
            await self.wfile.write(await self.rfile.readexactly(5))

    assert serve(Buffered) == b"hello"


def test_a_base_handler_awaits_its_request(serve: Serve) -> None:
    class Echo(BaseRequestHandler):
        async def setup(self) -> None:
            await self.request.sendall(b"setup ")

        async def handle(self) -> None:
            await self.request.sendall(await self.request.recv(5))

        async def finish(self) -> None:
            await self.request.sendall(b" finish")

    assert serve(Echo) == b"setup hello finish"


def test_one_asynchronous_method_is_enough(serve: Serve) -> None:
    class Late(BaseRequestHandler):
        def handle(self) -> None:
            self.told = "handled, "

        async def finish(self) -> None:
            await self.request.recv(100)
            await self.request.sendall(f"{self.told}finished".encode())

    assert serve(Late) == b"handled, finished"


def test_what_super_returns_need_not_be_awaited(serve: Serve) -> None:
    class Parent(StreamRequestHandler):
        async def handle(self) -> None:
            await self.wfile.write(await self.rfile.readline())

    class Child(Parent):
        async def handle(self) -> None:
            await super().handle()
            await self.wfile.write(b"and more")

        def finish(self) -> None:
            super().finish()

    assert serve(Child) == b"hello\nand more"


def test_a_coroutine_function_is_a_handler(serve: Serve) -> None:
    async def upper(request: Any, _address: Any, _server: Any) -> None:
        await request.sendall((await request.recv(5)).upper())

    assert serve(upper) == b"HELLO"


def test_a_partial_of_one_is_a_handler(serve: Serve) -> None:
    async def answer(text: bytes, request: Any, _address: Any, _server: Any) -> None:
        await request.recv(100)
        await request.sendall(text)

    assert serve(functools.partial(answer, b"text")) == b"text"


def test_a_plain_function_is_a_handler(serve: Serve) -> None:
    def upper(request: Any, _address: Any, _server: Any) -> None:
        request.sendall(request.recv(100)[:5].upper())

    assert serve(upper) == b"HELLO"


def test_an_object_that_is_called_is_a_handler(serve: Serve) -> None:
    class Upper:
        async def __call__(self, request: Any, _address: Any, _server: Any) -> None:
            await request.sendall((await request.recv(5)).upper())

    assert serve(Upper()) == b"HELLO"


def test_a_handler_may_sleep_and_run_what_blocks(serve: Serve) -> None:
    class Handler(BaseRequestHandler):
        async def handle(self) -> None:
            await self.server.runtime.sleep(0.001)
            data = await self.server.runtime.run_blocking(bytes.upper, await self.request.recv(5))
            await self.request.sendall(data)

    assert serve(Handler) == b"HELLO"


def test_a_datagram_handler_may_be_asynchronous() -> None:
    class Upper(DatagramRequestHandler):
        async def handle(self) -> None:
            self.wfile.write(self.packet.upper())

    with UDPServer(HERE, Upper) as server, connect(server) as client:
        client.send(b"hello")
        server.handle_request()
        assert client.recv(10) == b"HELLO"


# What they may not do: wait for an event loop.


@types.coroutine
def suspend() -> Generator[None, None, None]:
    """Suspend, as what talks to an event loop does."""
    yield


class Suspends:
    """Something to await that suspends."""

    def __await__(self) -> Generator[str, None, None]:
        yield "wait for me"


async def asyncio_sleeps() -> None:
    await asyncio.sleep(1)


async def asyncio_yields() -> None:
    await asyncio.sleep(0)


async def trio_sleeps() -> None:
    await trio.sleep(1)


async def suspends() -> None:
    await suspend()


async def awaits_an_object() -> None:
    await Suspends()


@pytest.mark.parametrize(
    ("wait", "told"),
    [
        (asyncio_sleeps, b"RuntimeError: await asyncio.sleep(1)"),
        (asyncio_yields, b"SuspendedError: await asyncio.sleep(0)"),
        (trio_sleeps, b"RuntimeError: await trio.sleep(1)"),
        (suspends, b"SuspendedError: yield"),
        (awaits_an_object, b'SuspendedError: yield "wait for me"'),
    ],
)
def test_who_waits_for_an_event_loop_is_told_where(
    serve: Serve, wait: Callable[[], Any], told: bytes
) -> None:
    class Handler(BaseRequestHandler):
        async def handle(self) -> None:
            await self.request.recv(100)
            await wait()
            raise AssertionError("not reached")

    assert serve(Handler) == told


def test_the_handler_may_deal_with_that(serve: Serve) -> None:
    async def handle(request: Any, _address: Any, _server: Any) -> None:
        await request.recv(100)
        try:
            await suspend()
        except SuspendedError as error:
            await request.sendall(str(error).partition(",")[0].encode())

    assert serve(handle) == b"this await suspends"


def test_who_suspends_for_ever_is_closed(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    # Where a thread or a child serves, the error is no longer the request's: it goes to the
    # thread's hook, and into the child's status.
    escaped: list[type[BaseException]] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: escaped.append(args.exc_type))

    async def handle(request: Any, _address: Any, _server: Any) -> None:
        await request.recv(100)
        while True:
            try:
                await suspend()
            except SuspendedError:
                continue

    answer = serve(handle)
    assert answer == b"" or answer.startswith(b"SuspendedError")
    assert escaped in ([], [SuspendedError] * 2)


def test_an_error_of_a_handler_is_its_own(serve: Serve) -> None:
    async def handle(request: Any, _address: Any, _server: Any) -> None:
        await request.recv(100)
        raise LookupError

    assert serve(handle) == b"LookupError: raise LookupError"


def test_finish_is_called_only_after_setup_succeeded(serve: Serve) -> None:
    class Handler(BaseRequestHandler):
        async def setup(self) -> None:
            await self.request.recv(100)
            raise LookupError

        async def handle(self) -> None:
            await self.request.sendall(b"handle ")

        async def finish(self) -> None:
            await self.request.sendall(b"finish ")

    assert serve(Handler) == b"LookupError: raise LookupError"


def test_finish_is_called_though_handle_failed(serve: Serve) -> None:
    class Handler(BaseRequestHandler):
        async def handle(self) -> None:
            await self.request.recv(100)
            raise LookupError

        async def finish(self) -> None:
            await self.request.sendall(b"finish, ")

    assert serve(Handler) == b"finish, LookupError: raise LookupError"


# Hooks of the server.


def test_hooks_may_be_coroutine_functions() -> None:
    called: list[str] = []

    class Server(TCPServer):
        async def verify_request(self, request: Any, client_address: Any) -> bool:
            called.append("verify")
            return len(called) > 1

        async def shutdown_request(self, request: Any) -> None:
            called.append("shutdown")
            super().shutdown_request(request)

        async def handle_error(self, request: Any, client_address: Any) -> None:
            called.append(repr(sys.exc_info()[1]))

    with Server(HERE, lambda *_: 1 / 0) as server:
        for _ in range(2):
            client = connect(server)
            server.handle_request()
            assert read_to_end(client) == b""
    refused, served = ["verify", "shutdown"], ["verify", "ZeroDivisionError('division by zero')"]
    assert called == [*refused, *served, "shutdown"]
