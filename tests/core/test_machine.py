"""Whatever happens to a server, and in whatever order: what always holds."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations, product
from random import Random
from typing import Any

from hypothesis import Phase, settings
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
from sansio_server.lifecycle import Event
from sansio_server.limits import Limits

from .memory import Escape, Failure
from .world import Client, Task, Where, World

HOOKS = ("verify", "process", "setup", "handle", "finish", "shed", "error", "shutdown", "report")
FAULTS = [("verify", "no"), *product(HOOKS, ["fail", "escape"])]
# Nothing goes wrong, one thing does, or two do: each as likely as the others.
ONE = [dict([fault]) for fault in FAULTS]
TWO = [dict(faults) for faults in combinations(FAULTS, 2)]
SCRIPTS: list[dict[str, str]] = [*[{}] * len(TWO), *ONE * (len(TWO) // len(ONE)), *TWO]
SECONDS = st.sampled_from([0.05, 0.5, 1.0, 3.0])


class ServerMachine(RuleBasedStateMachine):
    """Rules are what clients, programs, time and bad luck do to a server."""

    world: World
    drain: Drain | None = None
    drained: list[Place]
    numbers = 0

    def under_way(self) -> list[Task]:
        return [*self.world.loops, *self.world.tasks]

    @initialize(
        max_connections=st.sampled_from([None, 1, 2, 3]),
        when_full=st.sampled_from(["wait", "shed"]),
        request_timeout=st.sampled_from([None, 1.0, 3.0]),
    )
    def make(self, **limits: Any) -> None:
        self.world = World(**limits)
        self.serve(Event.SERVE)

    # Clients.

    @rule(
        scripts=st.lists(st.sampled_from(SCRIPTS), min_size=1, max_size=3),
        where=st.sampled_from(["here", "elsewhere", "elsewhere", "kept"]),
        wrapped=st.booleans(),
        steps=st.sampled_from([15, 5, 0]),
    )
    def accept(
        self, scripts: list[dict[str, str]], where: Where, wrapped: bool, steps: int
    ) -> None:
        for script in scripts:
            self.numbers += 1
            self.world.connect(Client(self.numbers, script, where, wrapped))
        self.go_on(steps, self.numbers)

    # The program.

    @precondition(lambda self: len(self.world.loops) < 2)
    @rule(event=st.sampled_from([Event.SERVE, Event.SERVE, Event.WAIT]))
    def serve(self, event: Event) -> None:
        accepted = len(self.world.clients)
        must_end = self.world.stop_asked
        task = self.world.run_loop(event, wait=0.5)
        assert task.done == must_end, "a kept stop ends the next serve, and nothing else does"
        assert task.error is None
        assert len(self.world.clients) == accepted

    @rule(call=st.sampled_from([World.resume, World.suspend, World.ask_to_stop, World.close]))
    def call(self, call: Callable[[World], None]) -> None:
        """Do what any thread, handler or signal handler may do at any time."""
        call(self.world)
        self.go_on(20, seed=0)
        self.world.resume()
        if not self.world.loops:
            self.serve(Event.SERVE)

    @precondition(lambda self: self.world.kept)
    @rule()
    def close_kept(self) -> None:
        self.world.close_kept()

    # Time and chance.

    @rule(steps=st.sampled_from([30, 10, 3, 1]), seed=st.integers(0, 999))
    def advance(self, steps: int, seed: int) -> None:
        self.go_on(steps, seed)

    def go_on(self, steps: int, seed: int) -> None:
        """Let loops and requests go on, in any order."""
        choose = Random(seed).choice
        for _ in range(steps):
            if tasks := self.under_way():
                self.world.step(choose(tasks))
                self.look()

    @precondition(lambda self: self.under_way())
    @rule(seed=st.integers(0, 99), error=st.sampled_from([Failure, Escape]))
    def fail(self, seed: int, error: type[BaseException]) -> None:
        """Raise an error where a hook, a handler or a loop waits."""
        self.world.step(Random(seed).choice(self.under_way()), error("thrown in"))
        if not self.world.loops:
            self.serve(Event.SERVE)

    @rule(seconds=SECONDS, failing_accepts=st.sampled_from([0, 0, 1, 4]))
    def tick(self, seconds: float, failing_accepts: int) -> None:
        self.world.time += seconds
        self.world.failing_accepts = failing_accepts

    # Draining.

    @precondition(lambda self: self.drain is None)
    @rule(timeout=st.sampled_from([None, 0.0, 1.0]))
    def begin_drain(self, timeout: float | None) -> None:
        limits = Limits(drain_timeout=timeout, cut_timeout=1.0)
        self.drained = [place for place in self.world._ledger if place.worker == "task"]
        self.drain = Drain(self.world._lifecycle, limits, self.world._now(), self.drained)

    @precondition(lambda self: self.drain is not None)
    @rule()
    def go_on_draining(self) -> None:
        assert self.drain is not None
        step = self.drain.step(self.world._now(), [place for place in self.drained if place.open])
        if step is None:
            report = self.drain.report(self.world._now())
            told = [*report.finished, *(straggler.client_address for straggler in report.cut)]
            assert sorted(client.number for client in told) == [
                place.client_address.number for place in self.drained
            ]
            assert {straggler.client_address for straggler in report.left} == {
                place.client_address for place in self.drained if place.open
            }
            self.drain = None
            return
        assert step.until > self.world._now()
        for place in step.cut:
            assert place.open
            self.drain.cut(place, "somewhere")
            self.world.step(self.task_of(place), Escape("cancelled"))

    def task_of(self, place: Place) -> Task:
        [task] = [t for t, client in self.world.tasks.items() if client is place.client_address]
        return task

    # What always holds.

    @invariant()
    def look(self) -> None:
        self.each_request_is_worked_at_closed_and_reported_at_most_once()
        self.finish_is_only_called_if_setup_succeeded()
        self.what_is_shed_or_refused_is_not_worked_at()
        self.nothing_is_done_to_a_request_that_is_closed_but_a_report()
        self.places_are_those_of_the_requests_that_are_open()
        self.what_was_counted_is_what_happened()
        self.a_limit_that_is_waited_for_is_never_exceeded()
        self.the_server_knows_which_loops_run()
        self.no_deadline_is_missed()

    def each_request_is_worked_at_closed_and_reported_at_most_once(self) -> None:
        for client in self.world.clients:
            for hook in ("verify", "process", "shed", "work", "shutdown", "error", "report"):
                assert client.times(hook) <= 1, (client, hook)
            assert client.released <= 1, client

    def finish_is_only_called_if_setup_succeeded(self) -> None:
        for client in self.world.clients:
            assert client.times("handle") <= client.times("setup ok"), client
            assert client.times("finish") <= client.times("handle"), client

    def what_is_shed_or_refused_is_not_worked_at(self) -> None:
        for client in self.world.clients:
            if client.times("shed") or client.script.get("verify") == "no":
                assert client.times("work") == 0, client

    def nothing_is_done_to_a_request_that_is_closed_but_a_report(self) -> None:
        for client in self.world.clients:
            if client.times("shutdown"):
                last = list(client.seen)
                after = last[last.index("shutdown") + 1 :]
                assert set(after) <= {"shutdown ok", "report", "report ok"}, client

    def places_are_those_of_the_requests_that_are_open(self) -> None:
        held = {place.client_address for place in self.world._ledger}
        assert held == {client for client in self.world.clients if not client.released}
        assert len(self.world._ledger) == len(held)

    def what_was_counted_is_what_happened(self) -> None:
        counters, clients = self.world.counters, self.world.clients
        assert counters.accepted == len(clients)
        assert counters.closed == sum(client.released for client in clients)
        assert counters.shed == sum(client.times("shed") for client in clients)
        assert counters.refused == sum(
            client.times("verify ok") and client.script.get("verify") == "no" for client in clients
        )

    def a_limit_that_is_waited_for_is_never_exceeded(self) -> None:
        world = self.world
        if world.max_connections is not None and world.when_full == "wait":
            assert len(world._ledger) <= world.max_connections

    def the_server_knows_which_loops_run(self) -> None:
        assert self.world._lifecycle.loops == self.world.running_loops
        assert self.world._is_running() == (
            self.world.running_loops > 0 and not self.world.stop_asked
        )

    def no_deadline_is_missed(self) -> None:
        deadlines = [p.deadline for p in self.world._ledger if not p.cut]
        assert self.world._ledger.next_deadline() == min(deadlines, default=math.inf)

    def teardown(self) -> None:
        """Let all end: then every request was closed once, and nothing is left."""
        self._end_requests()
        if self.world.loops:
            self.world.ask_to_stop()
        self.go_on(100, seed=0)
        assert self.under_way() == []
        for client in self.world.clients:
            assert client.released == 1, client
            assert client.times("shutdown") == 1, client
            assert client.times("finish") == client.times("setup ok"), client
        assert len(self.world._ledger) == 0
        assert self.world.counters.closed == len(self.world.clients) == self.numbers
        assert self.world._ledger.next_deadline() == math.inf
        assert not self.world._is_running()
        assert self.world._lifecycle.loops == 0

    def _end_requests(self) -> None:
        """Serve all who have come, with drains meanwhile."""
        self.world.resume()
        for turn in range(200):
            self.tick(1.0, failing_accepts=0)
            if self.drain is not None:
                self.go_on_draining()
            elif self.world.tasks:
                self.begin_drain(turn % 3)
            elif not self.world.queue and not self.world.kept and not self.world._ledger:
                return
            if not self.world.loops:
                self.serve(Event.SERVE)
            if self.world.kept:
                self.world.close_kept()
            self.go_on(turn % 7, seed=turn)
            self.look()
        raise AssertionError("requests that do not end")


def test_any_course_of_events() -> None:
    run_state_machine_as_test(
        ServerMachine,
        # To shrink what fails takes minutes: add Phase.shrink when it does.
        settings=settings(max_examples=50, stateful_step_count=30, phases=[Phase.generate]),
    )
