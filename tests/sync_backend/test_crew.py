from __future__ import annotations

import contextvars
import gc
import os
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sansio_server.ledger import Place
from sync_backend import crew as crews
from sync_backend.crew import Crew
from tests.sync_backend import programs
from tests.sync_backend.support import PATIENCE, Program, in_thread

BOTH = pytest.mark.parametrize("reuse", [False, True], ids=["new", "reused"])


class Team:
    """A crew, and what its jobs have left."""

    def __init__(self) -> None:
        self.progress = threading.Condition()
        self.crew = Crew(self.progress)
        self.results: list[Any] = []
        self.numbers = iter(range(1, 1000))

    def start(
        self, target: Callable[[], object], *, reuse: bool = False, daemon: bool = False
    ) -> Place:
        number = next(self.numbers)
        place = Place(number, number, "client", 0.0)
        self.crew.start(self._run, (target,), place, daemon=daemon, reuse=reuse)
        return place

    def _run(self, target: Callable[[], object]) -> None:
        self.results.append(target())

    def wait(self) -> None:
        """Wait for the end of all jobs."""
        with self.progress:
            assert self.progress.wait_for(lambda: len(self.crew) == 0, PATIENCE)

    def do(self, target: Callable[[], object], *, reuse: bool = False) -> Any:
        """Return the result of one job."""
        self.start(target, reuse=reuse)
        self.wait()
        return self.results.pop()


@pytest.fixture
def team() -> Iterator[Team]:
    team = Team()
    yield team
    team.crew.dismiss()


@BOTH
def test_a_job_runs_in_another_thread(team: Team, reuse: bool) -> None:
    assert team.do(threading.get_ident, reuse=reuse) != threading.get_ident()


def test_a_thread_of_its_own_is_named_as_any_thread_is(team: Team) -> None:
    assert team.do(lambda: threading.current_thread().name).endswith(" (_run)")


@BOTH
def test_a_job_is_known_until_it_ends(team: Team, reuse: bool) -> None:
    go_on = threading.Event()
    place = team.start(lambda: go_on.wait(PATIENCE), reuse=reuse)
    [job] = team.crew.jobs()
    assert place.worker is job
    assert job.place is place
    go_on.set()
    team.wait()
    assert len(team.crew) == 0
    assert place.worker is None


@BOTH
def test_a_job_knows_its_thread(team: Team, reuse: bool) -> None:
    assert team.do(lambda: team.crew.jobs()[0].ident == threading.get_ident(), reuse=reuse)


@pytest.mark.parametrize("daemon", [False, True])
def test_a_thread_of_its_own_is_a_daemon_if_it_shall(team: Team, daemon: bool) -> None:
    team.start(lambda: threading.current_thread().daemon, daemon=daemon)
    team.wait()
    assert team.results == [daemon]


def test_the_same_thread_serves_again(team: Team) -> None:
    idents = {team.do(threading.get_ident, reuse=True) for _ in range(5)}
    assert len(idents) == 1


def test_a_thread_that_is_busy_is_not_waited_for(team: Team) -> None:
    go_on = threading.Event()
    team.start(lambda: go_on.wait(PATIENCE), reuse=True)
    team.start(go_on.set, reuse=True)
    team.wait()


def test_context_variables_are_fresh_for_each_job(team: Team) -> None:
    variable = contextvars.ContextVar("variable", default=0)

    def count() -> int:
        variable.set(variable.get() + 1)
        return variable.get()

    variable.set(100)
    assert [team.do(count, reuse=True) for _ in range(3)] == [1, 1, 1]


def test_what_lives_in_the_thread_outlives_a_job(team: Team) -> None:
    local = threading.local()

    def count() -> int:
        local.count = getattr(local, "count", 0) + 1
        return int(local.count)

    assert [team.do(count, reuse=True) for _ in range(3)] == [1, 2, 3]


@BOTH
def test_nothing_of_a_job_is_kept(team: Team, reuse: bool) -> None:
    class Request:
        def serve(self) -> None:
            pass

    request = Request()
    forgotten = weakref.ref(request)
    team.start(request.serve, reuse=reuse)
    del request
    team.wait()
    team.results.clear()
    team.crew.dismiss()
    gc.collect()
    assert forgotten() is None


@BOTH
def test_an_exception_goes_where_threads_take_it(
    team: Team, reuse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    caught: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", caught.append)
    team.start(lambda: 1 / 0, reuse=reuse)
    team.wait()
    team.crew.dismiss()
    [args] = caught
    assert args.exc_type is ZeroDivisionError
    assert args.thread is not None
    assert not args.thread.is_alive()
    caught.clear()


def test_after_an_exception_another_thread_serves(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    team.start(lambda: 1 / 0, reuse=True)
    team.wait()
    assert team.do(lambda: "served", reuse=True) == "served"


@BOTH
def test_a_thread_that_cannot_start_is_forgotten(
    team: Team, reuse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        with pytest.raises(RuntimeError, match="can't start"):
            team.start(print, reuse=reuse)
    assert len(team.crew) == 0
    assert team.do(lambda: "served", reuse=reuse) == "served"


@BOTH
@pytest.mark.parametrize("begun", [False, True])
def test_an_interrupted_start_leaves_a_job_to_who_is_at_it(
    team: Team, reuse: bool, begun: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    begins, go_on = threading.Event(), threading.Event()
    threads = []
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        threads.append(thread)
        if begun:
            start(thread)
            assert begins.wait(PATIENCE)
        raise KeyboardInterrupt

    def work() -> None:
        begins.set()
        go_on.wait(PATIENCE)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            team.start(work, reuse=reuse)
    if begun:
        assert len(team.crew) == 1
    else:
        assert len(team.crew) == 0
        start(threads[0])  # as one does that the system has started late
    go_on.set()
    team.wait()
    team.crew.dismiss()
    threads[0].join(PATIENCE)
    assert not threads[0].is_alive()
    assert begins.is_set() is begun


@BOTH
def test_whoever_starts_a_thread_in_a_crowd_does_not_wait_until_it_begins(
    team: Team, reuse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_begin = threading.Event()
    bootstrap = threading.Thread._bootstrap  # type: ignore[attr-defined]

    def begin_late(thread: threading.Thread) -> None:
        may_begin.wait(PATIENCE)
        bootstrap(thread)

    monkeypatch.setattr(crews, "CROWD", 0)
    monkeypatch.setattr(threading.Thread, "_bootstrap", begin_late)
    team.start(lambda: "served", reuse=reuse)
    assert [job.ident for job in team.crew.jobs()] == [None]
    may_begin.set()
    team.wait()
    assert team.results == ["served"]


@BOTH
def test_a_thread_of_a_crowd_may_fork(
    team: Team, reuse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fork() -> int:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that there are other threads
            pid = os.fork()
        if pid == 0:
            os._exit(0 if threading.current_thread().is_alive() else 1)
        return os.waitpid(pid, 0)[1]

    monkeypatch.setattr(crews, "CROWD", 0)
    assert team.do(fork, reuse=reuse) == 0


def test_threads_that_have_ended_do_not_pile_up(team: Team) -> None:
    for _ in range(50):
        team.do(int)
    assert len(team.crew._leaving) < 10


def test_an_idle_thread_ends_after_a_while(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crews, "IDLE_SECONDS", 0.001)
    thread = team.do(threading.current_thread, reuse=True)
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert team.do(threading.current_thread, reuse=True) is not thread


def test_a_job_given_just_as_the_thread_gives_up_waiting_is_done(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The thread has waited long enough when it is given a job, before it could say that it ends.
    retire = Crew.retire

    def give_first(crew: Crew, worker: Any) -> bool:
        monkeypatch.setattr(Crew, "retire", retire)
        team.start(threading.current_thread, reuse=True)
        return retire(crew, worker)

    monkeypatch.setattr(crews, "IDLE_SECONDS", 0.001)
    monkeypatch.setattr(Crew, "retire", give_first)
    team.start(threading.current_thread, reuse=True)
    with team.progress:
        assert team.progress.wait_for(lambda: len(team.results) == 2, PATIENCE)
    assert team.results[0] is team.results[1]


@BOTH
def test_after_dismissal_no_thread_is_left(team: Team, reuse: bool) -> None:
    others = threading.active_count()
    for _ in range(20):
        for _ in range(3):
            team.start(threading.current_thread, reuse=reuse)
        team.wait()
        team.crew.dismiss()
        assert threading.active_count() == others
    assert not any(thread.is_alive() for thread in team.results)


def test_a_thread_at_work_when_dismissed_ends_with_its_job(team: Team) -> None:
    go_on = threading.Event()

    def wait() -> threading.Thread:
        go_on.wait(PATIENCE)
        return threading.current_thread()

    team.start(wait, reuse=True)
    team.crew.dismiss()
    go_on.set()
    team.wait()
    [thread] = team.results
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_a_dismissed_crew_may_be_taken_on_again(team: Team) -> None:
    assert team.do(lambda: 1, reuse=True) == 1
    team.crew.dismiss()
    assert team.do(lambda: 2, reuse=True) == 2
    thread = team.do(threading.current_thread, reuse=True)
    assert thread.is_alive()


def test_a_job_may_dismiss_its_crew(team: Team) -> None:
    team.do(team.crew.dismiss, reuse=True)
    team.do(team.crew.dismiss)


def test_at_exit_jobs_are_waited_for_that_are_no_daemons(team: Team) -> None:
    go_on = threading.Event()
    team.start(lambda: go_on.wait(PATIENCE), reuse=True, daemon=True)
    team.crew.wait_for_all()
    team.start(lambda: go_on.wait(PATIENCE), reuse=True)
    with in_thread(team.crew.wait_for_all) as waiting:
        assert waiting.is_alive()
        go_on.set()
    team.wait()


def test_an_idle_thread_does_not_hold_up_the_exit() -> None:
    with Program(programs.leave_an_idle_thread) as program:
        assert program.hear() == "done"
        # Far sooner than an idle thread gives up.
        program.process.wait(crews.IDLE_SECONDS / 2)
        assert program.end() == []


@pytest.mark.parametrize(
    "leave", [programs.leave_a_thread_at_work, programs.leave_a_thread_that_has_not_begun]
)
def test_a_thread_at_work_is_waited_for_at_exit(leave: Callable[[], None]) -> None:
    with Program(leave) as program:
        assert program.hear() == "at work"
        program.tell("go on")
        assert program.end() == ["done"]
