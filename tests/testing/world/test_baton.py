"""Threads that do one piece of work after the other, and gates between them."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import Any

import pytest

from sansio_server.testing import World
from sansio_server.testing.world.baton import Crew, Gate

PATIENCE = 10.0
variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def done(crew: Crew, work: Callable[[], object], *, fresh: bool = False) -> Any:
    """Have *work* done by *crew*; return what it returned, once its thread can be given more."""
    results: list[object] = []
    over = threading.Event()

    def job() -> Callable[[], object]:
        results.append(work())
        return over.set

    crew.start(job, fresh=fresh)
    assert over.wait(PATIENCE)
    return results[0]


def test_a_gate_lets_on_who_waits_or_will() -> None:
    gate, seen = Gate(), list[str]()

    def wait() -> None:
        gate.acquire()
        seen.append("through")

    thread = threading.Thread(target=wait)
    thread.start()
    gate.release()
    thread.join(PATIENCE)
    assert seen == ["through"]
    assert not gate.acquire(blocking=False)
    gate.release()
    assert gate.acquire(blocking=False)


def test_a_thread_does_one_work_after_the_other() -> None:
    with Crew() as crew:
        threads = {done(crew, threading.current_thread) for _ in range(3)}
        assert len(threads) == len(crew.threads) == 1
        assert all(thread.daemon for thread in threads)
    assert crew.threads == []
    assert not any(thread.is_alive() for thread in threads)


def test_there_are_as_many_threads_as_there_is_work_at_once() -> None:
    gates = [Gate(), Gate()]
    with Crew() as crew:
        for gate in gates:

            def job(gate: Gate = gate) -> Callable[[], object]:
                gate.acquire()
                return lambda: None

            crew.start(job)
        assert len(crew.threads) == 2
        for gate in gates:
            gate.release()


def test_a_fresh_thread_does_nothing_else() -> None:
    with Crew() as crew:
        first = done(crew, threading.current_thread)
        second = done(crew, threading.current_thread, fresh=True)
        assert second is not first
        second.join(PATIENCE)
        assert not second.is_alive()
        assert done(crew, threading.current_thread) is first


def test_context_variables_begin_anew() -> None:
    def set_and_tell() -> str:
        before = variable.get()
        variable.set("left by another")
        return before

    variable.set("the test's")
    with Crew() as crew:
        assert [done(crew, set_and_tell) for _ in range(2)] == ["unset", "unset"]
    assert variable.get() == "the test's"


def test_closing_waits_for_work_under_way() -> None:
    gate, ended = Gate(), list[str]()

    def job() -> Callable[[], object]:
        gate.acquire()
        return lambda: ended.append("ended")

    crew = Crew()
    crew.start(job)
    gate.release()
    crew.close()
    assert ended == ["ended"]
    assert crew.threads == []
    crew.close()  # once more does no harm


def test_threads_of_a_crew_are_the_systems_though_a_world_runs() -> None:
    """Or a thread that is to carry an actor would become an actor itself."""
    with Crew() as crew, World(crew=crew) as world:
        seen: list[bool] = []
        world.spawn("one", lambda: seen.append(threading.current_thread() in crew.threads))
        world.settle()
        assert seen == [True]
        assert world.actors == {}


def test_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with Crew() as crew:
        monkeypatch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start"):
            crew.start(lambda: lambda: None)
        monkeypatch.undo()
        assert done(crew, lambda: 1) == 1
