"""The locks of a world: what the standard library's promise, and that nothing stands still."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from sansio_server.testing import World
from sansio_server.testing.world.locks import Lock, RLock

BOTH = pytest.mark.parametrize("kind", [Lock, RLock])


@BOTH
def test_it_is_had_by_one(kind: Callable[[World], Lock]) -> None:
    with World(jumps=True) as world:
        lock = kind(world)
        order: list[str] = []

        def work(name: str) -> Callable[[], None]:
            def hold() -> None:
                with lock:
                    order.append(f"{name} has it")
                    world.sleep(1)
                    order.append(f"{name} gives it back")

            return hold

        actors = [world.spawn(name, work(name)) for name in ("a", "b", "c")]
        for actor in actors:
            world.join(actor)
    assert order == [f"{name} {what}" for name in "abc" for what in ("has it", "gives it back")]


@BOTH
def test_waiting_has_an_end(kind: Callable[[World], Lock]) -> None:
    with World(jumps=True) as world:
        lock = kind(world)

        def hold() -> None:
            with lock:
                world.sleep(100)

        world.spawn("holder", hold)
        world.settle()
        assert not lock.acquire(False)
        assert not lock.acquire(timeout=5)
        assert world.now == 5
        assert repr(lock) == f"<{kind.__name__} in a world, held by holder>"


def test_a_lock_may_be_released_by_anybody() -> None:
    with World() as world:
        lock = Lock(world)
        assert not lock.locked()
        world.join(world.spawn("taker", lock.acquire))
        assert lock.locked()
        lock.release()
        assert repr(lock) == "<Lock in a world, free>"
        with pytest.raises(RuntimeError, match="release unlocked lock"):
            lock.release()


def test_a_reentrant_lock_is_its_owners() -> None:
    with World() as world:
        lock = RLock(world)
        with lock, lock:
            other = world.spawn("other", lock.release)
            world.join(other)
            assert str(other.failure) == "cannot release un-acquired lock"
            assert lock.locked()
        assert not lock.locked()
        with pytest.raises(RuntimeError, match="cannot release un-acquired lock"):
            lock.release()


def test_a_condition_gives_a_reentrant_lock_back_whole() -> None:
    with World(jumps=True) as world:
        condition = threading.Condition(RLock(world))  # type: ignore[arg-type]
        with condition, condition:
            notifier = world.spawn("notifier", lambda: _notify(condition))
            assert condition.wait()
        world.join(notifier)
        assert notifier.failure is None
        with pytest.raises(RuntimeError):
            condition.notify()


def _notify(condition: Any) -> None:
    with condition:
        condition.notify()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((False, 1), "can't specify a timeout for a non-blocking call"),
        ((True, -2), "timeout value must be a non-negative number"),
    ],
)
@BOTH
def test_wrong_arguments(
    kind: Callable[[World], Lock], arguments: tuple[bool, float], message: str
) -> None:
    with World() as world, pytest.raises(ValueError, match=message):
        kind(world).acquire(*arguments)


def test_with_a_seed_others_may_be_faster() -> None:
    orders = set()
    for seed in range(20):
        with World(seed) as world:
            lock = Lock(world)
            order: list[str] = []

            def work(name: str, lock: Lock = lock, order: list[str] = order) -> None:
                with lock:
                    order.append(name)

            actors = [world.spawn(name, lambda name=name: work(name)) for name in "ab"]  # type: ignore[misc]
            for actor in actors:
                world.join(actor)
            orders.add("".join(order))
    assert orders == {"ab", "ba"}


def test_it_outlives_its_world() -> None:
    with World() as world:
        lock = Lock(world)
    with lock:
        assert lock.locked()
