"""Stopping: what becomes of the requests under way, step by step, and who is told."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from sansio_server.drain import DrainReport
from sansio_server.handlers import BaseRequestHandler
from sansio_server.lifecycle import State
from sansio_server.trace import TraceKind

from .support import MemoryServer, Watcher, is_over, read_to_end, serving, with_clients

Clock = trio.testing.MockClock


class Nap(BaseRequestHandler):
    """Takes ten seconds, unless it is cancelled."""

    async def handle(self) -> None:
        await self.rest()
        await self.request.sendall(b"done")

    async def rest(self) -> None:
        await trio.sleep(10)


class Stubborn(BaseRequestHandler):
    """Takes ten seconds, whatever happens."""

    async def handle(self) -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(10)


# The course of a stop.


async def test_nobody_is_waited_for_where_nobody_is(autojump_clock: Clock) -> None:
    server = MemoryServer(Nap)
    async with serving(server):
        pass
    assert server.drain_report == DrainReport(finished=(), cut=(), seconds=0)
    assert server._lifecycle.drain is State.DRAINED


@pytest.mark.parametrize("drain_timeout", [None, 10.5])
async def test_requests_may_end_by_themselves(
    drain_timeout: float | None, autojump_clock: Clock
) -> None:
    server = MemoryServer(Nap, drain_timeout=drain_timeout)
    async with server, trio.open_nursery() as nursery:
        await nursery.start(server.serve_forever)
        clients = await with_clients(server, 2)
        server.shutdown()
        assert await server.wait_drained() == DrainReport((None, None), (), 10)
        assert await server.wait_drained() is server.drain_report
        for client in clients:
            assert await read_to_end(client) == b"done"


async def test_when_the_grace_is_over_they_are_cancelled(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    server = MemoryServer(Nap, drain_timeout=4)
    server.trace = watcher = Watcher()
    async with server, trio.open_nursery() as nursery:
        await nursery.start(server.serve_forever)
        clients = await with_clients(server, 2)
        begun = trio.current_time()
        server.shutdown()
        report = await server.wait_drained()
        assert trio.current_time() - begun == report.seconds == 4
        for client in clients:
            assert await read_to_end(client) == b""
    assert report.finished == report.left == ()
    assert [straggler.number for straggler in report.cut] == [1, 2]
    for straggler in report.cut:
        assert straggler.ended
        assert "in rest\n    await trio.sleep(10)" in straggler.where
    assert watcher.of(TraceKind.CUT) == ["drain", "drain"]
    assert server.counters.cut == 2
    assert [str(report) in message for message in caplog.messages] == [True]
    assert is_over(server)


async def test_no_grace_at_all(autojump_clock: Clock) -> None:
    server = MemoryServer(Nap, drain_timeout=0)
    async with serving(server):
        await with_clients(server, 1)
    assert server.drain_report is not None
    assert len(server.drain_report.cut) == 1


async def test_a_handler_that_is_cut_may_say_goodbye(autojump_clock: Clock) -> None:
    class Polite(BaseRequestHandler):
        async def handle(self) -> None:
            try:
                await trio.sleep_forever()
            finally:
                with trio.move_on_after(3, shield=True):
                    await trio.sleep(2)
                    await self.request.sendall(b"goodbye")

    server = MemoryServer(Polite, drain_timeout=1)
    async with server, trio.open_nursery() as nursery:
        await nursery.start(server.serve_forever)
        [client] = await with_clients(server, 1)
        server.shutdown()
        assert await read_to_end(client) == b"goodbye"
        assert (await server.wait_drained()).seconds == 3


async def test_who_does_not_end_is_left_behind_and_waited_for(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    server = MemoryServer(Stubborn, drain_timeout=2, cut_timeout=3)
    async with server, trio.open_nursery() as nursery:
        await nursery.start(server.serve_forever)
        await with_clients(server, 1)
        begun = trio.current_time()
        server.shutdown()
        report = await server.wait_drained()
        assert trio.current_time() - begun == report.seconds == 5
        assert len(report.left) == 1
        assert not is_over(server)
        assert "left behind: request 1" in caplog.text
        assert "await trio.sleep(10)" in caplog.text
        assert server._lifecycle.drain is State.ABANDONED
    assert trio.current_time() - begun == 10
    assert is_over(server)


async def test_the_time_of_each_request_ends_during_a_drain_too(autojump_clock: Clock) -> None:
    server = MemoryServer(Nap, request_timeout=5)
    server.trace = watcher = Watcher()
    async with server, trio.open_nursery() as nursery:
        await nursery.start(server.serve_forever)
        await with_clients(server, 1)
        await trio.sleep(1)
        server.shutdown()
        assert (await server.wait_drained()).seconds == 4
    assert watcher.of(TraceKind.CUT) == ["request_timeout"]


async def test_handlers_can_see_a_stop(autojump_clock: Clock) -> None:
    async def handler(request: Any, client_address: Any, server: Any) -> None:
        assert not server.stopping.is_set()
        await server.stopping.wait()
        await request.sendall(b"goodbye")

    server = MemoryServer(handler)
    async with serving(server):
        [client] = await with_clients(server, 1)
        server.shutdown()
        assert await read_to_end(client) == b"goodbye"


async def test_the_end_of_a_drain_may_be_awaited_before_it_serves(autojump_clock: Clock) -> None:
    server = MemoryServer(Nap)
    reports: list[DrainReport] = []
    async with server, trio.open_nursery() as nursery:

        @nursery.start_soon
        async def wait() -> None:
            reports.append(await server.wait_drained())

        await trio.sleep(1)
        await nursery.start(server.serve_forever)
        await trio.sleep(1)
        assert reports == []
        server.shutdown()
    assert reports == [server.drain_report]


async def test_each_stop_has_a_drain_of_its_own(autojump_clock: Clock) -> None:
    server = MemoryServer(Nap)
    async with server:
        for _ in range(2):
            async with trio.open_nursery() as nursery:
                await nursery.start(server.serve_forever)
                server.connect()
                await trio.sleep(4)
                server.shutdown()
                assert (await server.wait_drained()).seconds == 6


# Draining without a stop.


async def test_a_suspended_server_may_be_drained_and_go_on(autojump_clock: Clock) -> None:
    server = MemoryServer(Nap)
    async with serving(server):
        await with_clients(server, 2)
        server.suspend()
        report = await server.drain()
        assert report == server.drain_report == DrainReport((None, None), (), 10)
        with trio.testing.assert_checkpoints():
            assert (await server.drain(3)).seconds == 0
        server.resume()
        assert await read_to_end(server.connect()) == b"done"


async def test_a_drain_without_a_stop_is_none_after_a_stop(autojump_clock: Clock) -> None:
    server = MemoryServer(Nap)
    async with serving(server):
        await server.drain()
        with trio.move_on_after(100) as scope:
            await server.wait_drained()
        assert scope.cancelled_caught


@pytest.mark.parametrize("in_child", [False, True])
async def test_a_handler_may_drain_the_others(in_child: bool, autojump_clock: Clock) -> None:
    reports: list[DrainReport] = []

    class Server(MemoryServer):
        pass

    async def handler(request: Any, client_address: Any, server: Any) -> None:
        async def drain() -> None:
            reports.append(await server.drain(5))

        if server.counters.accepted == 1:
            await trio.sleep(10)
            return
        if not in_child:
            await drain()
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain)

    server = Server(handler)
    async with serving(server):
        await with_clients(server, 1)
        await read_to_end(server.connect())
        [report] = reports
        assert [straggler.number for straggler in report.cut] == [1]
        assert report.seconds == 5


async def test_two_drains_at_once_take_each_its_course(autojump_clock: Clock) -> None:
    server = MemoryServer(Nap)
    seconds: list[float] = []
    async with serving(server):
        await with_clients(server, 1)

        async def drain(grace: float | None) -> None:
            seconds.append((await server.drain(grace)).seconds)

        async with trio.open_nursery() as nursery:
            for grace in (None, 20, 11):
                nursery.start_soon(drain, grace)
    assert seconds == [10, 10, 10]
    assert server._drains == []


async def test_the_time_is_checked(autojump_clock: Clock) -> None:
    server = MemoryServer(Nap)
    async with serving(server):
        with pytest.raises(ValueError, match="drain_timeout must be 0 seconds or more"):
            await server.drain(-1)


# Cancelling it from outside.


async def test_a_cancelled_server_ends_everything_at_once(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    server = MemoryServer(Nap, drain_timeout=100)
    async with server:
        begun = trio.current_time()
        async with trio.open_nursery() as nursery:
            await nursery.start(server.serve_forever)
            clients = await with_clients(server, 3)
            nursery.cancel_scope.cancel()
        assert trio.current_time() == begun
        assert server.stopping.is_set()
        for client in clients:
            assert await read_to_end(client) == b""
        assert (await server.wait_drained()).left == ()
    assert caplog.messages == []
    assert is_over(server)


@pytest.mark.parametrize("seconds", [1, 3])
async def test_it_may_be_cancelled_while_it_drains(seconds: float, autojump_clock: Clock) -> None:
    """In its grace, and while it waits for those it cut."""
    server = MemoryServer(Stubborn, drain_timeout=2, cut_timeout=3)
    async with server:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                await nursery.start(server.serve_forever)
                await with_clients(server, 1)
                begun = trio.current_time()
                server.shutdown()
                await trio.sleep(seconds)
                scope.cancel()
        assert trio.current_time() - begun == 10
        report = await server.wait_drained()
        assert len(report.left) == 1
        assert server.counters.cut == 1
        assert server._lifecycle.drain is State.ABANDONED
    assert is_over(server)


async def test_those_who_wait_for_a_drain_are_told_of_a_cancelled_one(
    autojump_clock: Clock,
) -> None:
    server = MemoryServer(Nap)
    async with server, trio.open_nursery() as nursery:
        scope = trio.CancelScope()

        async def serve(task_status: Any) -> None:
            with scope:
                await server.serve_forever(task_status=task_status)

        await nursery.start(serve)
        await with_clients(server, 1)
        scope.cancel()
        assert (await server.wait_drained()).seconds == 0
