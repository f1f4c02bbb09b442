"""Who moves next, what time it is, and what is said of those who cannot go on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial

import pytest

from sansio_server.testing.world.baton import Crew
from sansio_server.testing.world.errors import Deadlock, Stuck
from sansio_server.testing.world.scheduler import Scheduler, Signal


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    scheduler = Scheduler()
    yield scheduler
    scheduler.close()


def order_of(seed: int | None, names: str = "abcde") -> str:
    scheduler = Scheduler(seed)
    seen: list[str] = []

    def work(name: str) -> None:
        for _ in range(3):
            seen.append(name)
            scheduler.pause()

    for name in names:
        scheduler.spawn(name, partial(work, name))
    scheduler.settle()
    scheduler.close()
    return "".join(seen)


def test_without_a_seed_who_comes_first_moves_first() -> None:
    assert order_of(None) == "aaabbbcccdddeee"


def test_a_seed_gives_one_order_on_every_python() -> None:
    assert order_of(7) == order_of(7)
    assert len({order_of(seed) for seed in range(20)}) > 15
    # What is drawn for one actor does not depend on who else there is.
    assert order_of(7, "a") == "aaa"


def test_signals_wake_who_waits(scheduler: Scheduler) -> None:
    signal, seen = Signal(), list[bool]()
    scheduler.spawn("waiter", lambda: seen.append(scheduler.wait(signal, until=5.0)))
    scheduler.settle()
    assert seen == []
    scheduler.tell(signal)
    scheduler.settle()
    assert seen == [True]
    assert scheduler.now == 0.0


def test_time_passes_only_as_far_as_the_first_actor_waits(scheduler: Scheduler) -> None:
    times: list[float] = []

    def work() -> None:
        for _ in range(3):
            scheduler.sleep(1.0)
            times.append(scheduler.now)

    scheduler.spawn("sleeper", work)
    scheduler.settle()
    assert times == []
    scheduler.sleep(2.5)
    assert times == [1.0, 2.0]
    assert scheduler.now == 2.5


def test_where_the_clock_jumps_it_goes_as_far_as_need_be() -> None:
    scheduler = Scheduler(jumps=True)
    sleeper = scheduler.spawn("sleeper", lambda: scheduler.sleep(1e6))
    scheduler.join(sleeper)
    assert scheduler.now == 1e6
    scheduler.close()


def test_timers_are_done_in_time_unless_cancelled(scheduler: Scheduler) -> None:
    done: list[float] = []
    scheduler.call_at(2.0, lambda: done.append(scheduler.now))
    scheduler.call_at(1.0, lambda: done.append(scheduler.now))
    scheduler.call_at(1.5, lambda: done.append(-1.0)).cancel()
    scheduler.sleep(3.0)
    assert done == [1.0, 2.0]


def test_waiting_for_what_never_comes_says_who_waits_where(scheduler: Scheduler) -> None:
    signal = Signal()

    def wait_in_vain() -> None:
        scheduler.wait(signal, why="a miracle")

    scheduler.spawn("believer", wait_in_vain)
    with pytest.raises(Deadlock, match="nobody can move") as caught:
        scheduler.wait(signal, why="the same")
    assert "believer waits for a miracle" in str(caught.value)
    assert "in wait_in_vain" in str(caught.value)
    assert "scheduler.py" not in str(caught.value).replace("test_scheduler.py", "")
    # Of the test itself nothing is shown but the test.
    own = str(caught.value).split("\n\n")[1]
    assert "in test_waiting_for_what_never_comes" in own
    assert own.count("File ") == 1


def test_a_deadlock_that_time_would_end_says_when(scheduler: Scheduler) -> None:
    sleeper = scheduler.spawn("sleeper", lambda: scheduler.sleep(5.0))
    with pytest.raises(Deadlock, match=r"would move at 5 s: call advance\(\)"):
        scheduler.join(sleeper)


def test_looking_around_for_ever_is_a_deadlock() -> None:
    scheduler = Scheduler(jumps=True)

    def look_around() -> None:
        while True:
            scheduler.wait(until=scheduler.now + 0.5, idle=True)

    scheduler.spawn("loop", look_around)
    with pytest.raises(Deadlock):
        scheduler.wait(Signal(), why="something")
    scheduler.close()


def test_what_never_waits_is_found_out() -> None:
    scheduler = Scheduler(patience=0.2)
    hold = threading.Event()

    def compute_for_ever() -> None:
        hold.wait()

    scheduler.spawn("busy", compute_for_ever)
    with pytest.raises(Stuck, match=r"(?s)busy has neither waited.*in compute_for_ever"):
        scheduler.settle()
    hold.set()
    assert [actor.name for actor in scheduler.lost] == ["busy"]
    scheduler.close()


def test_who_is_found_out_ends_when_it_waits_after_all() -> None:
    scheduler = Scheduler(patience=0.2)
    hold, ends = threading.Event(), list[str]()

    def late() -> None:
        hold.wait()
        try:
            scheduler.sleep(1.0)
        finally:
            ends.append("unwound")

    scheduler.spawn("late", late)
    with pytest.raises(Stuck):
        scheduler.settle()
    hold.set()
    scheduler.close()
    assert ends == ["unwound"]


def test_closing_unwinds_who_waits() -> None:
    scheduler, ends = Scheduler(), list[str]()

    def stubborn() -> None:
        try:
            scheduler.wait(Signal())
        finally:
            try:
                scheduler.wait(Signal())
            finally:
                ends.append("over")

    scheduler.spawn("stubborn", stubborn)
    scheduler.settle()
    scheduler.spawn("late", lambda: ends.append("began"))
    scheduler.close()
    assert ends == ["over"]
    assert scheduler.actors == {}


def test_what_is_thrown_is_raised_where_it_waits(scheduler: Scheduler) -> None:
    actor = scheduler.spawn("waiter", lambda: scheduler.wait(Signal()))
    scheduler.settle()
    scheduler.throw(actor, KeyError("thrown"))
    scheduler.join(actor)
    assert repr(actor.failure) == "KeyError('thrown')"


def test_other_threads_may_not_wait(scheduler: Scheduler) -> None:
    errors: list[str] = []

    def stranger() -> None:
        with pytest.raises(RuntimeError) as caught:
            scheduler.sleep(1.0)
        errors.append(str(caught.value))

    thread = threading.Thread(target=stranger)
    thread.start()
    thread.join()
    assert "not part of the world" in errors[0]


def test_a_crew_outlives_schedulers() -> None:
    threads = set[int]()
    with Crew() as crew:
        for _ in range(3):
            scheduler = Scheduler(crew=crew)
            scheduler.spawn("one", lambda: threads.add(threading.get_ident()))
            scheduler.settle()
            scheduler.close()
        assert len(threads) == 1
        assert len(crew.threads) == 1
    assert crew.threads == []
