from __future__ import annotations

import itertools
import os
import select
import threading
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from sansio_server.lifecycle import Event, Lifecycle, State
from sync_backend.control import Control, Latch, Loop, _Posted
from sync_backend.wakeup import Wakeup
from tests.sync_backend.interruptions import CtrlC, Interruption, run_interrupted
from tests.sync_backend.support import PATIENCE, Thread, descriptors, in_thread

SEVERAL = range(3)


class Machine:
    """A lifecycle under control, and what it has seen."""

    def __init__(self) -> None:
        self._lifecycle = Lifecycle()
        self.seen: list[Event] = []
        self.control = Control(self._lifecycle, self.on_event)
        self.reactions: dict[Event, Callable[[], object]] = {}
        self._serving = threading.Semaphore(0)

    def on_event(self, event: Event) -> None:
        self.seen.append(event)
        self.reactions.pop(event, int)()

    def state(self) -> State:
        return self._lifecycle.loop

    def loops(self) -> tuple[Loop, ...]:
        return self.control.loops

    def serve(self, interruption: Interruption | None = None) -> None:
        """Run a loop until it is stopped."""
        with self.control.running(Event.SERVE) as (_, wakeup):
            self._serving.release()
            while self._lifecycle.running:
                if interruption is not None:
                    interruption.happen()
                assert select.select([wakeup], [], [], PATIENCE)[0], "the stop was lost"
                wakeup.clear()

    def start(self) -> Thread:
        thread = Thread(self.serve)
        thread.start()
        assert self._serving.acquire(timeout=PATIENCE)
        return thread


@pytest.fixture
def machine() -> Iterator[Machine]:
    machine = Machine()
    yield machine
    machine.control.close_spare()


class SilentWakeup:
    """Wakes nobody."""

    def wake(self) -> None:
        pass

    def close(self) -> None:
        pass


def loop_of_another_thread() -> Loop:
    loop = Loop(SilentWakeup())
    loop.thread = 0
    return loop


# Events.


def test_an_event_moves_the_machine_and_is_told_of(machine: Machine) -> None:
    machine.control.post(Event.BIND)
    machine.control.post(Event.SUSPEND)
    assert machine._lifecycle.listener is State.BOUND
    assert machine._lifecycle.accepting is State.SUSPENDED
    assert machine.seen == [Event.BIND, Event.SUSPEND]


def test_an_event_put_while_another_is_told_of_comes_next(machine: Machine) -> None:
    machine.reactions[Event.BIND] = lambda: machine.control.post(Event.ACTIVATE)
    machine.control.post(Event.BIND)
    assert machine.seen == [Event.BIND, Event.ACTIVATE]
    assert machine._lifecycle.listener is State.ACTIVE


def test_no_event_of_many_threads_is_lost(machine: Machine) -> None:
    def post() -> None:
        for _ in range(200):
            machine.control.post(Event.SUSPEND)

    threads = [Thread(post) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.end()
    assert len(machine.seen) == 1600


def test_an_error_of_one_event_does_not_hold_up_the_next(machine: Machine) -> None:
    machine.reactions[Event.BIND] = lambda: 1 / 0
    with pytest.raises(ZeroDivisionError):
        machine.control.post(Event.BIND)
    machine.control.post(Event.ACTIVATE)
    assert machine._lifecycle.listener is State.ACTIVE


# Loops.


def test_a_loop_is_known_while_it_runs(machine: Machine) -> None:
    with machine.control.running(Event.WAIT) as (loop, _):
        assert machine.loops() == (loop,)
        assert machine.state() is State.WAITING
        assert not loop.left.is_set()
    assert machine.loops() == ()
    assert machine.state() is State.IDLE
    assert loop.left.is_set()
    assert machine.seen == [Event.WAIT, Event.LEAVE]


def test_an_error_ends_a_loop(machine: Machine) -> None:
    with pytest.raises(KeyboardInterrupt), machine.control.running(Event.SERVE):
        raise KeyboardInterrupt
    assert machine.state() is State.IDLE


def test_a_loop_that_has_found_its_request_leaves_but_once(machine: Machine) -> None:
    with machine.control.running(Event.WAIT) as (loop, _):
        assert machine.control.end(loop, Event.REQUEST)
        assert machine.control.end(loop, Event.TIMEOUT)
    assert machine.seen == [Event.WAIT, Event.REQUEST]


@pytest.mark.parametrize("found", [Event.REQUEST, Event.TIMEOUT])
def test_a_stop_before_the_request_counts(machine: Machine, found: Event) -> None:
    with machine.control.running(Event.WAIT) as (loop, _):
        machine.control.post(Event.SHUTDOWN)
        assert not machine.control.end(loop, found)
        assert machine.state() is State.STOPPING
    assert machine.seen == [Event.WAIT, Event.SHUTDOWN, Event.LEAVE]
    assert machine.state() is State.IDLE


def test_every_loop_is_woken(machine: Machine) -> None:
    with machine.control.running(Event.WAIT) as (_, one):
        with machine.control.running(Event.WAIT) as (_, other):
            machine.control.wake()
            assert select.select([one], [], [], 0)[0]
            assert select.select([other], [], [], 0)[0]


def test_loops_one_after_the_other_share_a_wake_up(machine: Machine) -> None:
    with machine.control.running(Event.WAIT) as (_, first):
        machine.control.wake()
    with machine.control.running(Event.WAIT) as (_, second):
        assert second is first
        assert not select.select([second], [], [], 0)[0]


def test_wakeups_are_made_when_there_are_no_spare_ones(machine: Machine) -> None:
    with machine.control.running(Event.WAIT) as (_, one):
        with machine.control.running(Event.WAIT) as (_, other):
            assert isinstance(other, Wakeup)
            assert other is not one


def test_a_closed_server_holds_no_descriptor(machine: Machine) -> None:
    before = descriptors()
    with machine.control.running(Event.SERVE):
        machine.control.post(Event.CLOSE)
        assert descriptors() > before
    assert descriptors() == before


def test_another_kind_of_wake_up_may_be_lent(machine: Machine) -> None:
    with machine.control.running_with(Event.SERVE, SilentWakeup()) as loop:
        assert machine.loops() == (loop,)
        machine.control.stop()
    assert machine.state() is State.IDLE


# Stops.


def test_a_stop_waits_for_the_loop(machine: Machine) -> None:
    thread = machine.start()
    machine.control.stop()
    assert machine.loops() == ()
    thread.end()
    assert machine.state() is State.IDLE


def test_a_stop_in_the_loops_own_thread_does_not_wait(machine: Machine) -> None:
    with machine.control.running(Event.SERVE) as (loop, _):
        machine.control.stop()
        assert loop.stopped
        assert machine.state() is State.STOPPING


def test_a_stop_while_nothing_runs_is_kept(machine: Machine) -> None:
    machine.control.stop()
    machine.control.stop()
    assert machine.state() is State.STOP_KEPT
    machine.serve()
    assert machine.state() is State.IDLE


def test_a_stop_does_not_wait_where_the_loop_could_not_leave(machine: Machine) -> None:
    # The trace is called by whoever puts events to the machine, so it interrupts that.
    thread = machine.start()
    machine.reactions[Event.SUSPEND] = machine.control.stop
    with in_thread(machine.control.post, Event.SUSPEND):
        pass
    thread.end()


def test_a_stop_does_not_wait_for_a_loop_that_began_after_it(machine: Machine) -> None:
    first, second = loop_of_another_thread(), loop_of_another_thread()

    def another_begins() -> None:
        machine.control.post(Event.LEAVE, first)
        machine.control.post(Event.SERVE, second)

    machine.control.post(Event.SERVE, first)
    machine.reactions[Event.SHUTDOWN] = another_begins
    with in_thread(machine.control.stop):
        pass
    assert machine.loops() == (second,)
    machine.control.post(Event.LEAVE, second)


def test_a_stop_waits_for_all_loops(machine: Machine) -> None:
    threads = [machine.start() for _ in SEVERAL]
    assert len(machine.loops()) == len(threads)
    machine.control.stop()
    assert machine.loops() == ()
    for thread in threads:
        thread.end()


# Signals, which come between any two instructions.


@pytest.mark.parametrize("interrupted", ["stop", "wake", "suspend"])
def test_a_stop_in_a_signal_handler_never_hangs(interrupted: str) -> None:
    done, number = True, 0
    while done:
        machine = Machine()
        thread = machine.start()
        functions: dict[str, Callable[[], object]] = {
            "stop": machine.control.stop,
            "wake": machine.control.wake,
            "suspend": partial(machine.control.post, Event.SUSPEND),
        }
        interruption = Interruption(number, machine.control.stop)
        run_interrupted(functions[interrupted], interruption)
        done = interruption.done
        number += 1
        machine.control.stop()
        thread.end()
        machine.control.close_spare()
    assert number > 20


def test_a_stop_in_a_signal_handler_is_never_lost() -> None:
    number = 0
    handled_before_the_sleep = True
    while handled_before_the_sleep:
        machine = Machine()
        interruption = Interruption(number, machine.control.stop)
        asleep = Interruption(0, interruption.happen)
        run_interrupted(partial(machine.serve, asleep), interruption)
        handled_before_the_sleep = not asleep.done
        number += 1
        machine.control.close_spare()
    assert number > 100


# Ctrl-C, which raises between any two calls.


def pressed_at_each_call(function: Callable[[Machine], object]) -> Iterator[Machine]:
    """The machines on which *function* ran, interrupted by Ctrl-C somewhere else each time."""
    for number in itertools.count():
        machine, ctrl_c = Machine(), CtrlC(number)
        ctrl_c.press_during(partial(function, machine))
        yield machine
        if not ctrl_c.pressed:
            assert number > 10
            break


def leave_by_ctrl_c(machine: Machine) -> None:
    """Run a loop that was ended by Ctrl-C already."""
    with machine.control.running_with(Event.SERVE, SilentWakeup()):
        raise KeyboardInterrupt


def test_a_second_ctrl_c_ends_a_loop_all_the_same() -> None:
    for machine in pressed_at_each_call(leave_by_ctrl_c):
        assert machine.loops() == ()
        assert machine.state() is State.IDLE
        assert [event for event in machine.seen if event is Event.LEAVE] == machine.seen[1:]
        machine.control.post(Event.SUSPEND)
        assert machine.seen[-1] is Event.SUSPEND


@pytest.mark.parametrize(
    ("during", "then"), [(Event.SERVE, State.IDLE), (Event.LEAVE, State.STOP_KEPT)]
)
def test_a_stop_by_another_thread_amid_ctrl_c_is_not_lost(during: Event, then: State) -> None:
    """The other thread has come as far as the inbox, so it is the interrupted that puts it."""

    def leave(machine: Machine) -> None:
        stop = _Posted(Event.SHUTDOWN, None)
        machine.reactions[during] = partial(machine.control._inbox.append, stop)
        leave_by_ctrl_c(machine)

    for machine in pressed_at_each_call(leave):
        assert machine.loops() == ()
        if during in machine.seen:
            assert Event.SHUTDOWN in machine.seen
            assert machine.state() is then


class Locks(deque[threading.Lock]):
    """Those of the threads that wait for a latch; tells when one has come."""

    def __init__(self) -> None:
        super().__init__()
        self.came = threading.Event()

    def append(self, lock: threading.Lock) -> None:
        super().append(lock)
        self.came.set()


def test_whoever_waits_for_a_loop_goes_on_when_ctrl_c_interrupts_its_end() -> None:
    def leave(machine: Machine) -> None:
        with machine.control.running_with(Event.SERVE, SilentWakeup()) as loop:
            locks = loop.left._waiters = Locks()
            waiter = Thread(loop.left.wait)
            waiters.append(waiter)
            waiter.start()
            assert locks.came.wait(PATIENCE)
            raise KeyboardInterrupt

    waiters: list[Thread] = []
    for _ in pressed_at_each_call(leave):
        while waiters:
            waiters.pop().end()


def test_what_is_raised_again_and_again_holds_up_no_other_event(machine: Machine) -> None:
    def interrupt() -> None:
        machine.reactions[Event.BIND] = interrupt
        raise KeyboardInterrupt

    machine.reactions[Event.BIND] = interrupt
    with pytest.raises(KeyboardInterrupt):
        machine.control.post(Event.BIND)
    assert machine.seen == [Event.BIND] * 2
    machine.control.post(Event.ACTIVATE)
    assert machine._lifecycle.listener is State.ACTIVE


# Forks.


def in_child(function: Callable[[], object]) -> bool:
    """Say whether a function returns something true in a forked child."""
    pid = os.fork()
    if pid == 0:
        os._exit(0 if function() else 1)
    return os.waitpid(pid, 0)[1] == 0


def test_a_child_has_none_of_its_parents_loops(machine: Machine) -> None:
    with machine.control.running(Event.SERVE) as (_, wakeup):

        def stop_in_child() -> bool:
            machine.control.stop()
            return not wakeup.usable and not machine.control.loops

        assert in_child(stop_in_child)
        assert machine.state() is State.SERVING
        assert not select.select([wakeup], [], [], 0)[0]


def test_a_child_may_serve_with_a_wake_up_of_its_own(machine: Machine) -> None:
    with machine.control.running(Event.WAIT):
        pass

    def serve_in_child() -> bool:
        machine.control.after_fork()
        with machine.control.running(Event.SERVE) as (loop, wakeup):
            machine.control.stop()
            return loop.stopped and bool(select.select([wakeup], [], [], 0)[0])

    assert in_child(serve_in_child)


def test_a_stop_that_was_kept_is_kept_in_a_child_too(machine: Machine) -> None:
    machine.control.stop()

    def look() -> bool:
        machine.control.after_fork()
        return machine.state() is State.STOP_KEPT

    assert in_child(look)


# The latch.


def test_a_latch_lets_all_go_on() -> None:
    latch = Latch()
    threads = [Thread(latch.wait) for _ in SEVERAL]
    for thread in threads:
        thread.start()
    assert not latch.is_set()
    latch.set()
    for thread in threads:
        thread.end()
    assert latch.is_set()
    assert latch.wait()


def test_a_latch_need_not_be_waited_for_for_ever() -> None:
    latch = Latch()
    assert not latch.wait(0.0)
    assert not latch.wait(0.01)
    latch.set()
    assert latch.wait(0.0)


def test_two_may_set_a_latch_at_once() -> None:
    class Emptied(deque[threading.Lock]):
        """Waiters whom another one lets go after they were counted."""

        def __bool__(self) -> bool:
            return True

    latch = Latch()
    latch._waiters = Emptied()
    latch.set()
    assert latch.wait()
