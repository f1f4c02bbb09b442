"""Who is started, replaced, stopped and killed, and when; no process is needed to see it."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sansio_server.exceptions import IllegalTransition
from sansio_server.supervision import (
    STEADY_SECONDS,
    WORKER_STATES,
    Action,
    Fate,
    Supervision,
    Worker,
    WorkerEvent,
    WorkerLimits,
    WorkerState,
)

S, E = WorkerState, WorkerEvent
TIMED = {S.STARTING, S.STOPPING, S.LEAVING, S.CUT}
HEARD = {E.READY, E.STOPPED, E.STOP}


def after(state: WorkerState, event: WorkerEvent) -> WorkerState | None:
    """The table, said a second time as rules."""
    if state is S.GONE:
        return None
    if event is E.EXITED:
        return S.GONE
    if event is E.KILL:
        return S.KILLED
    if event is E.DEADLINE:
        if state not in TIMED:
            return None
        return S.KILLED if state in {S.STARTING, S.CUT} else S.CUT
    if state in {S.CUT, S.KILLED}:
        return state  # too late to say anything
    if event is E.READY:
        return S.SERVING if state is S.STARTING else state
    if event is E.STOPPED:
        return S.LEAVING
    return S.LEAVING if state is S.LEAVING else S.STOPPING


@pytest.mark.parametrize(("state", "event"), list(product(S, E)))
def test_each_event_in_each_state(state: WorkerState, event: WorkerEvent) -> None:
    worker = Worker(1, 0.0, state)
    wanted = after(state, event)
    assert WORKER_STATES[state].get(event) is wanted
    if wanted is None:
        with pytest.raises(IllegalTransition, match=f"{event.name} .* that is {state.name}"):
            worker.put(event)
        assert worker.state is state
    else:
        worker.put(event)
        assert worker.state is wanted


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"workers": 0}, ValueError),
        ({"workers": 1.5}, TypeError),
        ({"workers": True}, TypeError),
        ({"workers": None}, TypeError),
        ({"start_timeout": -1}, ValueError),
        ({"drain_timeout": "soon"}, TypeError),
        ({"cut_timeout": None}, TypeError),
    ],
)
def test_wrong_limits(wrong: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(wrong))):
        WorkerLimits(**wrong)


class World:
    """A supervision whose every step is carried out, in a world where that costs no time."""

    def __init__(self, **limits: Any) -> None:
        self.now = 0.0
        self.supervision = Supervision(WorkerLimits(**limits))
        self.done: list[tuple[Action, int]] = []
        self.turn()

    def turn(self) -> list[tuple[Action, int]]:
        """Carry out what is to be done now; return it."""
        todo = [(action, worker.number) for action, worker in self.supervision.step(self.now)]
        self.done += todo
        return todo

    def wait(self) -> list[tuple[Action, int]]:
        """Let time pass until there is something to do by itself."""
        self.now = self.supervision.next_deadline()
        assert self.now < math.inf
        return self.turn()

    def worker(self, number: int) -> Worker:
        return next(w for w in self.supervision.workers if w.number == number)

    def ready(self, *numbers: int) -> list[tuple[Action, int]]:
        for number in numbers:
            self.supervision.ready(self.worker(number))
        return self.turn()

    def stopped(self, number: int) -> list[tuple[Action, int]]:
        self.supervision.stopped(self.worker(number), self.now)
        return self.turn()

    def exited(self, number: int) -> Fate:
        return self.supervision.exited(self.worker(number), self.now)

    def accepting(self) -> bool:
        return self.supervision.accepting

    def replacing(self) -> bool:
        return self.supervision.replacing

    def numbers(self) -> list[int]:
        return [worker.number for worker in self.supervision.workers]


def begun(workers: int, **limits: Any) -> World:
    world = World(workers=workers, **limits)
    assert world.done == [(Action.START, number + 1) for number in range(workers)]
    assert world.ready(*world.numbers()) == []
    world.now += STEADY_SECONDS
    return world


def test_as_many_are_started_as_are_wanted() -> None:
    world = begun(3)
    assert world.turn() == []
    assert world.supervision.served
    assert world.supervision.next_deadline() == math.inf


def test_one_that_dies_late_is_started_anew_at_once() -> None:
    world = begun(2)
    assert world.exited(1) is Fate.DIED
    assert world.supervision.next_deadline() <= world.now
    assert world.turn() == [(Action.START, 3)]


def test_one_that_dies_soon_is_started_anew_after_pauses_that_double() -> None:
    world = begun(1)
    world.exited(1)
    world.turn()
    pauses = []
    for number in range(2, 8):
        world.ready(number)
        assert world.exited(number) is Fate.DIED
        assert world.turn() == []
        before = world.now
        assert world.wait() == [(Action.START, number + 1)]
        pauses.append(round(world.now - before, 6))
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    world.ready(8)
    world.now += STEADY_SECONDS
    world.exited(8)
    assert world.turn() == [(Action.START, 9)]  # it had lived long enough
    world.exited(9)
    before = world.now
    world.wait()
    assert world.now == pytest.approx(before + 0.1)


def test_several_that_die_together_make_one_pause() -> None:
    world = World(workers=3)
    for number in (1, 2, 3):
        world.exited(number)
    assert world.turn() == []
    assert world.wait() == [(Action.START, 4), (Action.START, 5), (Action.START, 6)]
    assert world.now == pytest.approx(0.1)


def test_one_that_has_had_enough_is_followed_at_once() -> None:
    world = World(workers=1, drain_timeout=7.0, cut_timeout=2.0)
    world.ready(1)
    assert world.stopped(1) == [(Action.START, 2)]
    assert world.ready(2) == []
    assert world.numbers() == [1, 2]
    assert world.wait() == [(Action.CUT, 1)]  # it had a request that would not end
    assert world.now == 7.0
    assert world.wait() == [(Action.KILL, 1)]
    assert world.now == 9.0
    assert world.supervision.next_deadline() == math.inf
    assert world.exited(1) is Fate.KILLED
    assert world.turn() == []


def test_one_that_has_had_enough_and_exits_makes_no_pause() -> None:
    world = World(workers=1)
    world.ready(1)
    world.supervision.stopped(world.worker(1), world.now)
    assert world.exited(1) is Fate.LEFT
    assert world.turn() == [(Action.START, 2)]


def test_one_that_does_not_begin_is_killed_and_started_anew() -> None:
    world = World(workers=1, start_timeout=5.0)
    assert world.wait() == [(Action.KILL, 1), (Action.START, 2)]
    assert world.now == 5.0
    assert world.exited(1) is Fate.KILLED
    assert world.turn() == []


def test_those_who_have_no_time_to_begin_are_started_anew_after_pauses() -> None:
    world = World(workers=1, start_timeout=0.5)
    assert world.wait() == [(Action.KILL, 1), (Action.START, 2)]
    world.exited(1)
    world.exited(2)
    assert world.turn() == []
    assert world.wait() == [(Action.START, 3)]


def test_one_may_take_for_ever_to_begin() -> None:
    world = World(workers=1, start_timeout=None)
    assert world.supervision.next_deadline() == math.inf


@pytest.mark.parametrize("killed", [False, True])
def test_it_is_over_if_the_first_must_begin_and_does_not(killed: bool) -> None:
    world = World(workers=2, must_begin=True, start_timeout=5.0)
    if killed:
        assert world.wait()[:2] == [(Action.KILL, 1), (Action.KILL, 2)]
        assert world.exited(1) is Fate.KILLED
        world.turn()
    else:
        assert world.exited(1) is Fate.DIED
        assert world.turn() == [(Action.STOP, 2)]
    assert world.supervision.failed
    assert not world.supervision.finished
    for number in world.numbers():
        world.exited(number)
    assert world.supervision.finished


def test_it_goes_on_if_one_dies_after_any_has_begun() -> None:
    world = World(workers=2, must_begin=True)
    world.ready(1)
    world.exited(2)
    assert not world.supervision.failed
    assert world.wait() == [(Action.START, 3)]


def test_a_stop_ends_all() -> None:
    world = begun(3, drain_timeout=100.0, cut_timeout=2.0)
    world.supervision.stop(world.now, 4.0)
    assert world.accepting()
    assert world.turn() == [(Action.STOP, 1), (Action.STOP, 2), (Action.STOP, 3)]
    assert world.turn() == []
    assert world.accepting()
    for number in (1, 2, 3):
        world.stopped(number)
    assert not world.accepting()
    assert world.exited(1) is Fate.LEFT
    begin = world.now
    assert world.wait() == [(Action.CUT, 2), (Action.CUT, 3)]
    assert world.now == begin + 4.0
    assert world.exited(2) is Fate.CUT
    assert world.wait() == [(Action.KILL, 3)]
    assert world.now == begin + 6.0
    assert world.exited(3) is Fate.KILLED
    assert world.supervision.finished
    assert world.turn() == []
    assert world.supervision.next_deadline() == math.inf


def test_a_stop_may_wait_for_ever_and_be_hurried() -> None:
    world = begun(1)
    world.supervision.stop(world.now, None)
    world.turn()
    world.stopped(1)
    assert world.supervision.next_deadline() == math.inf
    world.supervision.stop(world.now, 0.0)
    assert world.turn() == [(Action.CUT, 1)]
    world.supervision.stop(world.now, 100.0)
    assert world.wait() == [(Action.KILL, 1)]
    assert world.now < 100.0


def test_a_stop_reaches_one_that_is_starting() -> None:
    world = World(workers=1)
    world.supervision.stop(world.now, 1.0)
    assert world.turn() == [(Action.STOP, 1)]
    assert world.ready(1) == []  # it had not heard yet
    assert world.wait() == [(Action.CUT, 1)]
    assert world.stopped(1) == []
    assert world.exited(1) is Fate.CUT


def test_all_can_be_killed() -> None:
    world = begun(3)
    world.stopped(1)
    world.supervision.kill()
    assert world.turn() == [(Action.KILL, number) for number in (1, 2, 3, 4)]
    assert world.turn() == []
    for number in list(world.numbers()):
        assert world.exited(number) is Fate.KILLED
    assert world.supervision.finished


def test_all_are_replaced_in_turn() -> None:
    world = begun(2)
    world.supervision.replace()
    assert world.replacing()
    assert world.turn() == [(Action.START, 3)]
    assert world.turn() == []
    assert world.ready(3) == [(Action.STOP, 1)]
    assert world.turn() == []
    assert world.stopped(1) == [(Action.START, 4)]  # it may still have requests under way
    assert world.ready(4) == [(Action.STOP, 2)]
    assert world.exited(2) is Fate.LEFT
    assert world.turn() == []
    assert not world.replacing()
    assert world.exited(1) is Fate.LEFT
    assert world.numbers() == [3, 4]
    assert world.turn() == []


def test_a_second_wish_replaces_the_successors_too() -> None:
    world = begun(2)
    world.supervision.replace()
    world.turn()
    world.supervision.replace()
    world.ready(3)
    assert world.stopped(1) == [(Action.START, 4)]
    world.ready(4)
    assert world.stopped(2) == [(Action.START, 5)]
    world.ready(5)
    assert world.stopped(3) == []
    assert not world.replacing()
    assert [w.number for w in world.supervision.workers if w.state is S.SERVING] == [4, 5]


def test_a_successor_that_fails_leaves_those_who_serve() -> None:
    world = begun(3)
    world.supervision.replace()
    world.turn()
    world.ready(4)
    world.stopped(1)
    world.exited(1)
    assert world.exited(5) is Fate.DIED
    assert world.turn() == [(Action.GIVE_UP, 5)]
    assert not world.replacing()
    assert world.numbers() == [2, 3, 4]
    assert world.supervision.next_deadline() == math.inf


def test_one_that_dies_while_it_is_replaced_has_its_successor() -> None:
    world = begun(2)
    world.supervision.replace()
    world.turn()
    world.exited(1)
    assert world.turn() == []  # the successor is there already
    assert world.ready(3) == [(Action.START, 4)]


def test_one_that_dies_before_its_turn_needs_no_replacement() -> None:
    world = begun(2)
    world.supervision.replace()
    world.turn()
    world.exited(2)
    assert world.turn() == [(Action.START, 4)]
    world.ready(3, 4)
    assert world.stopped(1) == []
    assert not world.replacing()


def test_a_successor_that_has_had_enough_already_was_a_success() -> None:
    world = begun(1)
    world.supervision.replace()
    world.turn()
    world.supervision.ready(world.worker(2))
    world.supervision.stopped(world.worker(2), world.now)
    assert world.turn() == [(Action.STOP, 1), (Action.START, 3)]


def test_replacing_waits_for_a_pause_to_end() -> None:
    world = begun(2)
    world.exited(1)
    world.turn()
    world.exited(3)  # dies at once
    world.supervision.replace()
    assert world.turn() == []
    todo = world.wait()
    assert todo == [(Action.START, 4), (Action.START, 5)]


def test_a_stop_ends_a_replacement() -> None:
    world = begun(1)
    world.supervision.replace()
    world.turn()
    world.supervision.stop(world.now, None)
    assert world.turn() == [(Action.STOP, 1), (Action.STOP, 2)]
    assert world.exited(2) is Fate.LEFT
    assert world.turn() == []


class AnyCourse(RuleBasedStateMachine):
    """Whatever happens, in any order, some things hold."""

    world: World
    wanted: int
    deaths = 0

    @initialize(workers=st.integers(1, 4), must_begin=st.booleans())
    def begin(self, workers: int, must_begin: bool) -> None:
        self.wanted = workers
        self.world = World(
            workers=workers, must_begin=must_begin, drain_timeout=3.0, start_timeout=9.0
        )

    def some(self, data: st.DataObject) -> int:
        return data.draw(st.sampled_from(self.world.numbers()))

    has_workers = precondition(lambda self: bool(self.world.numbers()))

    @has_workers
    @rule(data=st.data())
    def one_is_ready(self, data: st.DataObject) -> None:
        self.world.ready(self.some(data))

    @has_workers
    @rule(data=st.data())
    def one_stops(self, data: st.DataObject) -> None:
        self.world.stopped(self.some(data))

    @has_workers
    @rule(data=st.data())
    def one_exits(self, data: st.DataObject) -> None:
        self.deaths += self.world.exited(self.some(data)) is Fate.DIED
        self.world.turn()

    @rule(seconds=st.floats(0, 2))
    def time_passes(self, seconds: float) -> None:
        self.world.now += seconds
        self.world.turn()

    @rule()
    def all_are_to_be_replaced(self) -> None:
        self.world.supervision.replace()
        self.world.turn()

    @rule(seconds=st.none() | st.floats(0, 5))
    def all_are_to_stop(self, seconds: float | None) -> None:
        self.world.supervision.stop(self.world.now, seconds)
        self.world.turn()

    @rule()
    def all_are_to_be_killed(self) -> None:
        self.world.supervision.kill()
        self.world.turn()

    @invariant()
    def nothing_is_left_to_do_now(self) -> None:
        assert self.world.turn() == []
        assert self.world.supervision.next_deadline() > self.world.now

    @invariant()
    def nothing_is_done_twice(self) -> None:
        assert len(self.world.done) == len(set(self.world.done))

    @invariant()
    def no_more_serve_than_are_wanted(self) -> None:
        supervision = self.world.supervision
        states = [worker.state for worker in supervision.workers]
        in_service = states.count(S.STARTING) + states.count(S.SERVING)
        assert in_service <= self.wanted + supervision.replacing
        if supervision.stopping:
            assert in_service == 0
        elif supervision.next_deadline() == math.inf:
            assert states.count(S.SERVING) >= self.wanted

    @invariant()
    def those_who_are_to_end_have_a_deadline(self) -> None:
        for worker in self.world.supervision.workers:
            if worker.state is S.CUT:
                assert worker.deadline < math.inf

    def teardown(self) -> None:
        supervision = self.world.supervision
        supervision.stop(self.world.now, 1.0)
        for _ in range(len(supervision.workers) + 3):
            self.world.turn()
            self.world.now += 5.0  # longer than anything may take
        assert all(worker.state is S.KILLED for worker in supervision.workers)


TestAnyCourse = AnyCourse.TestCase
TestAnyCourse.settings = settings(max_examples=60, stateful_step_count=30)
