"""The servers of `socketserver` on asyncio.

What is here is what asyncio does: sleeping, tasks, threads. What is to be decided the core decides;
`docs/backends.md` walks through it, and `asyncio_server.py` is a program that serves with this.
"""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from typing import Any

from sansio_server import Event, Place
from sansio_server.ledger import in_hand
from sansio_server.loop import request_loop, serve_loop
from sansio_server.stacks import coroutine_stack, thread_stack
from sansio_server.tasks import TaskServer
from sync_backend.controlled import Controlled, ControlledTurns
from sync_backend.socket_hooks import DatagramHooks, SocketHooks
from sync_backend.thread_call import ThreadCall


class Turns(ControlledTurns):
    """What asyncio does in the turns of a loop."""

    def __init__(self, server: TCPServer) -> None:
        self._server: TCPServer = server
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
        self._came = False
        with self._server._sleeping(self, until) as plan:
            timer = self._events.call_at(plan.until, self._rung.set)
            listener = self._server.fileno() if plan.listen else None
            if listener is not None:
                self._events.add_reader(listener, self._client_came)
            try:
                await self._rung.wait()
            finally:
                self._rung.clear()
                timer.cancel()
                if listener is not None:
                    self._events.remove_reader(listener)
        return self._came

    def let_in(self) -> Awaitable[bool]:
        """Let in who is there, with a task for each."""
        server = self._server
        return server._let_in(lambda *request: Worker(server._serve(*request)))


class Worker:
    """Who serves a request: a task, and the thread that it has lent a blocking handler to."""

    thread: int | None = None

    def __init__(self, served: Coroutine[Any, Any, None]) -> None:
        self.task = asyncio.create_task(served)

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


class TCPServer(SocketHooks, Controlled, TaskServer):
    """A server for one loop at a time, whose requests are served by tasks that it waits for."""

    runtime = Runtime()
    max_connections: int | None = 1000  # and so many threads, where handlers are blocking

    async def serve_forever(self, poll_interval: float | None = 0.5) -> None:
        """Serve until `shutdown()`, then drain."""
        await self._run(Event.SERVE, lambda turns: serve_loop(self, turns, poll_interval))

    async def handle_request(self) -> Any:
        """Serve one request, or call `handle_timeout()` when none comes in time."""
        wait = self._request_wait()
        return await self._run(Event.WAIT, lambda turns: request_loop(self, turns, wait))

    async def _run(self, event: Event, loop: Callable[[Turns], Awaitable[Any]]) -> Any:
        """Run a loop, which no task outlives, whatever ends it; return its result."""
        self._checked_limits()
        self._make_nonblocking()
        turns = Turns(self)
        with (
            ThreadPoolExecutor(self.max_connections) as self._threads,
            self._control.running_with(event, turns) as turns.loop,
        ):
            try:
                result = await loop(turns)
                self._let_go()
                await self.drain(self.drain_timeout if event is Event.SERVE else None)
                return result
            except BaseException:
                await self._drain_at_once()
                raise
            finally:
                while self._workers:  # even those who would not end in time
                    await self._wait_for_end(self._workers, math.inf)
                self._let_go()

    async def _wait_for_end(self, places: Iterable[Place], until: float) -> None:
        tasks = [place.worker.task for place in places if self._goes_on(place)]
        seconds = until - self._now()
        await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)

    async def _carry(self, hook: Callable[..., Any], request: Any, client_address: Any) -> Any:
        """Call *hook* in a thread; a cancellation wakes that, and waits for it all the same."""
        call = ThreadCall(in_hand().worker, hook, request, client_address)
        future = self._threads.submit(copy_context().run, call.run)
        ended, cancelled = asyncio.wrap_future(future), False
        while not ended.done():
            try:
                await asyncio.wait([ended])
            except asyncio.CancelledError:
                cancelled = True
                if not future.cancel():  # it has begun
                    self._interrupt(request)
        if cancelled:
            call.drop()
            raise asyncio.CancelledError
        return await call.outcome()

    def _async_request(self, request: Any) -> Any:
        """Return *request* as an asynchronous handler sees it."""
        return Request(request)


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


class UnixStreamServer(TCPServer):
    """A server on a Unix stream socket."""

    address_family = socket.AF_UNIX


class UnixDatagramServer(UDPServer):
    """A server on a Unix datagram socket."""

    address_family = socket.AF_UNIX
