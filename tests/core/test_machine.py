"""Whatever happens to a server, and in whatever order: what always holds."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from sansio_server.drain import Drain
from sansio_server.ledger import Place
from sansio_server.lifecycle import Event, State
from sansio_server.limits import Limits

from .memory import Escape, Failure
from .world import Client, Task, Where, World

OUTCOMES = st.sampled_from(["ok", "ok", "ok", "fail", "escape"])
HOOKS = ("process", "setup", "handle", "finish", "shed", "error", "shutdown", "report")
SCRIPTS = st.fixed_dictionaries(
    {"verify": st.sampled_from(["ok", "ok", "ok", "no", "fail", "escape"])},
    optional=dict.fromkeys(HOOKS, OUTCOMES),
)
ERRORS = st.sampled_from([Failure, Escape])
SECONDS = st.sampled_from([0.05, 0.5, 1.0, 3.0])


class ServerMachine(RuleBasedStateMachine):
    """Rules are what clients, programs, time and bad luck do to a server."""

    world: World
    drain: Drain | None = None
    drained: list[Place]
    numbers = 0

    @initialize(
        max_connections=st.sampled_from([None, 1, 2, 3]),
        when_full=st.sampled_from(["wait", "shed"]),
        request_timeout=st.sampled_from([None, 1.0, 3.0]),
    )
    def make(self, **limits: Any) -> None:
        self.world = World(**limits)

    # Clients.

    @rule(
        script=SCRIPTS,
        where=st.sampled_from(["here", "elsewhere", "elsewhere", "kept"]),
        wrapped=st.booleans(),
    )
    def accept(self, script: dict[str, str], where: Where, wrapped: bool) -> None:
        self.numbers += 1
        self.world.connect(Client(self.numbers, script, where, wrapped))

    # The program.

    @precondition(lambda self: len(self.world.loops) < 2)
    @rule(event=st.sampled_from([Event.SERVE, Event.SERVE, Event.WAIT]), wait=SECONDS)
    def serve(self, event: Event, wait: float) -> None:
        accepted = len(self.world.clients)
        must_end = self.world.stop_asked
        task = self.world.run_loop(event, wait)
        assert task.done == must_end, "a kept stop ends the next serve, and nothing else does"
        assert task.error is None
        assert len(self.world.clients) == accepted

    @rule()
    def shutdown(self) -> None:
        self.world.ask_to_stop()

    @rule()
    def close(self) -> None:
        self.world.close()
        assert self.world.lifecycle.listener is State.CLOSED

    @rule()
    def suspend(self) -> None:
        self.world.suspend()

    @rule()
    def resume(self) -> None:
        self.world.resume()

    @precondition(lambda self: self.world.kept)
    @rule()
    def close_kept(self) -> None:
        self.world.close_kept()

    # Time and chance.

    @precondition(lambda self: self.world.loops)
    @rule(data=st.data(), steps=st.integers(1, 12))
    def turn(self, data: st.DataObject, steps: int) -> None:
        task = data.draw(st.sampled_from(self.world.loops))
        for _ in range(steps):
            if not task.done:
                self.world.step(task)

    @precondition(lambda self: self.world.tasks)
    @rule(data=st.data(), steps=st.integers(1, 12))
    def advance(self, data: st.DataObject, steps: int) -> None:
        task = data.draw(st.sampled_from(list(self.world.tasks)))
        for _ in range(steps):
            if not task.done:
                self.world.step(task)

    @precondition(lambda self: self.world.tasks or self.world.loops)
    @rule(data=st.data(), error=ERRORS)
    def fail(self, data: st.DataObject, error: type[BaseException]) -> None:
        """Raise an error where a hook, a handler or a loop waits."""
        task = data.draw(st.sampled_from([*self.world.tasks, *self.world.loops]))
        self.world.step(task, error("thrown in"))

    @rule(seconds=SECONDS)
    def tick(self, seconds: float) -> None:
        self.world.time += seconds

    @rule(times=st.integers(1, 4))
    def starve(self, times: int) -> None:
        self.world.failing_accepts = times

    # Draining.

    @precondition(lambda self: self.drain is None)
    @rule(timeout=st.sampled_from([None, 0.0, 1.0]))
    def begin_drain(self, timeout: float | None) -> None:
        limits = Limits(drain_timeout=timeout, cut_timeout=1.0)
        self.drained = [place for place in self.world.ledger if place.worker == "task"]
        self.drain = Drain(self.world.lifecycle, limits, self.world.now(), self.drained)

    @precondition(lambda self: self.drain is not None)
    @rule()
    def go_on_draining(self) -> None:
        assert self.drain is not None
        step = self.drain.step(self.world.now(), [place for place in self.drained if place.open])
        if step is None:
            report = self.drain.report(self.world.now())
            told = [*report.finished, *(straggler.client_address for straggler in report.cut)]
            assert sorted(client.number for client in told) == [
                place.client_address.number for place in self.drained
            ]
            assert {straggler.client_address for straggler in report.left} == {
                place.client_address for place in self.drained if place.open
            }
            self.drain = None
            return
        assert step.until > self.world.now()
        for place in step.cut:
            assert place.open
            self.drain.cut(place, "somewhere")
            self.world.step(self.task_of(place), Escape("cancelled"))

    def task_of(self, place: Place) -> Task:
        [task] = [t for t, client in self.world.tasks.items() if client is place.client_address]
        return task

    # What always holds.

    @invariant()
    def each_request_is_worked_at_closed_and_reported_at_most_once(self) -> None:
        for client in self.world.clients:
            for hook in ("verify", "process", "shed", "work", "shutdown", "error", "report"):
                assert client.times(hook) <= 1, (client, hook)
            assert client.released <= 1, client

    @invariant()
    def finish_is_only_called_if_setup_succeeded(self) -> None:
        for client in self.world.clients:
            assert client.times("handle") <= client.times("setup ok"), client
            assert client.times("finish") <= client.times("handle"), client

    @invariant()
    def what_is_shed_or_refused_is_not_worked_at(self) -> None:
        for client in self.world.clients:
            if client.times("shed") or client.script["verify"] == "no":
                assert client.times("work") == 0, client

    @invariant()
    def nothing_is_done_to_a_request_that_is_closed_but_a_report(self) -> None:
        for client in self.world.clients:
            if client.times("shutdown"):
                last = list(client.seen)
                after = last[last.index("shutdown") + 1 :]
                assert set(after) <= {"shutdown ok", "report", "report ok"}, client

    @invariant()
    def places_are_those_of_the_requests_that_are_open(self) -> None:
        held = {place.client_address for place in self.world.ledger}
        assert held == {client for client in self.world.clients if not client.released}
        assert len(self.world.ledger) == len(held)

    @invariant()
    def what_was_counted_is_what_happened(self) -> None:
        counters, clients = self.world.counters, self.world.clients
        assert counters.accepted == len(clients)
        assert counters.closed == sum(client.released for client in clients)
        assert counters.shed == sum(client.times("shed") for client in clients)
        assert counters.refused == sum(
            client.times("verify ok") and client.script["verify"] == "no" for client in clients
        )

    @invariant()
    def a_limit_that_is_waited_for_is_never_exceeded(self) -> None:
        world = self.world
        if world.max_connections is not None and world.when_full == "wait":
            assert len(world.ledger) <= world.max_connections

    @invariant()
    def the_server_knows_which_loops_run(self) -> None:
        assert self.world.lifecycle.loops == len(self.world.loops)
        assert self.world.is_running() == (bool(self.world.loops) and not self.world.stop_asked)

    @invariant()
    def no_deadline_is_missed(self) -> None:
        deadlines = [p.deadline for p in self.world.ledger if not p.cut]
        assert self.world.ledger.next_deadline() == min(deadlines, default=math.inf)

    def teardown(self) -> None:
        """Let all end by itself: then every request was closed once, and nothing is left."""
        world = self.world
        world.queue.clear()
        if world.loops:
            world.ask_to_stop()
        while world.loops or world.tasks:
            for task in [*world.loops, *world.tasks]:
                world.step(task)
        while world.kept:
            world.close_kept()
        for client in world.clients:
            assert client.released == 1, client
            assert client.times("shutdown") == 1, client
            assert client.times("finish") == client.times("setup ok"), client
        assert len(world.ledger) == 0
        assert world.counters.closed == len(world.clients)
        assert world.ledger.next_deadline() == math.inf
        assert not world.is_running()
        assert world.lifecycle.loops == 0


def test_any_course_of_events() -> None:
    run_state_machine_as_test(
        ServerMachine, settings=settings(max_examples=60, stateful_step_count=40)
    )
