"""Telling where a request stands, and cutting it."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from types import coroutine
from typing import Any

import greenlet
import pytest
import trio
import trio.testing

from sansio_server.deferred import Deferred
from sansio_server.ledger import Place
from trio_backend.worker import Worker

PLACE = Place("key", 1, "client", 0.0)


async def sleep() -> None:
    await trio.sleep_forever()


class Object(Awaitable[None]):
    def __init__(self, awaitable: Any) -> None:
        self._awaitable = awaitable

    def __await__(self) -> Generator[Any, Any, None]:
        return self._awaitable.__await__()  # type: ignore[no-any-return]


async def in_object() -> None:
    await Object(sleep())


async def in_deferred() -> None:
    await Deferred(sleep())


@coroutine
def generator() -> Generator[Any, Any, None]:
    yield from sleep().__await__()


async def in_generator() -> None:
    await generator()


async def items() -> AsyncIterator[int]:
    yield 1
    await sleep()
    yield 2


async def in_asynchronous_generator() -> None:
    async for _ in items():
        pass


async def in_nursery() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        await sleep()


WAYS = [sleep, in_object, in_deferred, in_generator, in_asynchronous_generator, in_nursery]


@pytest.mark.parametrize("way", WAYS)
async def test_it_says_where_a_task_waits(way: Callable[[], Awaitable[None]]) -> None:
    worker = Worker(PLACE, "request")
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def work() -> None:
            worker.task = trio.lowlevel.current_task()
            await way()

        await trio.testing.wait_all_tasks_blocked()
        where = worker.where()
        nursery.cancel_scope.cancel()
    assert "in work\n    await way()" in where
    assert f"in {way.__name__}\n" in where
    assert "in sleep\n    await trio.sleep_forever()" in where


async def test_it_says_where_a_thread_is() -> None:
    worker = Worker(PLACE, "request")
    begun, may_end = threading.Event(), threading.Event()

    def work() -> None:
        worker.thread = threading.get_ident()
        begun.set()
        assert may_end.wait(30)

    thread = threading.Thread(target=work)
    thread.start()
    assert begun.wait(30)
    assert "in work\n    assert may_end.wait(30)" in worker.where()
    may_end.set()
    thread.join()
    assert worker.where() == ""


async def test_it_says_where_a_greenlet_waits() -> None:
    worker = Worker(PLACE, "request")

    def work() -> None:
        greenlet.getcurrent().parent.switch("waiting")  # type: ignore[union-attr]

    worker.greenlet = greenlet.greenlet(work)
    assert worker.greenlet.switch() == "waiting"
    assert "in work\n    greenlet.getcurrent()" in worker.where()
    worker.greenlet.switch()
    assert worker.where() == ""


def test_who_has_not_begun_is_nowhere() -> None:
    assert Worker(PLACE, "request").where() == ""


async def test_a_task_that_has_ended_is_nowhere() -> None:
    worker = Worker(PLACE, "request")

    async def work() -> None:
        worker.task = trio.lowlevel.current_task()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(work)
    assert worker.where() == ""


def test_all_who_are_at_work_are_cut() -> None:
    outer = Worker(PLACE, "request")
    inner = Worker(PLACE, "wrapped", outer)
    inner.cancel()
    assert outer.scope.cancel_called
    assert inner.scope.cancel_called
