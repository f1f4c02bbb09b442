"""TLS, by listeners of trio's: encrypted clients of the same handlers."""

from __future__ import annotations

import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing
import trustme

from sansio_server.handlers import StreamRequestHandler
from trio_backend import ListenerServer, Service, serve_listeners

from .support import is_over, read_to_end, until

NAME = "server.example.org"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def server_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(NAME).configure_cert(context)
    return context


@pytest.fixture(scope="module")
def client_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


class Quiet(ListenerServer):
    """Notes the errors that were reported to it."""

    reported: list[BaseException]

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        assert error is not None
        self.__dict__.setdefault("reported", []).append(error)


@asynccontextmanager
async def serving_tls(
    handler: Any, context: ssl.SSLContext, **options: Any
) -> AsyncIterator[Service]:
    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")

        async def serve(task_status: Any) -> None:
            await serve_listeners(
                handler,
                [trio.SSLListener(listener, context)],
                server_class=Quiet,
                task_status=task_status,
                **options,
            )

        service = await nursery.start(serve)
        yield service
        service.shutdown()
    assert is_over(service.server)


async def connect(service: Service, context: ssl.SSLContext) -> trio.SSLStream[trio.SocketStream]:
    stream = await trio.open_tcp_stream(*service.addresses[0])
    return trio.SSLStream(stream, context, server_hostname=NAME)


class Upper(StreamRequestHandler):
    async def handle(self) -> None:
        async for line in self.rfile:
            await self.wfile.write(line.upper())


class BlockingUpper(StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line.upper())


@pytest.mark.parametrize(
    ("handler", "where"),
    [(Upper, "threads"), (BlockingUpper, "threads"), (BlockingUpper, "greenlets")],
)
async def test_any_handler_serves_encrypted_clients(
    handler: Any, where: Any, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    async with serving_tls(handler, server_context, blocking_handlers=where) as service:
        async with await connect(service, client_context) as stream:
            for _ in range(2):
                await stream.send_all(b"hello\n")
                assert await stream.receive_some() == b"HELLO\n"
        await until(lambda: service.server.counters.closed == 1)
    assert service.server.counters.errors == 0


async def test_handlers_see_the_connection_and_its_socket(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    seen: list[Any] = []

    async def handler(request: Any, client_address: Any, server: Any) -> None:
        await request.do_handshake()
        seen.append((request.version(), request.getpeername() == client_address))
        await request.sendall(b"seen")

    async with serving_tls(handler, server_context) as service:
        stream = await connect(service, client_context)
        assert await read_to_end(stream) == b"seen"
    assert seen == [("TLSv1.3", True)]


async def test_a_client_that_speaks_something_else_is_an_error(
    server_context: ssl.SSLContext,
) -> None:
    async with serving_tls(Upper, server_context) as service:
        stream = await trio.open_tcp_stream(*service.addresses[0])
        async with stream:
            await stream.send_all(b"GET / HTTP/1.0\r\n\r\n")
            await until(lambda: service.server.counters.closed == 1)
        [error] = service.server.reported  # type: ignore[attr-defined]
        # As TLS sockets tell it: handlers need not know what they are served on.
        assert isinstance(error, ssl.SSLError)


async def test_a_client_that_does_not_say_goodbye_holds_nobody_up_for_long(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    async def handler(request: Any, client_address: Any, server: Any) -> None:
        await request.sendall(b"done")

    async with serving_tls(handler, server_context) as service:
        service.server.close_timeout = 0.01  # type: ignore[attr-defined]
        stream = await connect(service, client_context)
        assert await stream.receive_some() == b"done"
        await until(lambda: service.server.counters.closed == 1)
        await trio.aclose_forcefully(stream)


@pytest.mark.parametrize("where", ["threads", "greenlets"])
async def test_a_stop_cuts_encrypted_clients_as_others(
    where: Any, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    async with serving_tls(BlockingUpper, server_context, blocking_handlers=where) as service:
        async with await connect(service, client_context) as stream:
            await stream.send_all(b"hello\n")
            assert await stream.receive_some() == b"HELLO\n"
            service.server.drain_timeout = 0
            service.shutdown()
            [report] = await service.wait_drained()
            assert len(report.cut) == 1
            assert report.left == ()
            await trio.aclose_forcefully(stream)
