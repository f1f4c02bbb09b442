"""What a task does for one request: hooks of either colour, errors, overrides, cancellation."""

from __future__ import annotations

import functools
import socket
import threading
from contextvars import ContextVar
from typing import Any

import pytest
import trio
import trio.lowlevel
import trio.testing

from sansio_server.handlers import StreamRequestHandler
from sansio_server.request import Step
from sansio_server.trace import TraceKind
from trio_backend import TCPServer

from .support import HERE, MemoryServer, Watcher, ask, connect, is_over, read_to_end, serving, until

Clock = trio.testing.MockClock
HOOKS = ["verify_request", "process_request", "finish_request", "shutdown_request", "close_request"]


class Upper(StreamRequestHandler):
    async def handle(self) -> None:
        async for line in self.rfile:
            await self.wfile.write(line.upper())


class BlockingUpper(StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line.upper())


async def nothing(request: Any, client_address: Any, server: Any) -> None:
    """A handler that has nothing to do."""


class Escape(BaseException):
    """What `except Exception` must not see."""


async def answer(server: MemoryServer) -> bytes:
    """Serve one client; return what it was answered."""
    async with serving(server):
        reply = await ask(server.connect())
        await trio.testing.wait_all_tasks_blocked()
    assert is_over(server)
    assert [stream.closes for stream in server.listener.streams] == [1]
    return reply


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


# Cancellation.


@pytest.mark.parametrize("name", HOOKS)
async def test_whatever_hook_is_cancelled_the_request_is_closed(
    name: str, autojump_clock: Clock
) -> None:
    """Even if it is the one that closes it."""

    async def wait(self: Any, *args: Any) -> None:
        await trio.sleep_forever()

    server_class: Any = type("Server", (TCPServer,), {name: wait})
    async with server_class(HERE, nothing) as server:
        with socket.create_connection(server.server_address) as client:
            async with trio.open_nursery() as nursery:
                await nursery.start(server.serve_forever)
                await until(lambda: bool(server._workers))
                server.drain_timeout = 1
                server.shutdown()
            client.settimeout(5)
            assert client.recv(1) == b""
        assert is_over(server)
    memory_server: Any = type("Server", (MemoryServer,), {name: wait})(nothing)
    memory_server.request_timeout = 3
    async with serving(memory_server):
        assert await read_to_end(memory_server.connect()) == b""
        await trio.sleep(5)
        assert is_over(memory_server)
    assert [stream.closes for stream in memory_server.listener.streams] == [1]


async def test_a_wrapped_request_is_closed_too(autojump_clock: Clock) -> None:
    class Wrapped(socket.socket):
        pass

    requests: list[socket.socket] = []

    class Server(TCPServer):
        def process_request(self, request: Any, client_address: Any) -> Any:
            requests.append(request)
            wrapped = Wrapped(fileno=request.detach())
            requests.append(wrapped)
            return super().process_request(wrapped, client_address)

        async def shutdown_request(self, request: Any) -> None:
            await trio.sleep_forever()

    async with Server(HERE, nothing) as server:
        with socket.create_connection(server.server_address):
            async with trio.open_nursery() as nursery:
                await nursery.start(server.serve_forever)
                await until(lambda: bool(requests))
                server.drain_timeout = 0
                server.shutdown()
    assert [request.fileno() for request in requests] == [-1, -1]
    assert is_over(server)


@pytest.mark.parametrize("on_error", ["report", "crash"])
async def test_a_failure_in_a_handlers_nursery_is_reported_beside_a_cancellation(
    on_error: str, autojump_clock: Clock
) -> None:
    async def handler(request: Any, client_address: Any, server: Any) -> None:
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def fail() -> None:
                try:
                    await trio.sleep_forever()
                finally:
                    raise ZeroDivisionError

            await trio.sleep_forever()

    server = MemoryServer(handler, on_error=on_error, request_timeout=3)
    if on_error == "crash":
        server.connect()
        with pytest.RaisesGroup(ZeroDivisionError, flatten_subgroups=True):
            async with server:
                await server.serve_forever()
    else:
        async with serving(server):
            assert await read_to_end(server.connect()) == b""
            await read_to_end(server.connect())
        assert len(server.reported) == 2
        for error in server.reported:
            assert pytest.RaisesGroup(ZeroDivisionError).matches(error)
    assert is_over(server)


async def test_an_escape_in_a_handlers_nursery_follows_trios_rule(autojump_clock: Clock) -> None:
    async def handler(request: Any, client_address: Any, server: Any) -> None:
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def fail() -> None:
                raise Escape

            try:
                await trio.sleep_forever()
            finally:
                raise ZeroDivisionError

    server = MemoryServer(handler)
    server.connect()
    with pytest.RaisesGroup(pytest.RaisesGroup(Escape)):
        async with server:
            await server.serve_forever()
    assert len(server.reported) == 1
    assert is_over(server)


async def test_a_request_that_is_overdue_is_cut(autojump_clock: Clock) -> None:
    server = MemoryServer(Upper, request_timeout=5)
    server.trace = watcher = Watcher()
    async with serving(server):
        begun = trio.current_time()
        assert await read_to_end(server.connect()) == b""
        assert trio.current_time() - begun == 5
        await trio.sleep(2)
        late = server.connect()
        assert await ask(server.connect()) == b"HELLO\n"
        assert await read_to_end(late) == b""
        assert trio.current_time() - begun == 12
    assert watcher.of(TraceKind.CUT) == ["request_timeout"] * 2
    assert server.reported == []


# Requests that an override lets run elsewhere.


def elsewhere(nursery: trio.Nursery, in_place: Step) -> type[TCPServer]:
    """Return a class that serves in the application's own nursery."""

    class Server(TCPServer):
        def process_request(self, request: Any, client_address: Any) -> None:
            async def serve() -> None:
                await self.continue_request(in_place, request, client_address)

            nursery.start_soon(serve)

    return Server


@pytest.mark.parametrize("blocking_handlers", ["threads", "greenlets"])
@pytest.mark.parametrize("handler", [Upper, BlockingUpper])
@pytest.mark.parametrize("step", [Step.HERE, Step.FINISH])
async def test_a_request_may_run_in_the_applications_nursery(
    step: Step, handler: Any, blocking_handlers: Any
) -> None:
    async with trio.open_nursery() as own, elsewhere(own, step)(HERE, handler) as server:
        server.blocking_handlers = blocking_handlers
        async with trio.open_nursery() as nursery:
            await nursery.start(server.serve_forever)
            stream = await connect(server)
            await stream.send_all(b"hello\n")
            assert await stream.receive_some() == b"HELLO\n"
            server.shutdown()
            await trio.testing.wait_all_tasks_blocked()
            assert not server._drained.is_set()
            assert await ask(stream, b"bye\n") == b"BYE\n"
            assert len((await server.wait_drained()).finished) == 1
        assert is_over(server)


async def test_a_request_that_runs_there_is_cut(autojump_clock: Clock) -> None:
    async with trio.open_nursery() as own, elsewhere(own, Step.FINISH)(HERE, Upper) as server:
        server.drain_timeout = 3
        with socket.create_connection(server.server_address) as client:
            async with trio.open_nursery() as nursery:
                await nursery.start(server.serve_forever)
                await until(lambda: server.counters.accepted == 1)
                server.shutdown()
                report = await server.wait_drained()
            assert client.recv(1) == b""
        assert len(report.cut) == 1
        assert "in serve" in report.cut[0].where
        assert is_over(server)


async def test_a_request_may_wait_in_a_queue_for_a_worker_of_the_applications(
    autojump_clock: Clock,
) -> None:
    send, receive = trio.open_memory_channel[tuple[Any, Any]](10)

    class Server(MemoryServer):
        async def process_request(self, request: Any, client_address: Any) -> None:
            await send.send((request, client_address))

    server = Server(Upper)

    async def work() -> None:
        async for request, client_address in receive:
            await server.continue_request(Step.FINISH, request, client_address)

    async with send, receive, trio.open_nursery() as own:
        for _ in range(2):
            own.start_soon(work)
        async with serving(server):
            for _ in range(3):
                assert await ask(server.connect()) == b"HELLO\n"
        own.cancel_scope.cancel()
    assert is_over(server)


async def test_a_request_may_be_continued_in_a_child_of_its_task(autojump_clock: Clock) -> None:
    class Server(MemoryServer):
        async def process_request(self, request: Any, client_address: Any) -> None:
            async with trio.open_nursery() as nursery:

                @nursery.start_soon
                async def child() -> None:
                    await super(Server, self).process_request(request, client_address)

                await trio.sleep(5)

    server = Server(Upper)
    async with serving(server):
        begun = trio.current_time()
        assert await ask(server.connect()) == b"HELLO\n"
        server.shutdown()
        assert (await server.wait_drained()).seconds == 5
        assert trio.current_time() - begun == 5


async def test_an_override_may_try_again(autojump_clock: Clock) -> None:
    class Server(MemoryServer):
        async def process_request(self, request: Any, client_address: Any) -> None:
            try:
                await super().process_request(request, client_address)
            except ZeroDivisionError:
                self.RequestHandlerClass = Upper
                await super().process_request(request, client_address)

    async def handler(request: Any, client_address: Any, server: Any) -> None:
        await trio.sleep(1)
        raise ZeroDivisionError

    assert await answer(Server(handler)) == b"HELLO\n"


async def test_a_request_cannot_be_continued_where_there_is_no_task() -> None:
    errors: list[BaseException] = []

    class Server(TCPServer):
        def process_request(self, request: Any, client_address: Any) -> None:
            def work() -> None:
                try:
                    super(Server, self).process_request(request, client_address)
                except RuntimeError as error:
                    errors.append(error)

            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
            self.shutdown_request(request)

    async with Server(HERE, Upper) as server, trio.open_nursery() as nursery:
        await nursery.start(server.serve_forever)
        assert await read_to_end(await connect(server)) == b""
        server.shutdown()
    assert [str(error) for error in errors] == ["must be called from async context"]
    assert is_over(server)


async def test_a_thread_of_the_programs_may_serve_a_request_by_itself() -> None:
    class Server(TCPServer):
        def process_request(self, request: Any, client_address: Any) -> None:
            def work() -> None:
                self.finish_request(request, client_address)
                self.shutdown_request(request)

            threading.Thread(target=work).start()

    async with Server(HERE, BlockingUpper) as server, trio.open_nursery() as nursery:
        await nursery.start(server.serve_forever)
        assert await ask(await connect(server)) == b"HELLO\n"
        server.shutdown()
    await until(lambda: is_over(server))


# Where blocking handlers run.


async def test_there_are_no_more_threads_than_there_may_be_connections() -> None:
    server = MemoryServer(BlockingUpper)
    assert server._limiter().total_tokens == float("inf")
    assert server._limiter() is server._limiter()
    server.max_connections = 3
    assert server._limiter().total_tokens == 3
    await server.server_close()
