"""Tasks that serve one request after the other, as long as none has to wait.

A datagram is answered within a few microseconds as a rule, and a task for each would cost more than
all else. So tasks are kept. In a turn of the loop one of them receives, serves, receives again, and
so on, for as long as nothing makes it wait. When a handler waits, its task is that request's until
its end, and another goes on. The loop itself only says when.
"""

from __future__ import annotations

import contextvars
from collections.abc import Coroutine
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

import trio

from sansio_server.driver import drive
from sansio_server.limits import Admission
from sansio_server.tasks import BATCH

from .worker import Worker

if TYPE_CHECKING:
    from .tasks import Tasks

__all__ = ["Begun", "Relay"]

_WAIT: Final = Admission.WAIT


class Relay:
    """The tasks of one run of a loop.

    :param server: the server, whose ``get_request()`` does not wait.
    :param nursery: where the tasks are started.
    """

    def __init__(self, server: Tasks, nursery: trio.Nursery) -> None:
        self._server = server
        self._nursery = nursery
        self._idle: list[_Runner] = []
        # How many begin a turn: as many as were made to wait in the last one.
        self._width = 1
        self._ended = False

    async def turn(self) -> None:
        """Let in who is there, as far as there is room, and a batch of them at most.

        Call this as :meth:`.Turns.let_in` of a loop.

        :raises OSError: the listener is dead.
        """
        turn = _Turn()
        try:
            while turn.left:
                for _ in range(min(self._width, turn.left)):
                    self._call(turn)
                await turn.wait()
                if turn.left:  # all of them have been made to wait
                    self._width = min(2 * self._width, BATCH)
        finally:
            turn.left = 0
        self._width = max(1, turn.waiting)
        if turn.failure is not None:
            self._server._not_fetched(turn.failure)

    def _call(self, turn: _Turn) -> None:
        turn.running += 1
        if self._idle:
            runner = self._idle.pop()
            runner.turn = turn
            trio.lowlevel.reschedule(runner.task)
        else:
            self._nursery.start_soon(self._run, _Runner(turn))

    def end(self) -> None:
        """Let the tasks end that serve nobody, and the others when they have served."""
        self._ended = True
        while self._idle:
            trio.lowlevel.reschedule(self._idle.pop().task)

    # In the tasks.

    async def _run(self, runner: _Runner) -> None:
        runner.task = task = trio.lowlevel.current_task()
        own = task.context
        # One for many requests, since to enter one costs as much as a datagram. Who was cut is
        # the last in it.
        with trio.CancelScope() as runner.scope:
            while runner.turn is not None:
                rest = self._serve_in_a_row(runner, runner.turn)
                if rest is not None:
                    await rest
                    rest = None
                if runner.scope.cancel_called or self._ended or len(self._idle) >= BATCH:
                    return
                task.context = own
                await self._wait_for_turn(runner)

    async def _wait_for_turn(self, runner: _Runner) -> None:
        def abort(_: object) -> trio.lowlevel.Abort:
            self._idle.remove(runner)
            return trio.lowlevel.Abort.SUCCEEDED

        runner.turn = None
        self._idle.append(runner)
        await trio.lowlevel.wait_task_rescheduled(abort)

    def _serve_in_a_row(self, runner: _Runner, turn: _Turn) -> Begun | None:
        """Serve until the turn is over; or until one has to wait, the rest of which is returned."""
        server, scope = self._server, runner.scope
        begun: Begun | None = None
        try:
            while turn.left and not scope.cancel_called:
                if not server._is_running() or server._admission() is _WAIT:
                    turn.left = 0
                    break
                turn.left -= 1
                try:
                    pair = server._fetch()
                except OSError as error:
                    turn.failure = error
                    turn.left = 0
                    break
                begun = self._begin(runner, turn, pair)
                if begun is not None:
                    break
        except BaseException:
            turn.left = 0  # nobody is let in any more
            raise
        finally:
            turn.leave(waiting=begun is not None)
        return begun

    def _begin(self, runner: _Runner, turn: _Turn, pair: Any) -> Begun | None:
        """Serve a request in a context of its own, as if in a task of its own, until it waits."""
        server, task = self._server, runner.task
        entry, request, client_address, place = server._take_in(pair)
        worker = Worker(place, request, scope=runner.scope)
        worker.task = task
        server._workers[place] = place.worker = worker
        task.context = context = turn.context.copy()
        work = server._work(worker, drive, server, entry, request, client_address, place)
        try:
            trap = context.run(work.send, None)
        except StopIteration:
            return None
        return Begun(work, trap)


class _Runner:
    """A task.

    :ivar turn: the turn that it takes part in; None for none.
    :ivar task: the task itself.
    :ivar scope: around all that it does.
    """

    __slots__ = ("scope", "task", "turn")

    task: trio.lowlevel.Task
    scope: trio.CancelScope

    def __init__(self, turn: _Turn) -> None:
        self.turn: _Turn | None = turn


class _Turn:
    """A turn of the loop. To be made in the loop's task.

    :ivar left: how many more may be let in; 0 if the turn is over.
    :ivar running: how many tasks take part, or are about to.
    :ivar waiting: how many have been made to wait.
    :ivar failure: what ``get_request()`` raised.
    :ivar context: what requests have copies of.
    """

    __slots__ = ("_loop", "context", "failure", "left", "running", "waiting")

    def __init__(self) -> None:
        self.left = BATCH
        self.running = self.waiting = 0
        self.failure: OSError | None = None
        self.context = contextvars.copy_context()
        self._loop: trio.lowlevel.Task | None = None

    async def wait(self) -> None:
        """Wait until the turn is over, or nobody takes part in it any more."""

        def abort(_: object) -> trio.lowlevel.Abort:
            self._loop = None
            return trio.lowlevel.Abort.SUCCEEDED

        self._loop = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(abort)

    def leave(self, *, waiting: bool) -> None:
        """Take part no more, for one reason or the other."""
        self.running -= 1
        self.waiting += waiting
        if self._loop is not None and not (self.running and self.left):
            loop, self._loop = self._loop, None
            trio.lowlevel.reschedule(loop)


class Begun:
    """The rest of a coroutine that waits already, to be awaited in the same task.

    Shows itself as that coroutine to those who look for stacks.

    :param coroutine: the coroutine.
    :param trap: what it has asked of the event loop.
    """

    __slots__ = ("_coroutine", "_trap")

    def __init__(self, coroutine: Coroutine[Any, Any, None], trap: Any) -> None:
        self._coroutine: Any = coroutine
        self._trap = trap

    def __await__(self) -> Begun:
        return self

    __iter__ = __await__

    def __next__(self) -> Any:
        return self.send(None)

    def send(self, answer: Any) -> Any:
        """Go on with what the event loop answers; at first, ask it."""
        trap, self._trap = self._trap, None
        return self._coroutine.send(answer) if trap is None else trap

    def throw(self, *error: Any) -> Any:
        """Go on with an exception."""
        return self._coroutine.throw(*error)

    def close(self) -> None:
        """Give it up."""
        self._coroutine.close()

    @property
    def cr_frame(self) -> FrameType | None:
        """Where it stands."""
        frame: FrameType | None = self._coroutine.cr_frame
        return frame

    @property
    def cr_await(self) -> Any:
        """What it awaits."""
        return self._coroutine.cr_await
