"""What a task does for one request: hooks of either colour, errors, overrides, cancellation."""

from __future__ import annotations

import functools
import threading
from contextvars import ContextVar
from typing import Any

import pytest
import trio
import trio.lowlevel
import trio.testing

from sansio_server.handlers import StreamRequestHandler
from sansio_server.hooks import ServerHooks
from trio_backend import TCPServer
from trio_backend.tasks import Tasks

from .handlers import BlockingUpper, Escape, Upper
from .support import (
    HERE,
    HOOKS,
    MemoryServer,
    answer,
    ask,
    connect,
    is_over,
    read_to_end,
    serving,
    until,
)

Clock = trio.testing.MockClock


# Handlers.


def function(request: Any, client_address: Any, server: Any) -> None:
    request.sendall(request.recv(100).upper())


async def coroutine(request: Any, client_address: Any, server: Any) -> None:
    await request.sendall((await request.recv(100)).upper())


def returning(request: Any, client_address: Any, server: Any) -> Any:
    """Shows nothing of its colour: it may block, and what it returns is awaited."""
    assert trio.lowlevel.in_trio_run() is (server.blocking_handlers == "greenlets")

    async def rest() -> None:
        assert trio.lowlevel.in_trio_task()
        await trio.lowlevel.checkpoint()

    request.sendall(request.recv(100).upper())
    return rest()


KINDS = [Upper, BlockingUpper, function, coroutine, returning, functools.partial(coroutine)]


@pytest.mark.parametrize("blocking_handlers", ["threads", "greenlets"])
@pytest.mark.parametrize("handler", KINDS)
async def test_any_handler_is_served(handler: Any, blocking_handlers: Any) -> None:
    server = MemoryServer(handler, blocking_handlers=blocking_handlers)
    assert await answer(server) == b"HELLO\n"
    async with TCPServer(HERE, handler) as tcp_server, trio.open_nursery() as nursery:
        tcp_server.blocking_handlers = blocking_handlers
        await nursery.start(tcp_server.serve_forever)
        assert await ask(await connect(tcp_server)) == b"HELLO\n"
        tcp_server.shutdown()


@pytest.mark.parametrize("name", ["process_request", "continue_request"])
@pytest.mark.parametrize("of", ["class", "server", "base"])
async def test_what_stands_in_for_where_a_request_goes_on_is_called(
    name: str, of: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    stock = getattr(MemoryServer, name)

    def instead(self: MemoryServer, *args: Any) -> Any:
        calls.append(name)
        return stock(self, *args)

    class Server(MemoryServer):
        pass

    if of == "class":
        setattr(Server, name, instead)
    if of == "base":
        base = ServerHooks if name == "process_request" else Tasks
        monkeypatch.setattr(base, name, instead)
    server = Server(Upper)
    if of == "server":
        setattr(server, name, functools.partial(instead, server))
    assert await answer(server) == b"HELLO\n"
    assert calls == [name]


variable = ContextVar("variable", default="unset")


async def test_handlers_have_all_that_trio_has(autojump_clock: Clock) -> None:
    """A chat: nurseries, channels, scopes, context variables, each handler its own."""
    members: set[trio.MemorySendChannel[bytes]] = set()

    class Chat(StreamRequestHandler):
        async def handle(self) -> None:
            assert variable.get() == "of the server"
            variable.set("of the handler")
            send, receive = trio.open_memory_channel[bytes](10)
            members.add(send)
            async with send, receive, trio.open_nursery() as nursery:
                nursery.start_soon(self.forward, receive)
                with trio.move_on_after(60):
                    async for line in self.rfile:
                        for member in members:
                            await member.send(line)
                nursery.cancel_scope.cancel()
            members.remove(send)

        async def forward(self, receive: trio.MemoryReceiveChannel[bytes]) -> None:
            assert variable.get() == "of the handler"
            async for line in receive:
                await self.wfile.write(line)

    variable.set("of the server")
    server = MemoryServer(Chat)
    async with serving(server):
        one, other = server.connect(), server.connect()
        await trio.testing.wait_all_tasks_blocked()
        await one.send_all(b"hello\n")
        assert await other.receive_some() == await one.receive_some() == b"hello\n"
        begun = trio.current_time()
        await one.send_eof()
        assert await read_to_end(one) == b""
        assert trio.current_time() == begun
        assert await read_to_end(other) == b""
        assert trio.current_time() - begun == 60
    assert variable.get() == "of the server"


@pytest.mark.parametrize("awaited", [False, True])
async def test_super_of_a_handler_may_be_awaited_or_not(
    awaited: bool, autojump_clock: Clock
) -> None:
    class Base(StreamRequestHandler):
        wbufsize = -1

        async def setup(self) -> None:
            await trio.lowlevel.checkpoint()
            super().setup()

        async def handle(self) -> None:
            await self.wfile.write((await self.rfile.readline()).upper())

    class Handler(Base):
        async def setup(self) -> None:
            await super().setup()
            assert self.rfile

        async def finish(self) -> None:
            await self.wfile.write(b"finish\n")
            if awaited:
                await super().finish()
            else:
                super().finish()

    assert await answer(MemoryServer(Handler)) == b"HELLO\nfinish\n"


# Hooks.


def recording(colour: str, calls: list[str]) -> type[MemoryServer]:
    """Return a class whose hooks note that they are called."""

    def override(name: str) -> Any:
        def plain(self: Any, *args: Any) -> Any:
            calls.append(name)
            return getattr(super(Server, self), name)(*args)

        def bare(self: Any, *args: Any) -> Any:
            calls.append(name)
            result = getattr(super(Server, self), name)(*args)
            return result if name == "verify_request" else None

        async def awaiting(self: Any, *args: Any) -> Any:
            calls.append(name)
            await trio.sleep(0.001)
            result = getattr(super(Server, self), name)(*args)
            if hasattr(result, "__await__"):
                result = await result
            return result

        async def awaiting_bare(self: Any, *args: Any) -> Any:
            calls.append(name)
            await trio.sleep(0.001)
            result = getattr(super(Server, self), name)(*args)
            return result if name == "verify_request" else None

        return {"plain": plain, "bare": bare, "async": awaiting, "async bare": awaiting_bare}[
            colour
        ]

    Server: Any = type(  # noqa: N806 - a class
        "Server", (MemoryServer,), {name: override(name) for name in HOOKS}
    )
    return Server  # type: ignore[no-any-return]


@pytest.mark.parametrize("handler", [Upper, BlockingUpper])
@pytest.mark.parametrize("colour", ["plain", "bare", "async", "async bare"])
async def test_hooks_may_have_any_colour(colour: str, handler: Any) -> None:
    calls: list[str] = []
    server = recording(colour, calls)(handler)
    async with serving(server):
        assert await ask(server.connect()) == b"HELLO\n"
        await until(lambda: server.counters.closed == 1)
    assert calls == HOOKS
    assert is_over(server)
    assert [stream.closes for stream in server.listener.streams] == [1]


async def test_a_hook_may_refuse_a_request_after_a_while(autojump_clock: Clock) -> None:
    class Server(MemoryServer):
        async def verify_request(self, request: Any, client_address: Any) -> bool:
            await trio.sleep(1)
            return False

    server = Server(Upper)
    assert await answer(server) == b""
    assert server.counters.refused == 1


async def test_a_handler_that_an_override_makes_is_served_though_not_returned(
    autojump_clock: Clock,
) -> None:
    class Server(MemoryServer):
        def finish_request(self, request: Any, client_address: Any) -> None:
            self.RequestHandlerClass(request, client_address, self)

    assert await answer(Server(Upper)) == b"HELLO\n"


@pytest.mark.parametrize("bare", [False, True])
async def test_a_blocking_handler_blocks_nobody_below_an_asynchronous_override(
    bare: bool,
) -> None:
    threads: list[int] = []

    class Server(MemoryServer):
        async def finish_request(self, request: Any, client_address: Any) -> Any:
            await trio.lowlevel.checkpoint()
            result = super().finish_request(request, client_address)
            return None if bare else await result

    class Handler(BlockingUpper):
        def handle(self) -> None:
            threads.append(threading.get_ident())
            super().handle()

    assert await answer(Server(Handler)) == b"HELLO\n"
    assert threads != [threading.get_ident()]


async def test_the_arguments_of_a_handler_may_be_more(autojump_clock: Clock) -> None:
    """As `http.server` does it: `finish_request` builds the handler and returns nothing."""

    class Handler(BlockingUpper):
        def __init__(self, *args: Any, directory: str) -> None:
            self.directory = directory
            super().__init__(*args)

        def handle(self) -> None:
            self.wfile.write(self.directory.encode())

    class Server(TCPServer):
        def finish_request(self, request: Any, client_address: Any) -> None:
            self.RequestHandlerClass(request, client_address, self, directory="here")

    async with Server(HERE, Handler) as server, trio.open_nursery() as nursery:
        await nursery.start(server.serve_forever)
        assert await read_to_end(await connect(server)) == b"here"
        server.shutdown()


# Errors.


def raising(name: str, *, is_async: bool, late: bool) -> type[MemoryServer]:
    """Return a class one hook of which raises, before its work or after."""

    def plain(self: Any, *args: Any) -> Any:
        if late:
            getattr(super(Server, self), name)(*args)
        raise ZeroDivisionError(name)

    async def awaiting(self: Any, *args: Any) -> Any:
        await trio.lowlevel.checkpoint()
        if late:
            result = getattr(super(Server, self), name)(*args)
            if hasattr(result, "__await__"):
                await result
        raise ZeroDivisionError(name)

    Server: Any = type(  # noqa: N806 - a class
        "Server", (MemoryServer,), {name: awaiting if is_async else plain}
    )
    return Server  # type: ignore[no-any-return]


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("name", HOOKS)
async def test_an_exception_of_a_hook_is_reported_and_the_server_lives(
    name: str, is_async: bool, late: bool, autojump_clock: Clock
) -> None:
    server = raising(name, is_async=is_async, late=late)(Upper)
    async with serving(server):
        for count in (1, 2):
            async with server.connect():
                pass
            await trio.testing.wait_all_tasks_blocked()
            assert [error.args for error in server.reported] == [(name,)] * count
    assert server.counters.errors == 2
    assert is_over(server)


@pytest.mark.parametrize("blocking_handlers", ["threads", "greenlets"])
@pytest.mark.parametrize("handler", [Upper, BlockingUpper])
@pytest.mark.parametrize("method", ["setup", "handle", "finish"])
async def test_an_exception_of_a_handler_is_reported_and_the_server_lives(
    method: str, handler: Any, blocking_handlers: Any
) -> None:
    def fail(self: Any) -> Any:
        raise ZeroDivisionError(method)

    async def fail_later(self: Any) -> Any:
        raise ZeroDivisionError(method)

    failing = type(
        "Failing", (handler,), {method: fail if handler is BlockingUpper else fail_later}
    )
    server = MemoryServer(failing, blocking_handlers=blocking_handlers)
    await answer(server)
    assert [error.args for error in server.reported] == [(method,)]


async def test_the_error_is_told_before_the_request_is_closed(autojump_clock: Clock) -> None:
    class Server(MemoryServer):
        async def handle_error(self, request: Any, client_address: Any) -> None:
            super().handle_error(request, client_address)
            await trio.sleep(1)
            await request.sendall(b"sorry")

    async def handler(request: Any, client_address: Any, server: Any) -> None:
        raise ZeroDivisionError

    server = Server(handler)
    assert await answer(server) == b"sorry"
    assert len(server.reported) == 1


@pytest.mark.parametrize("blocking_handlers", ["threads", "greenlets"])
@pytest.mark.parametrize("is_async", [False, True])
async def test_what_is_no_exception_follows_trios_rule(
    is_async: bool, blocking_handlers: Any
) -> None:
    def fail(request: Any, client_address: Any, server: Any) -> None:
        raise Escape

    async def fail_later(request: Any, client_address: Any, server: Any) -> None:
        raise Escape

    server = MemoryServer(fail_later if is_async else fail, blocking_handlers=blocking_handlers)
    client = server.connect()
    with pytest.RaisesGroup(Escape):
        async with server:
            await server.serve_forever()
    assert await read_to_end(client) == b""
    assert server.reported == []
    assert server.drain_report is not None
    assert is_over(server)
    assert [stream.closes for stream in server.listener.streams] == [1]


@pytest.mark.parametrize("name", [*HOOKS, "handle_error"])
async def test_what_no_hook_dealt_with_ends_the_server_when_the_request_is_closed(
    name: str, autojump_clock: Clock
) -> None:
    """`on_error="crash"` is a `handle_error()` that raises."""

    async def handler(request: Any, client_address: Any, server: Any) -> None:
        if name == "handle_error":
            raise ZeroDivisionError(name)

    server = raising(name, is_async=False, late=False)(handler)
    server.on_error = "crash"
    async with server.connect(), server:
        with pytest.RaisesGroup(ZeroDivisionError):
            await server.serve_forever()
    assert is_over(server)
    if name not in {"shutdown_request", "close_request"}:
        assert [stream.closes for stream in server.listener.streams] == [1]


async def test_the_servers_own_report_goes_to_standard_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def handler(request: Any, client_address: Any, server: Any) -> None:
        raise ZeroDivisionError("in a handler")

    async with TCPServer(HERE, handler) as server, trio.open_nursery() as nursery:
        await nursery.start(server.serve_forever)
        await read_to_end(await connect(server))
        server.shutdown()
    assert "ZeroDivisionError: in a handler" in capsys.readouterr().err


# Where blocking handlers run.


async def test_there_are_no_more_threads_than_there_may_be_connections() -> None:
    server = MemoryServer(BlockingUpper)
    assert server._limiter().total_tokens == float("inf")
    assert server._limiter() is server._limiter()
    server.max_connections = 3
    assert server._limiter().total_tokens == 3
    await server.server_close()
