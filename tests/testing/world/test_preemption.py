"""Races without any waiting in them, found by turns between two lines."""

from __future__ import annotations

import sys
import threading

import pytest

from sansio_server.testing import World
from sansio_server.testing.world.preemption import preempted


class Counter:
    """Counts, but not if two do so at the same time."""

    def __init__(self) -> None:
        self.value = 0

    def add(self) -> None:
        before = self.value
        after = before + 1
        self.value = after


def count(seed: int | None, *, locked: bool = False, turns: bool = True) -> int:
    """Return what two actors that add 1 three times come to."""
    with World(seed) as world:
        counter = Counter()
        lock = threading.Lock()

        def add() -> None:
            for _ in range(3):
                if locked:
                    with lock:
                        counter.add()
                else:
                    counter.add()

        def work() -> None:
            if turns:
                with preempted(world):
                    add()
            else:
                add()

        actors = [world.spawn(name, work) for name in ("one", "other")]
        for actor in actors:
            world.join(actor)
            assert actor.failure is None
        return counter.value


def test_a_race_shows() -> None:
    values = [count(seed) for seed in range(60)]
    assert min(values) < 6
    assert max(values) == 6
    assert values == [count(seed) for seed in range(60)]


def test_the_same_seeds_show_it_on_every_python() -> None:
    assert "".join(str(count(seed)) for seed in range(40)) == EXPECTED


def test_a_lock_helps() -> None:
    assert {count(seed, locked=True) for seed in range(60)} == {6}


def test_without_turns_or_without_a_seed_nothing_shows() -> None:
    assert {count(seed, turns=False) for seed in range(20)} == {6}
    assert count(None) == 6


@pytest.mark.parametrize("seed", [None, 1])
def test_what_traced_before_goes_on(seed: int | None) -> None:
    before = sys.gettrace()
    with World(seed) as world:
        with preempted(world):
            pass
        assert sys.gettrace() is before


EXPECTED = "3363535666656666336665636366666666666635"
