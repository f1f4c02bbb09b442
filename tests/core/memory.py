"""A server in memory: the core with nothing around it, and time that a test sets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, TypeVar, overload

from sansio_server.deferred import Deferred, settle_deferred
from sansio_server.driver import Rest, continue_request, run_blocking, start_request
from sansio_server.handlers import BaseRequestHandler
from sansio_server.request import Step
from sansio_server.serving import Serving
from sansio_server.trace import TraceEvent, TraceKind

T = TypeVar("T")


class Failure(Exception):
    """What a hook raises that fails."""


class Escape(BaseException):
    """What a hook raises that `except Exception` must not see: an interrupt, a cancellation."""


class Request:
    """Something to serve; it counts how often it was closed."""

    number = 0

    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


class MemoryServer(Serving):
    """Serves in place, and blocks, unless a test does it otherwise."""

    def __init__(self, handler: Callable[..., Any] = BaseRequestHandler, **attributes: Any) -> None:
        self.time = 0.0
        self.__dict__.update(attributes)
        super().__init__("memory", handler)

    def _now(self) -> float:
        return self.time

    def close_request(self, request: Any) -> Any:
        request.close()
        return super().close_request(request)

    def continue_request(self, entry: Step, request: Any, client_address: Any) -> Any:
        run_blocking(continue_request(self, entry, request, client_address, "worker"))

    def start(self, request: Any, entry: Step = Step.VERIFY) -> Rest:
        """Take a request in, and serve it until it waits; return the rest."""
        return start_request(self, request, "client", entry)

    def serve(self, request: Any, client_address: Any = "client") -> None:
        """Take a request in and serve it, as a blocking loop does."""
        run_blocking(start_request(self, request, client_address))

    async def run_handler(self, request: Any = None) -> None:
        """Run the handler, with nothing of a request's life around it."""
        self.finish_request(request, "client")
        await settle_deferred()

    def traced(self) -> list[TraceEvent]:
        """Begin a trace; of its events, return those that come after its own."""
        events: list[TraceEvent] = []

        def trace(event: TraceEvent) -> None:
            if event.kind is not TraceKind.BEGIN:
                events.append(event)

        self.trace = trace
        return events


class AsyncMemoryServer(MemoryServer):
    """Serves in place, but is awaited."""

    def continue_request(self, entry: Step, request: Any, client_address: Any) -> Any:
        rest = continue_request(self, entry, request, client_address, "worker")
        return None if rest is None else Deferred(rest)


class Pause(Awaitable[Any]):
    """Suspends whoever awaits it, once; what it is resumed with is its result."""

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield self)


@overload
def run_suspending(coroutine: Coroutine[Any, Any, T]) -> tuple[T, int]: ...
@overload
def run_suspending(coroutine: Coroutine[Any, Any, T] | None) -> tuple[T | None, int]: ...


def run_suspending(coroutine: Coroutine[Any, Any, T] | None) -> tuple[T | None, int]:
    """Run a coroutine as an event loop does; return its result, and how often it suspended."""
    if coroutine is None:
        return None, 0
    pauses = 0
    while True:
        try:
            coroutine.send(None)
        except StopIteration as end:
            return end.value, pauses
        pauses += 1
