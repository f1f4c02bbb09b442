"""A world: whose it is, what it notes, and what it gives back at the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from sansio_server.testing import Fault, FaultRule, Moment, World, current_world
from sansio_server.testing.world.scheduler import Signal


def in_thread(work: Callable[[], object]) -> BaseException | None:
    """Do *work* in another thread; return what it raised."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return raised[0] if raised else None


def test_where_there_is_none() -> None:
    with pytest.raises(RuntimeError, match=r"no world is running here.*ScriptedServer"):
        current_world()


def test_it_is_its_threads_and_its_actors() -> None:
    with World() as world:
        assert current_world() is world
        seen: list[World] = []
        world.spawn("one", lambda: seen.append(current_world()))
        world.settle()
        assert seen == [world]
    with pytest.raises(RuntimeError):
        current_world()


def test_one_at_a_time() -> None:
    with World(), pytest.raises(RuntimeError, match="one at a time"):
        World().__enter__()
    with World() as world:
        assert current_world() is world


def test_it_belongs_to_who_made_it() -> None:
    world = World()
    error = in_thread(world.__enter__)
    assert "belongs to the thread that made it" in str(error)
    with world:
        world.settle()


def test_threads_may_have_a_world_each() -> None:
    together = threading.Barrier(2, timeout=10.0)
    clocks: list[float] = []

    def live() -> None:
        world = World()
        together.wait()
        with world:
            for _ in range(50):
                time.sleep(2.0)
            clocks.append(time.monotonic())

    threads = [threading.Thread(target=live) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clocks == [100.0, 100.0]
    assert time.monotonic() not in clocks


def test_moments_are_told_of_who_moves() -> None:
    with World() as world:
        world.record("begin", "now")
        world.spawn("one", lambda: world.record("act"))
        world.settle()
        world.sleep(2.5)
        world.record("end", actor="somebody")
        assert world.timeline == [
            Moment(0.0, "test", "begin", "now"),
            Moment(0.0, "one", "act"),
            Moment(2.5, "somebody", "end"),
        ]


def test_numbers_are_given_once_for_each_kind() -> None:
    with World() as world:
        assert [world.new_number("a", 5) for _ in range(3)] == [5, 6, 7]
        assert world.new_number("b", 1) == 1


def test_faults_are_noted_where_they_happen() -> None:
    with World(faults=[Fault("fork", "EAGAIN", nth=2)]) as world:
        assert world.fault("fork") is None
        fault = world.fault("fork", "loop")
        assert fault is not None
        assert fault.kind == "EAGAIN"
        assert world.fault("fork") is None
        assert world.timeline == [Moment(0.0, "loop", "fault", "fork EAGAIN")]


def test_what_decides_by_itself_is_asked() -> None:
    asked: list[Any] = []

    class Decides:
        def at(self, point: str, actor: str, **context: Any) -> Fault | None:
            asked.append((point, actor, context))
            return None

    with World(faults=Decides()) as world:
        assert world.fault("recv", client="client 1") is None
    assert asked == [("recv", "test", {"client": "client 1"})]


def test_without_faults_nobody_is_asked() -> None:
    for faults in (None, [], [FaultRule("fork", "EAGAIN", 0.0)]):
        with World(faults=faults) as world:
            assert world.fault("fork") is None
            assert world.timeline == []


@pytest.mark.parametrize(("amount", "seconds"), [(None, 60.0), (7.0, 7.0)])
def test_the_clock_may_jump(amount: float | None, seconds: float) -> None:
    with World(faults=[Fault("clock", "jump", amount=amount)]) as world:
        world.sleep(1.0)
        assert world.now == 1.0 + seconds
        world.sleep(1.0)
        assert world.now == 2.0 + seconds


def test_what_ends_an_actor_is_told_as_threads_do(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: told.append(args.exc_value))
    with World() as world:
        for in_one in (True, False):
            error = KeyError(in_one)
            world.report(world.current, error, in_thread=in_one)
            assert world.unhandled[-1] is error
        assert [str(error) for error in told] == ["True"]
        assert [str(moment).split("test")[1].strip() for moment in world.timeline] == [
            "error KeyError: True",
            "error KeyError: False",
        ]


def test_all_is_given_back_at_the_end_whatever_happens() -> None:
    before = (time.sleep, time.monotonic, threading.Lock, threading.Thread.start)
    world = World()

    def fail() -> None:
        with world:
            world.spawn("waits", lambda: world.wait(Signal()))
            world.settle()
            assert time.monotonic() == 0.0
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (time.sleep, time.monotonic, threading.Lock, threading.Thread.start) == before
    assert world.actors == {}
    with pytest.raises(RuntimeError):
        current_world()
