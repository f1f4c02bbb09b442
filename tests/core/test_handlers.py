"""Handlers, blocking and asynchronous, on a server in memory and over connections in memory."""

from __future__ import annotations

import functools
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

from sansio_server.deferred import Deferred, drop_deferred
from sansio_server.driver import run_blocking
from sansio_server.handlers import (
    BaseRequestHandler,
    DatagramRequestHandler,
    StreamRequestHandler,
    is_asynchronous,
    unwrapped,
)

from .connections import AdaptingServer, AsyncConnection, Connection
from .memory import Escape, Failure, MemoryServer, Pause, Request, run_suspending

METHODS = ("setup", "handle", "finish")


# Which handlers are asynchronous.


def blocking(request: Any, client_address: Any, server: Any) -> None:
    """A handler of its own."""


async def coroutine(request: Any, client_address: Any, server: Any) -> None:
    """A handler of its own."""


class AsyncCallable:
    async def __call__(self, request: Any, client_address: Any, server: Any) -> None:
        """Handle."""


class BlockingCallable:
    def __call__(self, request: Any, client_address: Any, server: Any) -> None:
        """Handle."""


def handler_with(**methods: Any) -> type[BaseRequestHandler]:
    return type("Handler", (BaseRequestHandler,), methods)


async def nothing(self: Any) -> None:
    """A method of a handler."""


AsyncHandler = handler_with(handle=nothing)


@pytest.mark.parametrize(
    ("handler", "expected"),
    [
        (BaseRequestHandler, False),
        (StreamRequestHandler, False),
        (DatagramRequestHandler, False),
        (AsyncHandler, True),
        (type("Derived", (AsyncHandler,), {}), True),
        (type("Mixed", (AsyncHandler, StreamRequestHandler), {}), True),
        (handler_with(handle=nothing, asynchronous=False), False),
        (handler_with(asynchronous=True), True),
        (AsyncCallable, False),
        (AsyncCallable(), True),
        (BlockingCallable(), False),
        (blocking, False),
        (coroutine, True),
        (lambda *args: coroutine(*args), False),
        (functools.partial(blocking), False),
        (functools.partial(coroutine, server=None), True),
        (functools.partial(functools.partial(AsyncHandler)), True),
        (functools.partial(AsyncCallable()), True),
        (object(), False),
    ],
)
def test_a_handler_shows_whether_it_is_asynchronous(
    handler: Callable[..., Any], expected: bool
) -> None:
    assert is_asynchronous(handler) is expected


@pytest.mark.parametrize("method", METHODS)
def test_one_method_makes_a_class_asynchronous(method: str) -> None:
    assert is_asynchronous(handler_with(**{method: nothing}))


def test_a_partial_is_what_it_calls_in_the_end() -> None:
    assert unwrapped(blocking) is blocking
    assert unwrapped(functools.partial(functools.partial(blocking), 1)) is blocking


# The life of a request.


def recording(colour: str, script: dict[str, BaseException], calls: list[str]) -> type:
    """A handler class whose methods are noted, and raise what the script says.

    :param colour: a letter for each method: d for def, a for async def, s for one that suspends.
    """

    def method(name: str, letter: str) -> Callable[..., Any]:
        def act() -> None:
            calls.append(name)
            if name in script:
                raise script[name]

        def plain(self: Any) -> None:
            act()

        async def asynchronous(self: Any) -> None:
            act()

        async def suspending(self: Any) -> None:
            await Pause()
            act()

        return {"d": plain, "a": asynchronous, "s": suspending}[letter]

    return handler_with(**{name: method(name, c) for name, c in zip(METHODS, colour, strict=True)})


@pytest.mark.parametrize("colour", ["ddd", "ada", "dad", "dda", "add", "aaa", "sss", "dsd"])
@pytest.mark.parametrize("error", [Failure, Escape])
def test_finish_is_called_if_and_only_if_setup_succeeded(
    colour: str, error: type[BaseException]
) -> None:
    for failing in product([False, True], repeat=3):
        script = {name: error(name) for name, fails in zip(METHODS, failing, strict=True) if fails}
        calls: list[str] = []
        handler = recording(colour, script, calls)

        async def life(handler: type = handler) -> None:
            await MemoryServer(handler).run_handler()

        raised: BaseException | None = None
        try:
            run_suspending(life())
        except (Failure, Escape) as caught:
            raised = caught
        expected = ["setup"] if failing[0] else list(METHODS)
        assert calls == expected, script
        # As everywhere: what is raised last is what is seen.
        last = [script[name] for name in expected if name in script]
        assert raised is (last[-1] if last else None), script


def test_the_constructor_of_a_blocking_handler_does_the_work() -> None:
    calls: list[str] = []
    recording("ddd", {}, calls)(None, None, None)
    assert calls == list(METHODS)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("asynchronous", [None, True])
def test_a_method_that_hides_that_it_is_asynchronous_is_awaited_only_if_the_class_says_so(
    method: str, asynchronous: bool | None
) -> None:
    calls: list[str] = []

    async def act() -> None:
        calls.append(method)

    handler = handler_with(**{method: lambda self: act()}, asynchronous=asynchronous)
    server = MemoryServer(handler)
    if asynchronous:
        run_blocking(server.run_handler())
        assert calls == [method]
    else:
        with pytest.raises(TypeError, match=rf"^Handler\.{method}\(\) is to be awaited, but"):
            run_blocking(server.run_handler())
        assert calls == []


def test_any_awaitable_shows_that_the_class_says_too_little() -> None:
    handler = handler_with(handle=lambda self: Pause())
    with pytest.raises(TypeError, match="set asynchronous = True"):
        run_blocking(MemoryServer(handler).run_handler())


def test_what_was_deferred_is_awaited_whatever_the_class_says() -> None:
    calls: list[str] = []

    async def act() -> None:
        calls.append("awaited")

    handler = handler_with(finish=lambda self: Deferred(act()))
    run_blocking(MemoryServer(handler).run_handler())
    assert calls == ["awaited"]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_what_a_handler_returns_otherwise_is_dropped(asynchronous: bool) -> None:
    methods: dict[str, Any] = {name: lambda self: "result" for name in METHODS}
    handler = handler_with(asynchronous=asynchronous, **methods)
    run_blocking(MemoryServer(handler).run_handler())


def test_the_constructor_of_an_asynchronous_handler_does_not() -> None:
    calls: list[str] = []
    handler = recording("dad", {}, calls)

    handler(Connection(), "client", AdaptingServer())
    assert calls == []
    drop_deferred()


def test_a_handler_knows_its_request_client_and_server() -> None:
    server = AdaptingServer()
    handler = BaseRequestHandler("request", "client", server)
    assert (handler.request, handler.client_address, handler.server) == (
        "request",
        "client",
        server,
    )


@pytest.mark.parametrize("stop_ends_input", [False, True])
@pytest.mark.parametrize("colour", ["blocking", "asynchronous"])
def test_a_stream_handler_may_ask_that_a_stop_ends_its_input(
    stop_ends_input: bool, colour: str
) -> None:
    class Server(AdaptingServer):
        asked: Any = ()

        def end_input_at_stop(self, request: Any) -> None:
            self.asked += (request,)

    class Handler(StreamRequestHandler):
        asynchronous = colour == "asynchronous"

        def handle(self) -> None:
            assert self.server.asked == ((self.request,) if stop_ends_input else ())

    Handler.stop_ends_input = stop_ends_input
    server = Server(Handler)
    run_suspending(server.run_handler(Connection()))
    assert len(server.asked) == stop_ends_input


@pytest.mark.parametrize("made_by", ["class", "partial", "function", "lambda"])
def test_the_request_of_an_asynchronous_handler_is_adapted_once(made_by: str) -> None:
    class Handler(StreamRequestHandler):
        async def handle(self) -> None:
            assert isinstance(self.request, AsyncConnection)
            await self.wfile.write((await self.rfile.readline()).upper())

    def function(request: Any, client_address: Any, server: Any) -> None:
        Handler(request, client_address, server)

    handlers: dict[str, Callable[..., Any]] = {
        "class": Handler,
        "partial": functools.partial(Handler),
        "function": function,
        "lambda": lambda *args: Handler(*args),
    }
    connection = Connection(b"abc\n")
    AdaptingServer(handlers[made_by]).serve(connection)
    assert connection.sent == [b"ABC\n"]


@pytest.mark.parametrize(
    "wrap", [lambda handler: handler, functools.partial], ids=["function", "partial"]
)
def test_the_request_of_a_coroutine_function_is_adapted(wrap: Callable[..., Any]) -> None:
    async def handler(request: Any, client_address: Any, server: Any) -> None:
        await request.sendall(await request.recv(9))

    connection = Connection(b"abc")
    AdaptingServer(wrap(handler)).serve(connection)
    assert connection.sent == [b"abc"]


def test_the_request_of_a_blocking_handler_is_left_as_it_is() -> None:
    seen = []
    connection = Connection()
    AdaptingServer(lambda request, *_: seen.append(request)).serve(connection)
    assert seen == [connection]


def test_a_handler_may_live_without_a_server_that_adapts() -> None:
    seen = []

    class Handler(BaseRequestHandler):
        async def handle(self) -> None:
            seen.append(self.request)

    async def make() -> None:
        Handler("request", "client", object())

    MemoryServer(lambda *_: make()).serve(Request())
    assert seen == ["request"]


@pytest.mark.parametrize("awaits", [False, True])
def test_super_may_be_called_with_or_without_await(awaits: bool) -> None:
    order = []

    class Base(StreamRequestHandler):
        async def setup(self) -> None:
            StreamRequestHandler.setup(self)
            await Pause()
            order.append("base setup")

    class Handler(Base):
        wbufsize = -1

        async def setup(self) -> None:
            await super().setup()
            order.append("setup")

        async def handle(self) -> None:
            await self.wfile.write(b"abc")
            assert self.request.connection.sent == []

        async def finish(self) -> None:
            order.append("finish")
            if awaits:
                await super().finish()
                assert self.request.connection.sent == [b"abc"]
            else:
                super().finish()

    connection = Connection()
    server = AdaptingServer(Handler)
    assert run_suspending(server.run_handler(connection)) == (None, 1)
    assert order == ["base setup", "setup", "finish"]
    assert connection.sent == [b"abc"]


def test_what_a_failed_handle_left_to_be_awaited_is_given_up() -> None:
    calls: list[str] = []

    class Handler(BaseRequestHandler):
        asynchronous = True

        def handle(self) -> None:
            recording("ada", {}, calls)(self.request, self.client_address, None)
            raise Failure

        def finish(self) -> None:
            calls.append("outer finish")

    with pytest.raises(Failure):
        run_blocking(MemoryServer(Handler).run_handler())
    assert calls == ["outer finish"]


def test_a_handler_may_leave_its_request_to_another() -> None:
    calls: list[str] = []

    class Handler(BaseRequestHandler):
        async def handle(self) -> None:
            recording("ada", {}, calls)(self.request, self.client_address, None)

        def finish(self) -> None:
            calls.append("outer finish")

    run_blocking(MemoryServer(Handler).run_handler())
    assert calls == [*METHODS, "outer finish"]
