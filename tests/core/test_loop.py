"""The two loops, with sleeps and clients as a test says."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sansio_server.lifecycle import Event
from sansio_server.loop import request_loop, serve_loop
from sansio_server.serving import Plan, Serving

from .memory import MemoryServer, Pause, run_suspending


class ScriptedTurns:
    """Plays one part of a script in each sleep, and stops the server after the last.

    :ivar plans: how it was to sleep, each time.
    """

    def __init__(
        self,
        server: MemoryServer,
        *script: Callable[[], object],
        tries_first: bool = False,
        pauses: bool = False,
    ) -> None:
        self.server = server
        self.script = deque(script)
        self.tries_first = tries_first
        self.pauses = pauses
        self.waiting = 0
        self.plans: list[Plan] = []
        self.calls: list[str] = []

    def client(self, count: int = 1) -> None:
        """Come, and wait to be let in."""
        self.waiting += count

    def sleep(self, until: float) -> bool | Awaitable[bool]:
        self.calls.append("sleep")
        plan = self.server._plan(until)
        self.plans.append(plan)
        (self.script.popleft() if self.script else self.stop)()
        return self._answer(plan.listen and self.waiting > 0)

    def let_in(self) -> bool | Awaitable[bool]:
        self.calls.append("let in")
        assert self.server._is_running() or self.ended
        self.waiting -= self.waiting > 0
        return self._answer(self.waiting > 0)

    ended = False

    def end(self, event: Event) -> bool:
        if self.server._is_running():
            self.server._happened(event)
            self.ended = True
        return self.ended

    def stop(self) -> None:
        self.server._happened(Event.SHUTDOWN)

    def _answer(self, answer: bool) -> bool | Awaitable[bool]:
        async def slowly() -> bool:
            await Pause()
            return answer

        return slowly() if self.pauses else answer


class Server(MemoryServer):
    _always_attends = True

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.turns = 0
        self.attended = 0

    def service_actions(self) -> Any:
        self.turns += 1

    def _attend(self) -> None:
        self.attended += 1
        super()._attend()


def nothing() -> None:
    """Happens: the sleep was ended by something else."""


def pass_time(server: MemoryServer, seconds: float) -> Callable[[], None]:
    def tick() -> None:
        server.time += seconds

    return tick


def serving(server: Serving, turns: ScriptedTurns, poll_interval: float | None = None) -> int:
    """Run the serve loop; return how often it suspended."""
    server._happened(Event.SERVE)
    return run_suspending(serve_loop(server, turns, poll_interval))[1]


def waiting(server: Serving, turns: ScriptedTurns, wait: float = math.inf) -> tuple[Any, int]:
    """Run the loop for one request; return its result, and how often it suspended."""
    server._happened(Event.WAIT)
    return run_suspending(request_loop(server, turns, wait))


# serve_loop.


def test_a_stopped_server_does_not_serve() -> None:
    server = Server()
    server._happened(Event.SHUTDOWN)
    turns = ScriptedTurns(server)
    assert serving(server, turns) == 0
    assert (turns.calls, server.turns) == ([], 0)


def test_after_a_stop_nobody_is_let_in_nor_is_there_another_turn() -> None:
    server = Server()
    turns = ScriptedTurns(server)
    turns.waiting = 1
    serving(server, turns)
    assert (turns.calls, server.turns, turns.waiting) == (["sleep"], 0, 1)


def test_a_client_is_let_in_after_each_sleep_that_one_ended() -> None:
    server = Server()
    turns = ScriptedTurns(server)
    turns.script.extend([turns.client, nothing, turns.client])
    serving(server, turns)
    assert turns.calls == ["sleep", "let in", "sleep", "sleep", "let in", "sleep"]
    assert server.turns == server.attended == 3


def test_clients_are_let_in_without_a_sleep_while_there_are_more() -> None:
    server = Server()
    turns = ScriptedTurns(server, tries_first=True)
    turns.waiting = 3
    serving(server, turns)
    assert turns.calls == ["let in", "let in", "let in", "sleep"]
    assert server.turns == 3


def test_where_letting_in_might_block_each_client_is_waited_for() -> None:
    server = Server()
    turns = ScriptedTurns(server)
    turns.script.extend([lambda: turns.client(2), nothing])
    serving(server, turns)
    assert turns.calls == ["sleep", "let in", "sleep", "let in", "sleep"]


def test_a_server_that_is_suspended_meanwhile_lets_nobody_in() -> None:
    server = Server()
    turns = ScriptedTurns(server, tries_first=True)

    def suspend() -> None:
        turns.client()
        server.suspend()

    turns.script.extend([suspend, nothing, server.resume, nothing])
    serving(server, turns)
    assert turns.calls == ["let in", "sleep", "sleep", "sleep", "sleep", "let in", "sleep"]
    assert [plan.listen for plan in turns.plans] == [True, False, False, True, True]


def test_a_handler_may_stop_the_loop_that_let_it_in() -> None:
    class Turns(ScriptedTurns):
        def let_in(self) -> bool | Awaitable[bool]:
            self.stop()
            return super()._answer(True)

    server = Server()
    turns = Turns(server, tries_first=True)
    serving(server, turns)
    assert turns.calls == []
    assert server.turns == 1


def test_what_is_overdue_is_cut_in_the_turn_that_its_time_ends() -> None:
    server = Server(request_timeout=2.0)
    place = server._ledger.take("key", "client", 0.0, 2.0)
    turns = ScriptedTurns(server, pass_time(server, 2.0))
    serving(server, turns)
    assert turns.plans[0].until == 2.0
    assert place.cut


@pytest.mark.parametrize(("poll_interval", "until"), [(None, math.inf), (0.5, 10.5), (0.0, 10.0)])
def test_sleeps_end_for_service_actions(poll_interval: float | None, until: float) -> None:
    server = Server(time=10.0)
    turns = ScriptedTurns(server)
    serving(server, turns, poll_interval)
    assert turns.plans == [Plan(listen=True, until=until)]


def test_sleeps_do_not_end_for_service_actions_that_do_nothing() -> None:
    server = MemoryServer()
    turns = ScriptedTurns(server)
    serving(server, turns, 0.5)
    assert turns.plans == [Plan(listen=True, until=math.inf)]


def test_the_loop_suspends_as_often_as_its_backend_and_hooks_do() -> None:
    class Slow(MemoryServer):
        async def service_actions(self) -> None:
            await Pause()

    server = Slow()
    turns = ScriptedTurns(server, pauses=True)
    turns.script.append(turns.client)
    # Two sleeps, one client, one turn.
    assert serving(server, turns) == 4


def test_requests_that_were_let_in_before_the_stop_are_told_of_it() -> None:
    server = Server()
    turns = ScriptedTurns(server)
    turns.script.append(lambda: server._ledger.take("key", "client", 0.0))
    serving(server, turns)
    assert [place.stopped for place in server._ledger] == [True]


def test_an_error_of_letting_in_ends_the_loop() -> None:
    class Turns(ScriptedTurns):
        def let_in(self) -> bool:
            raise OSError("the listener is dead")

    server = Server()
    with pytest.raises(OSError, match="dead"):
        serving(server, Turns(server, tries_first=True))


# request_loop.


def test_one_client_is_let_in_and_no_more() -> None:
    server = Server()
    turns = ScriptedTurns(server, nothing)
    turns.script.append(lambda: turns.client(2))
    assert waiting(server, turns) == (None, 0)
    assert turns.calls == ["sleep", "sleep", "let in"]
    assert turns.waiting == 1
    assert not server._is_running()
    assert server.turns == 0, "service_actions() is for serve_forever()"


@pytest.mark.parametrize("is_coroutine", [False, True])
def test_when_the_time_has_passed_the_hook_is_called(is_coroutine: bool) -> None:
    class Timing(MemoryServer):
        def handle_timeout(self) -> Any:
            async def slowly() -> str:
                await Pause()
                return "result"

            assert not self._is_running()
            return slowly() if is_coroutine else "result"

    server = Timing(time=10.0)
    turns = ScriptedTurns(server, pass_time(server, 1.0), pass_time(server, 1.5))
    assert waiting(server, turns, 2.5) == ("result", int(is_coroutine))
    assert [plan.until for plan in turns.plans] == [12.5, 12.5]


def test_at_the_last_moment_a_client_comes_before_the_timeout() -> None:
    class Timing(MemoryServer):
        def handle_timeout(self) -> None:
            pytest.fail("a client was there")

    server = Timing()
    turns = ScriptedTurns(server)

    def both() -> None:
        turns.client()
        server.time = 5.0

    turns.script.append(both)
    waiting(server, turns, 5.0)
    assert turns.calls == ["sleep", "let in"]


def test_no_time_is_one_look() -> None:
    server = Server()
    turns = ScriptedTurns(server, nothing)
    assert waiting(server, turns, 0.0) == (None, 0)
    assert turns.calls == ["sleep"]


def test_a_stop_ends_the_wait_without_a_timeout() -> None:
    class Timing(MemoryServer):
        def handle_timeout(self) -> None:
            pytest.fail("it was stopped")

    server = Timing()
    turns = ScriptedTurns(server)
    assert waiting(server, turns, 0.0) == (None, 0)


def test_a_stop_that_came_first_wins_over_the_client() -> None:
    server = Server()
    turns = ScriptedTurns(server)

    def both() -> None:
        turns.client()
        turns.stop()

    turns.script.append(both)
    assert waiting(server, turns) == (None, 0)
    assert (turns.calls, turns.waiting) == (["sleep"], 1)


def test_while_suspended_nobody_is_let_in_and_the_time_passes() -> None:
    server = Server()
    turns = ScriptedTurns(server, pass_time(server, 1.0), pass_time(server, 1.0))
    server.suspend()
    turns.waiting = 1
    assert waiting(server, turns, 2.0) == (None, 0)
    assert turns.calls == ["sleep", "sleep"]
    assert not any(plan.listen for plan in turns.plans)


def test_a_stopped_server_does_not_wait() -> None:
    server = Server()
    server._happened(Event.SHUTDOWN)
    turns = ScriptedTurns(server)
    assert waiting(server, turns) == (None, 0)
    assert turns.calls == []


def test_the_wait_suspends_as_often_as_its_backend_does() -> None:
    server = Server()
    turns = ScriptedTurns(server, nothing, pauses=True)
    turns.script.append(turns.client)
    assert waiting(server, turns) == (None, 3)
