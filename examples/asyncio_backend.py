"""The servers of `socketserver` on asyncio, and a program that serves with them.

What is here is what asyncio does: sleeping, tasks, threads. What is to be decided the core decides;
`docs/backends.md` walks through it. Try it with
`python examples/lines_client.py 127.0.0.1:9007 "red green blue" "red"`.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from contextvars import copy_context
from typing import Any

from sansio_server import Event, Place, State, StreamRequestHandler
from sansio_server.deferred import is_awaitable, settle_deferred, take_deferred
from sansio_server.handlers import is_asynchronous
from sansio_server.ledger import in_hand
from sansio_server.loop import request_loop, serve_loop
from sansio_server.stacks import coroutine_stack, thread_stack
from sansio_server.tasks import TaskServer
from sync_backend.control import Loop
from sync_backend.controlled import Controlled
from sync_backend.observed import observe
from sync_backend.socket_hooks import DatagramHooks, SocketHooks

A_DAY = 86400.0  # seconds: no sleep is longer

# What the core asks of an event loop.


class Turns:
    """What asyncio does in the turns of a serve loop."""

    tries_first = False  # a client is known to be there before it is let in
    loop: Loop

    def __init__(self, server: TCPServer) -> None:
        self._server = server
        self._events = asyncio.get_running_loop()
        self._rung = asyncio.Event()
        self._came = False

    def wake(self) -> None:
        """End the sleep, from any thread or signal handler."""
        with suppress(RuntimeError):  # the event loop is closed: nobody sleeps
            self._events.call_soon_threadsafe(self._rung.set)

    def close(self) -> None:
        """Nothing is held."""

    def _client_came(self) -> None:
        self._came = True
        self._rung.set()

    async def sleep(self, until: float) -> bool:
        """Sleep as the server's plan says; return whether a client came."""
        server, events = self._server, self._events
        server._awaiting.add(self)  # before looking for room, or its coming might be missed
        plan = server._plan(until)
        listener = server.fileno() if plan.listen else None
        timer = events.call_later(min(plan.until - server._now(), A_DAY), self._rung.set)
        self._came = False
        try:
            if listener is not None:
                events.add_reader(listener, self._client_came)
            await self._rung.wait()
        finally:
            self._rung.clear()
            timer.cancel()
            if listener is not None:
                events.remove_reader(listener)
            server._awaiting.discard(self)
        return self._came

    async def let_in(self) -> bool:
        """Let in who is there."""
        await self._server._let_in(self._begin)
        return False

    def _begin(self, *request: Any) -> Worker:
        return Worker(self._server._serve(*request))

    def end(self, event: Event) -> bool:
        """End the loop, unless a stop came first."""
        return self._server._control.end(self.loop, event)


class Worker:
    """Who serves a request: a task, and the thread that it has lent a blocking handler to."""

    def __init__(self, served: Coroutine[Any, Any, None]) -> None:
        self.thread: int | None = None
        self.task = asyncio.create_task(self._run(served))

    async def _run(self, served: Coroutine[Any, Any, None]) -> None:
        try:
            await served
        except asyncio.CancelledError:
            pass  # it was cut, and is closed
        except Exception as error:  # noqa: BLE001 - told to whom asyncio tells such
            context = {"message": "nobody dealt with what a hook raised", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)

    def cancel(self) -> None:
        """Let the task come to an end, after its first step."""
        asyncio.get_running_loop().call_soon(self.task.cancel)

    def where(self) -> str:
        """Return the stack of the thread, or else of the task."""
        return thread_stack(self.thread) or coroutine_stack(self.task.get_coro())


class Runtime:
    """What asynchronous handlers may await on every backend, beside their request."""

    async def sleep(self, seconds: float) -> None:
        """Wait for *seconds*."""
        await asyncio.sleep(seconds)

    async def run_blocking(self, function: Callable[..., Any], /, *args: Any) -> Any:
        """Call *function* in a thread, and return its result."""
        return await asyncio.to_thread(function, *args)


# The servers.


class TCPServer(SocketHooks, Controlled, TaskServer):
    """A server for one loop at a time, whose requests are served by tasks that it waits for."""

    runtime = Runtime()
    max_connections: int | None = 1000  # and so many threads, where handlers are blocking

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not is_asynchronous(self.RequestHandlerClass):
            self._carrier = self._carry

    async def serve_forever(self, poll_interval: float | None = 0.5) -> None:
        """Serve until `shutdown()`, then drain."""
        async with self._running(Event.SERVE) as turns:
            await serve_loop(self, turns, poll_interval)
            self._let_go()
            await self.drain(self.drain_timeout)

    async def handle_request(self) -> Any:
        """Serve one request, or call `handle_timeout()` when none comes in time."""
        async with self._running(Event.WAIT) as turns:
            result = await request_loop(self, turns, self._request_wait())
            await self.drain()
            return result

    @asynccontextmanager
    async def _running(self, event: Event) -> AsyncIterator[Turns]:
        self._checked_limits()
        turns = Turns(self)
        with (
            ThreadPoolExecutor(self.max_connections) as self._threads,
            self._control.running_with(event, turns) as turns.loop,
        ):
            try:
                if self._is_running():
                    self._make_nonblocking()
                yield turns
            finally:
                left = list(self._workers)  # nobody, unless the loop was cancelled or has failed
                for place in left:
                    self._cut(place, "the end of the loop")
                if left:
                    await asyncio.wait([place.worker.task for place in left])
                self._let_go()

    async def _wait_for_end(self, places: Iterable[Place], until: float) -> None:
        tasks = [place.worker.task for place in places if self._goes_on(place)]
        seconds = None if until == math.inf else max(0.0, until - self._now())
        await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)

    async def _carry(self, hook: Callable[..., Any], request: Any, client_address: Any) -> Any:
        """Call *hook* in a thread; a cancellation wakes that, and waits for it all the same."""
        worker = in_hand().worker

        def work() -> tuple[Any, Any]:
            worker.thread = threading.get_ident()
            try:
                return hook(request, client_address), take_deferred()
            finally:
                worker.thread = None

        future = self._threads.submit(copy_context().run, work)
        waiter = asyncio.wrap_future(future)
        try:
            result, deferred = await asyncio.shield(waiter)
        except asyncio.CancelledError:
            if not future.cancel():  # it has begun
                self._interrupt(request)
                await asyncio.wait([waiter])
            raise
        finally:
            del future, waiter  # or what they failed with would hold itself, and open files
        if is_awaitable(result):
            result = await result
        await settle_deferred(deferred)
        return result

    def shutdown(self) -> None:
        """Ask the loop to stop; for any task, thread or signal handler."""
        self._happened(Event.SHUTDOWN)

    def server_close(self) -> None:
        """Close the server. A loop that still runs ends, and lets go of the listener then."""
        self._happened(Event.CLOSE)
        if not self._control.loops:
            self._let_go()

    def _let_go(self) -> None:
        if self._lifecycle.listener is State.CLOSED:
            self._close_listener()

    def _async_request(self, request: Any) -> Any:
        """Return *request* as an asynchronous handler sees it."""
        return Request(request)

    def _observed(self, request: Any) -> Any:
        return observe(self, request)


class Request:
    """A socket whose waiting methods are to be awaited; the others are its own."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._timeout: float | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def settimeout(self, seconds: float | None) -> None:
        """Let what waits raise TimeoutError after *seconds*; None: never."""
        self._timeout = seconds

    async def recv(self, size: int) -> Any:
        """Wait for up to *size* bytes; none at the end of the stream."""
        return await self._in_time(asyncio.get_running_loop().sock_recv(self._sock, size))

    async def sendall(self, data: bytes) -> None:
        """Send all of *data*."""
        await self._in_time(asyncio.get_running_loop().sock_sendall(self._sock, data))

    async def send(self, data: bytes) -> int:
        """Send *data*; return how many bytes that is."""
        await self.sendall(data)
        return len(data)

    async def sendto(self, data: bytes, *where: Any) -> int:
        """Send a datagram; raise BlockingIOError if the network takes no more."""
        return self._sock.sendto(data, *where)

    async def _in_time(self, operation: Awaitable[Any]) -> Any:
        try:
            return await asyncio.wait_for(operation, self._timeout)
        except asyncio.TimeoutError:
            raise TimeoutError("timed out") from None


class UDPServer(DatagramHooks, TCPServer):
    """A server on a datagram socket."""

    def _async_request(self, request: Any) -> Any:
        """Return *request* as an asynchronous handler sees it."""
        data, sock = request
        return data, Request(sock)


class UnixStreamServer(TCPServer):
    """A server on a Unix stream socket."""

    address_family = socket.AF_UNIX


class UnixDatagramServer(UDPServer):
    """A server on a Unix datagram socket."""

    address_family = socket.AF_UNIX


# The program.


class Sorter(StreamRequestHandler):
    """Sends the words of each line back in order."""

    async def handle(self) -> None:
        """Answer line by line."""
        async for line in self.rfile:
            await self.wfile.write(b" ".join(sorted(line.split())) + b"\n")


async def serve(host: str, port: int) -> None:
    """Serve until cancelled."""
    server = TCPServer((host, port), Sorter)
    host, port = server.server_address
    print(f"listening on {host}:{port}", flush=True)
    try:
        await server.serve_forever()
    finally:
        server.server_close()


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Sort the words of lines sent over TCP.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=9007, help="0 takes any that is free")
    args = parser.parse_args()
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(args.host, args.port))


if __name__ == "__main__":
    main()
