"""Requests that are cancelled, or that an override lets run elsewhere."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest
import trio
import trio.lowlevel
import trio.testing

from sansio_server.request import Step
from sansio_server.trace import TraceKind
from trio_backend import TCPServer

from .handlers import BlockingUpper, Escape, Upper, nothing
from .support import (
    HERE,
    HOOKS,
    MemoryServer,
    Watcher,
    answer,
    ask,
    connect,
    is_over,
    read_to_end,
    serving,
    until,
)

Clock = trio.testing.MockClock


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
