"""A whole server in memory: clients, loops, tasks and time, moved one step at a time.

It is an asynchronous backend as small as one can be: a task is a coroutine in a context of its own,
and goes from one `Pause` to the next when it is told to.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable, Mapping
from contextvars import Context, copy_context
from functools import partial
from typing import Any, Literal

import attrs

from sansio_server.deferred import Deferred
from sansio_server.driver import Rest, continue_request, start_request
from sansio_server.handlers import BaseRequestHandler
from sansio_server.ledger import Place
from sansio_server.lifecycle import Event
from sansio_server.loop import request_loop, serve_loop
from sansio_server.request import Step
from sansio_server.serving import Serving

from .memory import Escape, Failure, Pause

Where = Literal["here", "elsewhere", "kept"]


@attrs.define(eq=False)
class Client:
    """Somebody who wants to be served, and what becomes of it.

    :ivar script: by hook, what it does: "ok" if nothing is said.
    :ivar where: where the rest of the request runs.
    :ivar wrapped: whether the request is wrapped on the way.
    :ivar seen: how often each hook was called.
    :ivar released: how often the place was given back.
    """

    number: int
    script: Mapping[str, str]
    where: Where = "here"
    wrapped: bool = False
    seen: dict[str, int] = attrs.Factory(dict)
    released: int = 0

    def times(self, hook: str) -> int:
        return self.seen.get(hook, 0)

    async def act(self, hook: str) -> bool:
        """Play a hook, which waits before it does anything."""
        self.seen[hook] = self.times(hook) + 1
        await Pause()
        outcome = self.script.get(hook, "ok")
        if outcome == "fail":
            raise Failure(hook)
        if outcome == "escape":
            raise Escape(hook)
        self.seen[hook + " ok"] = self.times(hook + " ok") + 1
        return outcome == "ok"


@attrs.frozen(eq=False)
class Wrapped:
    """A request inside another, as TLS has it; it is not known by the same key."""

    client: Client


def client_of(request: Client | Wrapped) -> Client:
    return request.client if isinstance(request, Wrapped) else request


class Handler(BaseRequestHandler):
    """Plays the client's script."""

    async def setup(self) -> None:
        await client_of(self.request).act("setup")

    async def handle(self) -> None:
        await client_of(self.request).act("handle")

    async def finish(self) -> None:
        await client_of(self.request).act("finish")


class Task:
    """A coroutine on its way.

    :param start: what it begins with, in its context.
    """

    def __init__(self, start: Callable[[], Rest], context: Context) -> None:
        self.coroutine = _begin(start)
        self.context = context
        self.done = False
        self.error: BaseException | None = None
        self.step()

    def step(self, error: BaseException | None = None) -> None:
        """Go on to the next pause, or raise `error` where it pauses now."""
        try:
            if error is None:
                self.context.run(self.coroutine.send, None)
            else:
                self.context.run(self.coroutine.throw, error)
        except StopIteration:
            self.done = True
        except (Failure, Escape) as raised:
            self.done, self.error = True, raised.with_traceback(None)


async def _begin(start: Callable[[], Rest]) -> None:
    rest = start()
    if rest is not None:
        await rest


class World(Serving):
    """The server, and all that is around it."""

    def __init__(self, **limits: Any) -> None:
        self.time = 0.0
        self.__dict__.update(limits)
        super().__init__("world", Handler)
        self.queue: deque[Client] = deque()
        self.clients: list[Client] = []
        self.kept: list[Client] = []
        self.loops: list[Task] = []
        #: Of those, how many have not yet said that they end.
        self.running_loops = 0
        self.tasks: dict[Task, Client] = {}
        self.failing_accepts = 0
        self.timeouts = 0
        #: Whether a stop was asked for that no loop has yet obeyed.
        self.stop_asked = False

    # What is done to it.

    def connect(self, client: Client) -> None:
        self.queue.append(client)

    def ask_to_stop(self) -> None:
        self.stop_asked = True
        self._happened(Event.SHUTDOWN)

    def close(self) -> None:
        self.stop_asked = self.stop_asked or self.running_loops > 0
        self._happened(Event.CLOSE)

    def run_loop(self, event: Event, wait: float = 0.0) -> Task:
        """Begin to serve, or to wait for one request."""
        task = Task(lambda: self._loop(event, wait), Context())
        if not task.done:
            self.loops.append(task)
        return task

    def step(self, task: Task, error: BaseException | None = None) -> None:
        """Let a loop or a request go on."""
        task.step(error)
        self.loops = [task for task in self.loops if not task.done]
        self.tasks = {task: client for task, client in self.tasks.items() if not task.done}

    def close_kept(self) -> None:
        """Close what an override has kept, as its program would."""
        client = self.kept.pop(0)
        client.seen["shutdown"] = client.times("shutdown") + 1
        self.close_request(client)

    async def _loop(self, event: Event, wait: float) -> None:
        self.running_loops += 1
        self._happened(event)
        turns = WorldTurns(self)
        try:
            if self._is_running():
                if event is Event.SERVE:
                    await serve_loop(self, turns, None)
                else:
                    await request_loop(self, turns, wait)
        finally:
            turns.end(Event.LEAVE)

    # The hooks.

    def _now(self) -> float:
        return self.time

    async def verify_request(self, request: Any, client_address: Any) -> bool:
        return await client_of(request).act("verify")

    async def process_request(self, request: Any, client_address: Any) -> None:
        client = client_of(request)
        if client.where == "kept":
            self.kept.append(client)
            return
        await client.act("process")
        if client.wrapped:
            request = Wrapped(client)
        if client.where == "here":
            await super().process_request(request, client_address)
        else:
            start = partial(continue_request, self, Step.FINISH, request, client_address, "task")
            task = Task(start, copy_context())
            if not task.done:
                self.tasks[task] = client

    def continue_request(self, entry: Step, request: Any, client_address: Any) -> Any:
        rest = continue_request(self, entry, request, client_address, "loop")
        return None if rest is None else Deferred(rest)

    async def shed_request(self, request: Any, client_address: Any) -> None:
        await client_of(request).act("shed")

    async def finish_request(self, request: Any, client_address: Any) -> None:
        client_of(request).seen["work"] = client_of(request).times("work") + 1
        super().finish_request(request, client_address)

    async def handle_error(self, request: Any, client_address: Any) -> None:
        client = client_of(request)
        await client.act("report" if client.times("shutdown") else "error")

    async def shutdown_request(self, request: Any) -> None:
        await client_of(request).act("shutdown")
        self.close_request(request)

    def handle_timeout(self) -> None:
        self.timeouts += 1

    def _release(self, place: Place) -> None:
        if place.open:
            client: Client = place.client_address
            client.released += 1
        super()._release(place)


class WorldTurns:
    """How the world's loops sleep, and let requests in."""

    tries_first = False

    def __init__(self, world: World) -> None:
        self.world = world
        self.has_ended = False

    async def sleep(self, until: float) -> bool:
        plan = self.world._plan(until)
        await Pause()
        return plan.listen and bool(self.world.queue)

    async def let_in(self) -> bool:
        world = self.world
        if world.failing_accepts:
            world.failing_accepts -= 1
            world._accept_failed(OSError(errno.EMFILE, "full"))
        elif world.queue:
            assert not world.stop_asked, "accepted after a stop"
            assert not world.suspended()
            client = world.queue.popleft()
            world.clients.append(client)
            entry = world._came_in()
            # The address is the client itself, so that its place can be told from others.
            rest = start_request(world, client, client, entry)
            if rest is not None:
                await rest
        return bool(world.queue)

    def end(self, event: Event) -> bool:
        if not self.has_ended and (event is Event.LEAVE or self.world._is_running()):
            self.world._happened(event)
            self.has_ended = True
            self.world.running_loops -= 1
            if not self.world.running_loops:
                self.world.stop_asked = False
        return self.has_ended
