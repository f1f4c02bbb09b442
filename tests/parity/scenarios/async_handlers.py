"""The handlers of the scenarios once more, with ``async def``: the same words in the other colour.

A scenario whose handler has no twin here is played with blocking handlers alone: what it is about
is theirs (the files of sockets, threads, TLS of the ``ssl`` module, their constructor).
"""

from __future__ import annotations

import socket
from typing import Any

from tests.parity.instrument import HANDLER_HOOKS
from tests.parity.scenario import EchoLine, both
from tests.parity.scenarios import faults, handlers, overrides, serving


async def now(result: Any) -> Any:
    """Return *result*, awaited where it can be: the files of datagrams wait for nothing."""
    return await result if hasattr(result, "__await__") else result


class AsyncHandler:
    """The base of handlers; the class under test follows it in the MRO."""

    rfile: Any
    wfile: Any
    request: Any
    connection: Any
    server: Any
    client_address: Any


class AsyncEchoLine(AsyncHandler):
    async def handle(self) -> None:
        line = await now(self.rfile.readline())
        await now(self.wfile.write(line.upper()))


class AsyncEchoRequest(AsyncHandler):
    async def handle(self) -> None:
        if isinstance(self.request, tuple):
            data, listener = self.request
            await listener.sendto(data.upper(), self.client_address)
        else:
            await self.request.sendall((await self.request.recv(1024)).upper())


class AsyncNests(AsyncEchoLine):
    async def setup(self) -> None:
        self.server.note("before setup")
        await super().setup()  # type: ignore[misc]  # of the class that follows
        self.server.note("after setup")

    async def finish(self) -> None:
        self.server.note("before finish")
        await super().finish()  # type: ignore[misc]
        self.server.note("after finish")


class AsyncBuffered(AsyncHandler):
    wbufsize = 64

    async def handle(self) -> None:
        await now(self.rfile.readline())
        for piece in (b"one ", b"two ", b"three\n"):
            self.server.note(f"write {await now(self.wfile.write(piece))}")


class AsyncBufferedWhole(AsyncBuffered):
    wbufsize = -1


class AsyncUnbuffered(AsyncBuffered):
    wbufsize = 0


class AsyncReadsBySixteen(AsyncEchoLine):
    rbufsize = 16


class AsyncFails(AsyncHandler):
    async def handle(self) -> None:
        await now(self.rfile.readline())
        raise ValueError("handle fails")


class AsyncFailsTwice(AsyncFails):
    async def finish(self) -> None:
        await super().finish()  # type: ignore[misc]
        raise LookupError("finish fails")


class AsyncSaysNothing(AsyncHandler):
    async def handle(self) -> None:
        await now(self.rfile.readline())


class AsyncWithoutDelay(AsyncEchoLine):
    disable_nagle_algorithm = True

    async def handle(self) -> None:
        nodelay = self.connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        self.server.note(f"TCP_NODELAY {bool(nodelay)}")
        await super().handle()


class AsyncSendsMuch(AsyncHandler):
    async def handle(self) -> None:
        await now(self.rfile.readline())
        self.server.note(f"write {await self.wfile.write(b'x' * 4_000_000)}")


class AsyncEchoesUntilTheEnd(AsyncHandler):
    async def handle(self) -> None:
        async for line in self.rfile:
            await now(self.wfile.write(line.upper()))


class AsyncTellsOfErrors(AsyncHandler):
    async def handle(self) -> None:
        try:
            self.server.note(f"read {await now(self.rfile.readline())!r}")
            self.server.note(f"read {await now(self.rfile.readline())!r}")
        except OSError as error:
            self.server.note(f"read raises {type(error).__name__}")


class AsyncGreets(AsyncHandler):
    def __init__(self, *args: Any, greeting: bytes) -> None:
        self.greeting = greeting
        super().__init__(*args)

    async def handle(self) -> None:
        await now(self.wfile.write(self.greeting + await now(self.rfile.readline())))


class AsyncStopsInHandler(AsyncEchoLine):
    async def handle(self) -> None:
        await super().handle()
        self.server.note("stops")
        self.server.shutdown()
        self.server.note("has stopped")


TWINS: dict[type, type] = {
    EchoLine: AsyncEchoLine,
    handlers.EchoRequest: AsyncEchoRequest,
    handlers.Nests: AsyncNests,
    handlers.Buffered: AsyncBuffered,
    handlers.BufferedWhole: AsyncBufferedWhole,
    handlers.Unbuffered: AsyncUnbuffered,
    handlers.ReadsBySixteen: AsyncReadsBySixteen,
    handlers.Fails: AsyncFails,
    faults.FailsTwice: AsyncFailsTwice,
    handlers.SaysNothing: AsyncSaysNothing,
    handlers.WithoutDelay: AsyncWithoutDelay,
    handlers.SendsMuch: AsyncSendsMuch,
    handlers.EchoesUntilTheEnd: AsyncEchoesUntilTheEnd,
    handlers.TellsOfErrors: AsyncTellsOfErrors,
    overrides.Greets: AsyncGreets,
    serving.StopsInHandler: AsyncStopsInHandler,
}


def twin_of(handler: type) -> type | None:
    """Return the asynchronous twin of a scenario's handler, if it has one."""
    if handler in TWINS:
        return TWINS[handler]
    own = [name for name in HANDLER_HOOKS if name in vars(handler)]
    if own:
        return _raising(handler, own[0]) if handler.__name__ == f"Raising_{own[0]}" else None
    if len(handler.__bases__) < 2:
        return None
    twins = [twin for twin in map(twin_of, handler.__bases__) if twin is not None]
    return both(*twins) if len(twins) == len(handler.__bases__) else None


def _raising(handler: type, hook: str) -> type:
    raises = vars(handler)[hook]

    async def override(self: Any) -> None:
        raises(self)

    return type(handler.__name__, (), {hook: override})
