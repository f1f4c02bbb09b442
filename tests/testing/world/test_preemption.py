"""Races without any waiting in them, found by turns between two lines."""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

import pytest

from sansio_server.testing import World
from sansio_server.testing.world.preemption import _Tracer, preempted
from sansio_server.testing.world.scheduler import Scheduler


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


# What decides, called by itself: while it traces a thread, coverage does not see the thread.


def turns(seed: int, name: str, times: int = 200) -> list[int]:
    """Return at which visits of one line an actor of this name would take a turn."""
    scheduler = Scheduler(seed)
    scheduler.main.name = name
    tracer = _Tracer(scheduler)
    pauses: list[str] = []
    scheduler.pause = pauses.append  # type: ignore[method-assign, assignment]
    frame = sys._getframe()
    taken = []
    for visit in range(times):
        before = len(pauses)
        for event in ("call", "return", "line"):
            assert tracer.line(frame, event, None) == tracer.line
        if len(pauses) > before:
            taken.append(visit)
    scheduler.close()
    return taken


def test_turns_follow_from_the_seed_the_actor_and_the_visit() -> None:
    taken = turns(1, "request 1")
    assert taken == turns(1, "request 1")
    assert 70 < len(taken) < 130
    assert len({tuple(turns(*who)) for who in [(1, "request 1"), (2, "request 1"), (1, "x")]}) == 3


def test_libraries_are_not_looked_into() -> None:
    scheduler = Scheduler(1)
    tracer = _Tracer(scheduler)
    frames: dict[str, Any] = {"here": sys._getframe()}

    def from_library(value: object) -> str:
        frames["library"] = sys._getframe(1)  # of json, which has called this
        return ""

    json.JSONEncoder(default=from_library).encode(object())
    for _ in range(2):  # what is known of a file is kept
        assert tracer.enter(frames["here"], "call", None) == tracer.line
        assert tracer.enter(frames["library"], "call", None) is None
    scheduler.close()


EXPECTED = "3363535666656666336665636366666666666635"
