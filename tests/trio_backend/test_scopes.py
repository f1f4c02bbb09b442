"""Scopes serve one request after the other, and each request is cut, or fails, alone."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from trio_backend import StreamRequestHandler, TCPServer
from trio_backend.scopes import KEPT, KeptScope, KeptScopes

from .support import HERE


class Failure(Exception):
    """What a request may raise."""


async def made(scopes: KeptScopes) -> KeptScope:
    await trio.testing.wait_all_tasks_blocked()
    kept = scopes.take()
    assert kept is not None
    return kept


async def serve(kept: KeptScope, error: BaseException | None = None) -> None:
    with kept:
        await trio.lowlevel.checkpoint()
        if error is not None:
            raise error


async def test_a_scope_serves_one_after_the_other() -> None:
    async with trio.open_nursery() as nursery:
        scopes = KeptScopes(nursery)
        kept = await made(scopes)
        assert scopes.take() is None, "it was lent twice"
        for _ in range(3):
            kept.nursery.start_soon(serve, kept)
            await trio.testing.wait_all_tasks_blocked()
            lent = {scopes.take(), scopes.take()}
            assert kept in lent
        scopes.end()
        nursery.cancel_scope.cancel()


async def test_where_none_is_free_more_are_made_up_to_a_limit() -> None:
    async with trio.open_nursery() as nursery:
        scopes = KeptScopes(nursery)
        lent = set()
        for _ in range(3 * KEPT):
            await trio.testing.wait_all_tasks_blocked()
            lent.add(scopes.take())
        assert len(lent - {None}) == KEPT
        nursery.cancel_scope.cancel()


async def test_one_that_was_cancelled_is_not_used_again() -> None:
    ended = []

    async def wait(kept: KeptScope) -> None:
        with kept:
            try:
                await trio.sleep_forever()
            finally:
                ended.append(kept)

    async def ignore(kept: KeptScope) -> None:
        with kept:
            with trio.CancelScope(shield=True):
                await trio.lowlevel.checkpoint()
            ended.append(kept)

    async with trio.open_nursery() as nursery:
        scopes = KeptScopes(nursery)
        for task in (wait, ignore):
            cut = await made(scopes)
            cut.nursery.start_soon(task, cut)
            await trio.lowlevel.checkpoint()
            cut.cancel()
            await trio.testing.wait_all_tasks_blocked()
            assert ended.pop() is cut
            assert scopes.take() is None  # and another one is made
        nursery.cancel_scope.cancel()


async def test_cut_before_its_task_begins_a_request_is_cut_all_the_same() -> None:
    async with trio.open_nursery() as nursery:
        scopes = KeptScopes(nursery)
        kept = await made(scopes)
        done = False

        async def work() -> None:
            nonlocal done
            with kept:
                await trio.lowlevel.checkpoint()
                done = True

        kept.nursery.start_soon(work)
        kept.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert not done
        scopes.end()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("error", [Failure("one"), KeyboardInterrupt()])
async def test_what_a_request_raises_comes_out_as_if_of_a_task_beside(error: BaseException) -> None:
    with pytest.raises(BaseException) as caught:  # noqa: PT011, PT012 - a group, on every Python
        async with trio.open_nursery() as nursery:
            scopes = KeptScopes(nursery)
            kept = await made(scopes)
            kept.nursery.start_soon(serve, kept, error)
    group: Any = caught.value
    assert group.exceptions == (error,)
    assert error.__context__ is None


async def test_the_end_lets_those_under_way_go_on() -> None:
    done = False

    async def work(kept: KeptScope) -> None:
        nonlocal done
        with kept:
            await trio.testing.wait_all_tasks_blocked()
            done = True

    async with trio.open_nursery() as nursery:
        scopes = KeptScopes(nursery)
        kept = await made(scopes)
        scopes.take()
        await trio.testing.wait_all_tasks_blocked()  # another one is free
        kept.nursery.start_soon(work, kept)
        scopes.end()
    assert done
    assert scopes.take() is None


async def test_while_all_is_cancelled_nobody_is_sent_where_a_nursery_has_closed() -> None:
    async with trio.open_nursery() as nursery:
        scopes = KeptScopes(nursery)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            await trio.testing.wait_all_tasks_blocked()
            assert scopes.take() is None


async def test_requests_of_a_server_have_scopes_and_contexts_of_their_own() -> None:
    tasks = set()

    class Handler(StreamRequestHandler):
        async def handle(self) -> None:
            tasks.add(trio.lowlevel.current_task())
            if await self.rfile.readline() == b"wait\n":
                self.server.cut_soon(self.server._workers)
                await trio.sleep_forever()
            await self.wfile.write(b"ok\n")

    class Server(TCPServer):
        def cut_soon(self, workers: dict[Any, Any]) -> None:
            for place in workers:
                self._cut(place, "test")

    async with Server(HERE, Handler) as server, trio.open_nursery() as nursery:
        await nursery.start(server.serve_forever)
        for line, answer in [(b"go\n", b"ok\n"), (b"wait\n", b""), (b"go\n", b"ok\n")] * 2:
            async with await trio.open_tcp_stream(*server.server_address) as client:
                await client.send_all(line)
                came = b""
                while data := await client.receive_some():
                    came += data
                assert came == answer
        server.shutdown()
    assert len(tasks) == 6
    assert server.counters.cut == 2
