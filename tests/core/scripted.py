"""Servers whose hooks follow a script, and a model that says what should become of a request.

The model knows nothing of tables: it is `try` and `except` around the same script.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping
from contextvars import Context
from typing import Any, Protocol

import attrs

from sansio_server.driver import continue_request, run_blocking
from sansio_server.hooks import ServerHooks
from sansio_server.request import Step

from .memory import AsyncMemoryServer, Escape, Failure, MemoryServer, Pause, Request, run_suspending

#: By what each hook may become, what it does.
OUTCOMES = ("ok", "fail", "escape")

#: Runs the rest of the request in place, or gives it away, or runs it as a quick thread would.
Rest = Callable[[], Awaitable[None]]


@attrs.define
class Stage:
    """Where a script is played, and what was seen there.

    :ivar script: by hook, what it does each time.
    :ivar calls: the hooks, in the order in which they began.
    :ivar reported: what `handle_error` found being handled, each time.
    """

    script: Mapping[str, str]
    calls: list[str] = attrs.Factory(list)
    reported: list[str] = attrs.Factory(list)

    def act(self, hook: str) -> bool:
        self.calls.append(hook)
        label = f"{hook} {self.calls.count(hook)}"
        match self.script.get(hook, "ok"):
            case "fail":
                raise Failure(label)
            case "escape":
                raise Escape(label)
            case verdict:
                return verdict == "ok"

    def tell(self, error: BaseException | None) -> None:
        """Be `handle_error`; which of its two steps this is shows in what it is told."""
        self.reported.append(str(error))
        self.act("report" if str(error).startswith("shutdown") else "error")


@attrs.frozen
class Ending:
    """What became of a request.

    :ivar raised: what came out to who took it in.
    :ivar raised_elsewhere: what came out where it was given to.
    :ivar is_open: whether its place is still taken.
    :ivar errors: how many errors were counted.
    """

    calls: list[str]
    reported: list[str]
    raised: str
    raised_elsewhere: str
    is_open: bool
    errors: int


class Process(Protocol):
    """An override of `process_request`, for the model and for servers of any colour alike."""

    __name__: str

    def __call__(self, stage: Stage, here: Rest, give: Rest, thread: Rest, /) -> Awaitable[None]:
        """Choose where the rest runs."""


# The model.


class Model:
    """What should become of a request."""

    def __init__(self, script: Mapping[str, str], process: Process) -> None:
        self.stage = Stage(script)
        self.process = process
        self.closed_in_place = False
        self.given = False
        self.is_open = True
        self.errors = 0

    def play(self) -> Ending:
        raised = _caught(self.serve)
        elsewhere = _caught(self.elsewhere) if self.given else self.raised_in_thread
        return Ending(
            self.stage.calls, self.stage.reported, raised, elsewhere, self.is_open, self.errors
        )

    raised_in_thread = ""

    def serve(self) -> None:
        try:
            is_wanted = self.stage.act("verify")
        except BaseException as error:
            self.after(error)
            return
        if not is_wanted:
            self.close()
            return
        try:
            run_blocking(_coroutine(self.process(self.stage, self.here, self.give, self.thread)))
        except BaseException as error:
            if self.closed_in_place:
                raise
            self.after(error)

    def elsewhere(self, work: str = "finish") -> None:
        try:
            self.stage.act(work)
        except BaseException as error:
            self.after(error)
        else:
            self.close()

    async def here(self) -> None:
        self.stage.act("finish")
        try:
            self.close()
        except BaseException:
            self.closed_in_place = True
            raise

    async def give(self) -> None:
        self.given = True

    async def thread(self) -> None:
        self.raised_in_thread = _caught(self.elsewhere)

    def after(self, error: BaseException) -> None:
        """An error is told, an escape passed on; the request is closed whatever comes."""
        self.errors += 1
        try:
            if isinstance(error, Exception):
                self.tell(error)
        finally:
            self.close()
        if not isinstance(error, Exception):
            raise error

    def close(self) -> None:
        """An error of closing is told, too; there is no second close."""
        self.is_open = False
        try:
            self.stage.act("shutdown")
        except BaseException as error:
            self.errors += 1
            if not isinstance(error, Exception):
                raise
            self.tell(error)

    def tell(self, error: BaseException) -> None:
        try:
            self.stage.tell(error)
        except BaseException:
            self.errors += 1
            raise


def _caught(function: Callable[[], object]) -> str:
    try:
        function()
    except (Failure, Escape) as error:
        return str(error)
    return ""


async def _coroutine(awaitable: Awaitable[None]) -> None:
    await awaitable


# The servers.


class ScriptedServer(MemoryServer):
    """A server whose hooks are `def`, on a blocking backend."""

    def __init__(self, script: Mapping[str, str], process: Process) -> None:
        super().__init__()
        self.stage = Stage(script)
        self.process = process
        self.given = False
        self.raised_in_thread = ""
        bodies: dict[str, Callable[..., Any]] = {
            "verify_request": lambda request, address: self.stage.act("verify"),
            "finish_request": lambda request, address: self.stage.act("finish"),
            "shed_request": lambda request, address: self.stage.act("shed"),
            "shutdown_request": lambda request: self.stage.act("shutdown"),
            "handle_error": lambda request, address: self.stage.tell(sys.exc_info()[1]),
        }
        for hook, body in bodies.items():
            setattr(self, hook, self.coloured(body))

    def coloured(self, body: Callable[..., Any]) -> Callable[..., Any]:
        return body

    def run(self, coroutine: Any) -> None:
        run_blocking(coroutine)

    def process_request(self, request: Any, client_address: Any) -> Any:
        return run_blocking(self.choose(request, client_address))

    async def choose(self, request: Any, client_address: Any) -> None:
        async def here() -> None:
            result = ServerHooks.process_request(self, request, client_address)
            if result is not None:
                await result

        async def give() -> None:
            self.given = True

        async def thread() -> None:
            self.raised_in_thread = Context().run(
                _caught, lambda: self.run(self.elsewhere(request, client_address))
            )

        await self.process(self.stage, here, give, thread)

    async def elsewhere(self, request: Any, client_address: Any) -> None:
        rest = continue_request(self, Step.FINISH, request, client_address, "worker")
        if rest is not None:
            await rest

    def play(self, entry: Step = Step.VERIFY) -> Ending:
        """Take a request in, and serve it elsewhere if it is given away."""
        request = Request()
        raised = _caught(lambda: self.run(self.start(request, entry)))
        elsewhere = self.raised_in_thread
        if self.given:
            elsewhere = Context().run(_caught, lambda: self.run(self.elsewhere(request, "client")))
        return Ending(
            self.stage.calls,
            self.stage.reported,
            raised,
            elsewhere,
            len(self._ledger) == 1,
            self.counters.errors,
        )


class CoroutineServer(ScriptedServer):
    """A server whose hooks are `async def` and never suspend, on a blocking backend."""

    def coloured(self, body: Callable[..., Any]) -> Callable[..., Any]:
        async def hook(*args: Any) -> Any:
            return body(*args)

        return hook

    async def process_request(self, request: Any, client_address: Any) -> None:
        await self.choose(request, client_address)


class SuspendingServer(CoroutineServer, AsyncMemoryServer):
    """A server whose hooks are `async def` and suspend, on an asynchronous backend."""

    def coloured(self, body: Callable[..., Any]) -> Callable[..., Any]:
        async def hook(*args: Any) -> Any:
            await Pause()
            result = body(*args)
            await Pause()
            return result

        return hook

    def run(self, coroutine: Any) -> None:
        run_suspending(coroutine)


COLOURS: Mapping[str, type[ScriptedServer]] = {
    "def": ScriptedServer,
    "async def": CoroutineServer,
    "suspending": SuspendingServer,
}


# Overrides of process_request.


async def in_place(stage: Stage, here: Rest, give: Rest, thread: Rest) -> None:
    stage.calls.append("process")
    await here()


async def reraises(stage: Stage, here: Rest, give: Rest, thread: Rest) -> None:
    try:
        await here()
    except BaseException:
        stage.calls.append("seen")
        raise


async def in_finally(stage: Stage, here: Rest, give: Rest, thread: Rest) -> None:
    try:
        await here()
    finally:
        stage.calls.append("timed")


async def catches_errors(stage: Stage, here: Rest, give: Rest, thread: Rest) -> None:
    try:
        await here()
    except Exception:
        stage.calls.append("caught")


async def catches_all(stage: Stage, here: Rest, give: Rest, thread: Rest) -> None:
    try:
        await here()
    except BaseException:
        stage.calls.append("caught")


async def translates(stage: Stage, here: Rest, give: Rest, thread: Rest) -> None:
    """As the script has it for `process`: into an error, or into an escape."""
    try:
        await here()
    except BaseException:
        stage.act("process")


async def tries_again(stage: Stage, here: Rest, give: Rest, thread: Rest) -> None:
    try:
        await here()
    except Failure as error:
        if not str(error).startswith("finish"):
            raise
        await here()


async def raises_before(stage: Stage, here: Rest, give: Rest, thread: Rest) -> None:
    stage.act("process")
    await here()


async def raises_after(stage: Stage, here: Rest, give: Rest, thread: Rest) -> None:
    await here()
    stage.act("process")


async def gives(stage: Stage, here: Rest, give: Rest, thread: Rest) -> None:
    await give()


async def gives_and_raises(stage: Stage, here: Rest, give: Rest, thread: Rest) -> None:
    await give()
    stage.act("process")


async def raises_after_a_quick_thread(stage: Stage, here: Rest, give: Rest, thread: Rest) -> None:
    await thread()
    stage.act("process")


#: Whether `process` has a part of its own in the script.
IN_PLACE: Mapping[Process, bool] = {
    in_place: False,
    reraises: False,
    in_finally: False,
    catches_errors: False,
    catches_all: False,
    tries_again: False,
    translates: True,
    raises_before: True,
    raises_after: True,
}
ELSEWHERE: Mapping[Process, bool] = {
    gives: False,
    gives_and_raises: True,
    raises_after_a_quick_thread: True,
}
