"""Datagrams are served in a row, by tasks that are kept; who has to wait holds nobody up."""

from __future__ import annotations

import contextlib
import itertools
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import pytest
import trio
import trio.testing

from sansio_server.stacks import coroutine_stack
from sansio_server.tasks import BATCH
from trio_backend import UDPServer
from trio_backend.relay import Begun

from .support import HERE, is_over, until

Task = trio.lowlevel.Task


class World:
    """A server of datagrams that are there before it serves, and what became of them.

    :ivar begun: what came, in the order in which it was begun.
    :ivar tasks: the task in which each was begun.
    :ivar ended: what was served to its end.
    :ivar gate: what a datagram that says "wait" waits for.
    """

    def __init__(self, **attributes: Any) -> None:
        self.begun: list[bytes] = []
        self.tasks: list[Task] = []
        self.ended: list[bytes] = []
        self.gate = trio.Event()
        self.server = UDPServer(HERE, self.handle)
        for name, value in attributes.items():
            setattr(self.server, name, value)
        self.client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.client.connect(self.server.server_address)

    async def handle(self, request: Any, client_address: Any, server: Any) -> None:
        word = request[0]
        self.begun.append(word)
        self.tasks.append(trio.lowlevel.current_task())
        if word.startswith(b"wait"):
            await self.gate.wait()
        elif word == b"raise":
            raise RuntimeError("asked for")
        self.ended.append(word)

    def send(self, *words: bytes) -> None:
        """Have datagrams come."""
        for word in words:
            self.client.send(word)

    async def served(self, count: int) -> None:
        """Wait until so many have been served."""
        await until(lambda: self.server.counters.closed == count)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[trio.Nursery]:
        async with self.server, trio.open_nursery() as nursery:
            await nursery.start(self.server.serve_forever)
            yield nursery
            self.server.shutdown()
        assert is_over(self.server)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    with world.client, contextlib.closing(world.server.socket):
        yield world


def words(count: int, word: bytes = b"%d") -> list[bytes]:
    return [word % number if b"%" in word else word for number in range(count)]


async def test_what_does_not_wait_is_served_by_one_task(world: World) -> None:
    world.send(*words(3 * BATCH // 2))
    async with world.serving():
        await world.served(3 * BATCH // 2)
        world.send(b"later")
        await world.served(3 * BATCH // 2 + 1)
    assert world.ended == world.begun == [*words(3 * BATCH // 2), b"later"]
    assert len(set(world.tasks)) == 1


async def test_others_have_their_turns_between_batches(world: World) -> None:
    accepted = [0]

    async def watch() -> None:
        while True:
            accepted.append(world.server.counters.accepted)
            await trio.lowlevel.checkpoint()

    world.send(*words(2 * BATCH))
    async with world.serving() as nursery:
        nursery.start_soon(watch)
        await world.served(2 * BATCH)
        nursery.cancel_scope.cancel()
    steps = [after - before for before, after in itertools.pairwise(accepted)]
    assert max(steps) == BATCH


async def test_who_waits_holds_up_nobody_and_keeps_the_task(world: World) -> None:
    world.send(b"one", b"wait 1", b"two", b"wait 2", b"three")
    async with world.serving():
        await until(lambda: len(world.ended) == 3)
        assert sorted(world.ended) == [b"one", b"three", b"two"]
        assert len(world.server._workers) == 2
        waiting = dict(zip(world.begun, world.tasks, strict=True))
        assert waiting[b"wait 1"] is not waiting[b"wait 2"]
        assert waiting[b"three"] not in {waiting[b"wait 1"], waiting[b"wait 2"]}
        world.gate.set()
        await world.served(5)
    assert sorted(world.ended[3:]) == [b"wait 1", b"wait 2"]


async def test_many_that_wait_begin_in_one_turn_and_leave_their_tasks_to_others(
    world: World,
) -> None:
    async with world.serving():
        for _ in range(3):
            world.gate = trio.Event()
            world.begun.clear()
            world.send(*words(BATCH, b"wait"))
            await until(lambda: len(world.begun) == BATCH)
            assert len(world.server._workers) == BATCH
            world.gate.set()
            await until(lambda: not world.server._workers)
    assert len(set(world.tasks)) <= 2 * BATCH  # of three times as many


async def test_no_more_tasks_are_kept_than_take_part_in_a_turn(world: World) -> None:
    async with world.serving() as nursery:
        world.send(*words(BATCH, b"wait"))
        await until(lambda: len(world.begun) == BATCH)
        world.send(*words(BATCH, b"wait"))
        await until(lambda: len(world.begun) == 2 * BATCH)
        world.gate.set()
        await world.served(2 * BATCH)
        await trio.testing.wait_all_tasks_blocked()
        [serving] = [task.child_nurseries for task in nursery.child_tasks]
        assert len(serving[0].child_tasks) <= BATCH


VARIABLE: ContextVar[str] = ContextVar("VARIABLE", default="unset")


async def test_each_request_has_a_context_of_its_own() -> None:
    seen: list[tuple[str, str]] = []

    async def handler(request: Any, client_address: Any, server: Any) -> None:
        before = VARIABLE.get()
        VARIABLE.set(request[0].decode())
        if request[0].startswith(b"wait"):
            await trio.lowlevel.checkpoint()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(note, before)

    async def note(before: str) -> None:
        seen.append((before, VARIABLE.get()))

    VARIABLE.set("the server's")
    server = UDPServer(HERE, handler)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        async with server, trio.open_nursery() as nursery:
            for word in (b"one", b"wait", b"two"):
                client.sendto(word, server.server_address)
            await nursery.start(server.serve_forever)
            await until(lambda: server.counters.closed == 3)
            client.sendto(b"three", server.server_address)
            await until(lambda: server.counters.closed == 4)
            server.shutdown()
    assert sorted(seen) == [("the server's", word) for word in ("one", "three", "two", "wait")]


async def test_a_cancel_scope_that_a_handler_enters_before_it_waits_is_its_own() -> None:
    ended: list[tuple[bytes, bool]] = []

    async def handler(request: Any, client_address: Any, server: Any) -> None:
        with trio.CancelScope() as scope:
            if request[0] == b"cancel":
                scope.cancel()
            await trio.lowlevel.checkpoint()
        ended.append((request[0], scope.cancelled_caught))

    server = UDPServer(HERE, handler)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        async with server, trio.open_nursery() as nursery:
            for word in (b"one", b"cancel", b"two"):
                client.sendto(word, server.server_address)
            await nursery.start(server.serve_forever)
            await until(lambda: server.counters.closed == 3)
            server.shutdown()
    assert sorted(ended) == [(b"cancel", True), (b"one", False), (b"two", False)]


async def test_who_is_cut_ends_alone(mock_clock: trio.testing.MockClock) -> None:
    world = World(request_timeout=10)
    with world.client:
        world.send(b"one", b"wait", b"two")
        async with world.serving():
            await world.served(2)
            mock_clock.jump(11)
            await world.served(3)
            world.send(b"three")
            await world.served(4)
        assert world.server.counters.cut == 1
        assert sorted(world.ended) == [b"one", b"three", b"two"]


async def test_who_is_cut_in_a_row_is_the_last_in_it() -> None:
    served: list[tuple[bytes, Task]] = []

    def handler(request: Any, client_address: Any, server: Any) -> None:
        served.append((request[0], trio.lowlevel.current_task()))
        if request[0] == b"cut":
            [place] = server._workers
            server._cut(place, "a test")

    handler_class = type("Handler", (), {"_runs_async": True, "__new__": lambda _, *a: handler(*a)})
    server = UDPServer(HERE, handler_class)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        async with server, trio.open_nursery() as nursery:
            for word in (b"one", b"cut", b"two", b"three"):
                client.sendto(word, server.server_address)
            await nursery.start(server.serve_forever)
            await until(lambda: server.counters.closed == 4)
            server.shutdown()
    assert [word for word, _ in served] == [b"one", b"cut", b"two", b"three"]
    tasks = [task for _, task in served]
    assert tasks[0] is tasks[1] is not tasks[2] is tasks[3]


async def test_a_worker_that_has_ended_does_not_cut_the_next_in_its_task(world: World) -> None:
    workers: list[Any] = []

    async def handler(request: Any, client_address: Any, server: Any) -> None:
        workers.extend(server._workers.values())
        if len(workers) == 2:
            workers[0].cancel()
            await trio.lowlevel.checkpoint()
        world.ended.append(request[0])

    world.server.RequestHandlerClass = handler
    world.send(b"one", b"two")
    async with world.serving():
        await world.served(2)
    assert world.ended == [b"one", b"two"]


async def test_reports_show_where_the_one_who_waits_stands() -> None:
    world = World(drain_timeout=0)
    with world.client:
        world.send(b"one", b"wait")
        async with world.serving():
            await until(lambda: len(world.begun) == 2)
            [task] = {worker.task for worker in world.server._workers.values()}
            frames = [frame.f_code.co_name for frame, _ in task.iter_await_frames()]
            assert frames[:2] == ["_run", "_work"]
        report = world.server.drain_report
        assert report is not None
        [cut] = report.cut
        assert "await self.gate.wait()" in cut.where
        assert world.ended == [b"one"]


async def test_no_more_are_served_at_once_than_there_is_room_for() -> None:
    world = World(max_connections=2)
    with world.client:
        world.send(b"wait", b"one", b"two", b"wait", b"three")
        async with world.serving():
            await until(lambda: world.begun.count(b"wait") == 2)
            await trio.testing.wait_all_tasks_blocked()
            assert world.ended == [b"one", b"two"]
            world.gate.set()
            await world.served(5)


async def test_who_asks_for_a_stop_is_the_last_that_is_let_in(world: World) -> None:
    async def handler(request: Any, client_address: Any, server: Any) -> None:
        world.ended.append(request[0])
        if request[0] == b"stop":
            server.shutdown()

    world.server.RequestHandlerClass = handler
    world.send(b"one", b"stop", b"two")
    async with world.server:
        await world.server.serve_forever()
    assert world.ended == [b"one", b"stop"]


async def test_a_failure_in_a_row_ends_the_server_where_it_is_to() -> None:
    world = World(on_error="crash")
    with world.client:
        world.send(b"one", b"raise", b"two")
        async with world.server:
            with pytest.RaisesGroup(RuntimeError):
                await world.server.serve_forever()
    assert world.ended == [b"one"]
    assert is_over(world.server)


async def test_a_dead_socket_ends_the_server_with_its_error(world: World) -> None:
    failures = [BlockingIOError(), OSError("dead")]

    class Dead(socket.socket):
        def recvfrom(self, *_: Any) -> Any:
            raise failures.pop(0)

    world.server.socket.close()
    world.server.socket = Dead(socket.AF_INET, socket.SOCK_DGRAM)
    world.server.socket.bind(HERE)
    world.server._accept_failed = _raise  # type: ignore[method-assign]
    world.client.connect(world.server.socket.getsockname())
    world.send(b"one")
    async with world.server:
        with pytest.raises(OSError, match="dead"):
            await world.server.serve_forever()
    assert failures == []


def _raise(error: OSError) -> None:
    raise error


async def test_the_end_may_come_while_a_turn_begins(world: World) -> None:
    """The loop is cancelled when it has called somebody who has not begun yet."""
    admitted = trio.CancelScope()
    admission = world.server._admission

    def cancel() -> Any:
        admitted.cancel()
        return admission()

    world.send(b"one")
    async with world.server:
        with admitted:
            world.server._admission = cancel  # type: ignore[method-assign]
            await world.server.serve_forever()
    assert admitted.cancelled_caught
    assert is_over(world.server)


# What is awaited of a coroutine that has begun.


async def _twice(log: list[str]) -> None:
    for _ in range(2):
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled:
            log.append("cancelled")
            raise
        log.append("went on")


def _begun(log: list[str]) -> Begun:
    coroutine = _twice(log)
    return Begun(coroutine, coroutine.send(None))


@pytest.fixture
def log() -> list[str]:
    return []


async def test_the_rest_of_a_coroutine_runs_to_its_end(log: list[str]) -> None:
    await _begun(log)
    assert log == ["went on", "went on"]


async def test_the_rest_of_a_coroutine_is_cancelled_where_it_stands(log: list[str]) -> None:
    with trio.CancelScope() as scope:
        begun = _begun(log)
        assert coroutine_stack(begun).count("_twice") == 1
        scope.cancel()
        await begun
    assert log == ["cancelled"]


async def test_exceptions_from_outside_are_passed_on(log: list[str]) -> None:
    begun = _begun(log)
    with pytest.raises(LookupError):
        begun.throw(LookupError())
    begun = _begun(log)
    begun.close()
    with pytest.raises(RuntimeError, match="reuse"):
        begun.send(None) and begun.send(None)
