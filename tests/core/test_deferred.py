"""What nobody awaits is awaited all the same, once, in order, and in the context it was made in."""

from __future__ import annotations

from collections.abc import Generator
from contextvars import copy_context
from typing import Any

import pytest

from sansio_server.deferred import (
    DONE,
    Deferred,
    Later,
    as_coroutine,
    drop_deferred,
    is_awaitable,
    settle_deferred,
    settled,
)
from sansio_server.driver import run_blocking

from .memory import Escape, Failure, Pause, run_suspending


class Log(list[str]):
    async def note(self, word: str) -> str:
        self.append(word)
        return word

    async def fail(self, error: BaseException) -> None:
        self.append("failed")
        raise error


def test_what_was_deferred_is_awaited_in_order() -> None:
    log = Log()
    Deferred(log.note("one"))
    Deferred(log.note("two"))
    run_blocking(settle_deferred())
    assert log == ["one", "two"]


def test_nothing_deferred_is_nothing_to_do() -> None:
    run_blocking(settle_deferred())


def test_what_somebody_awaited_is_not_awaited_again() -> None:
    log = Log()

    async def hook() -> None:
        deferred = Deferred(log.note("one"))
        Deferred(log.note("two"))
        before = deferred.taken
        assert await deferred == "one"
        assert (before, deferred.taken) == (False, True)
        await settle_deferred()

    run_blocking(hook())
    assert log == ["one", "two"]


def test_who_takes_it_awaits_it_in_place_of_the_rest() -> None:
    log = Log()

    async def hook() -> None:
        deferred = Deferred(log.note("one"))
        taken = deferred.take()
        assert deferred.taken
        await settle_deferred()
        assert log == []
        assert await taken == "one"

    run_blocking(hook())


@pytest.mark.parametrize("leaves", [True, False])
def test_what_comes_later_is_not_begun_before_it_is_awaited(leaves: bool) -> None:
    log = Log()

    def begin(word: str) -> Any:
        log.append("begun")
        return log.note(word) if leaves else None

    async def hook() -> Any:
        later = Later(begin, "one")
        assert log == []
        return await later

    assert run_blocking(hook()) == ("one" if leaves else None)
    assert log == (["begun", "one"] if leaves else ["begun"])


def test_what_cannot_be_begun_fails_where_it_is_awaited() -> None:
    def begin() -> None:
        raise Failure

    async def hook() -> None:
        later = Later(begin)
        with pytest.raises(Failure):
            await later

    run_blocking(hook())


def test_what_is_deferred_meanwhile_comes_after() -> None:
    log = Log()

    async def more() -> None:
        await log.note("one")
        Deferred(log.note("three"))

    Deferred(more())
    Deferred(log.note("two"))
    run_blocking(settle_deferred())
    assert log == ["one", "two", "three"]


@pytest.mark.parametrize("error", [Failure, Escape])
def test_after_an_error_the_rest_is_given_up(error: type[BaseException]) -> None:
    log = Log()

    async def more() -> None:
        Deferred(log.note("never"))

    Deferred(more())
    Deferred(log.fail(error()))
    Deferred(log.note("never"))
    with pytest.raises(error):
        run_blocking(settle_deferred())
    assert log == ["failed"]


def test_what_a_failed_hook_deferred_is_given_up() -> None:
    log = Log()
    deferred = Deferred(log.note("never"))
    drop_deferred()
    assert deferred.taken
    drop_deferred()
    run_blocking(settle_deferred())
    assert log == []


def test_what_was_awaited_is_not_given_up() -> None:
    async def forever() -> None:
        try:
            while True:
                await Pause()
        finally:
            ended.append(True)

    async def hook() -> None:
        deferred = Deferred(forever())
        task = deferred.__await__()
        next(task)
        drop_deferred()
        assert not ended
        task.close()

    ended: list[bool] = []
    run_blocking(hook())
    assert ended == [True]


def test_an_awaitable_without_close_can_be_given_up() -> None:
    deferred = Deferred(Pause())
    drop_deferred()
    assert deferred.taken


def test_settling_waits_where_the_deferred_waits() -> None:
    async def hook() -> None:
        Deferred(Pause())
        Deferred(Pause())
        await settle_deferred()

    assert run_suspending(hook()) == (None, 2)


def test_what_one_context_defers_is_not_for_another() -> None:
    log = Log()

    async def child() -> None:
        Deferred(log.note("child"))
        await settle_deferred()

    async def parent() -> None:
        await Deferred(log.note("parent"))
        # As a task does that is started here: it has a copy of the context.
        copy_context().run(run_blocking, child())
        assert log == ["parent", "child"]
        await settle_deferred()

    run_blocking(parent())
    assert log == ["parent", "child"]


def test_awaitables_are_told_by_their_method() -> None:
    class Awaitable:
        def __await__(self) -> Generator[Any, Any, None]:
            yield

    coroutine = Log().note("one")
    assert all(map(is_awaitable, (coroutine, Awaitable())))
    coroutine.close()
    for result in (None, True, 1, "text", (1, 2), object(), Log().note):
        assert not is_awaitable(result)


def test_any_awaitable_can_be_had_as_a_coroutine() -> None:
    class Ready:
        def __await__(self) -> Generator[Any, Any, str]:
            yield from ()
            return "ready"

    assert run_blocking(as_coroutine(Ready())) == "ready"
    assert run_blocking(as_coroutine(DONE)) is None


@pytest.mark.parametrize("awaited", [False, True])
def test_a_result_is_settled_with_what_was_deferred_beside_it(awaited: bool) -> None:
    log = Log()

    async def hook() -> None:
        Deferred(log.note("deferred"))
        result = log.note("result") if awaited else "result"
        assert await settled(result) == "result"

    run_blocking(hook())
    assert log == (["result"] if awaited else []) + ["deferred"]


def test_a_result_with_nothing_deferred_is_settled_at_once() -> None:
    assert run_blocking(settled(1)) == 1
