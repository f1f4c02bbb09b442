"""A blocking hook that the task of an event loop has called in a thread."""

from __future__ import annotations

from collections.abc import Callable
from threading import get_ident
from typing import Any, Protocol

from sansio_server.deferred import Deferred, close, is_awaitable, settled, take_deferred

__all__ = ["ThreadCall", "ThreadUser"]


class ThreadUser(Protocol):
    """Who serves a request, and has a thread do some of it.

    :ivar thread: the ident of that thread; None while there is none.
    """

    thread: int | None


class ThreadCall:
    """One call of a hook in a thread: :meth:`run` there, then :meth:`outcome` in the task.

    :param user: who serves the request, to be told of the thread.
    :param hook: what to call.
    :param args: its arguments.
    """

    __slots__ = ("_args", "_deferred", "_failure", "_hook", "_result", "_user")

    def __init__(self, user: ThreadUser, hook: Callable[..., Any], *args: Any) -> None:
        self._user = user
        self._hook = hook
        self._args = args
        self._result: Any = None
        self._failure: BaseException | None = None
        self._deferred: tuple[Deferred, ...] = ()

    def run(self) -> None:
        """Call the hook, and keep what it raises for the task: event loops would hold on to it."""
        self._user.thread = get_ident()
        try:
            self._result = self._hook(*self._args)
        except BaseException as error:  # noqa: BLE001 - raised in the task
            self._failure = error
        finally:
            self._user.thread = None
            self._deferred = take_deferred()

    async def outcome(self) -> Any:
        """Return the hook's result, after what is to be awaited of it; or raise what it raised."""
        try:
            if self._failure is not None:
                raise self._failure
            result, self._result = self._result, None
            return await settled(result, self._deferred)
        finally:
            self.drop()

    def drop(self) -> None:
        """Let go of the outcome; this is to be called where it is not asked for."""
        self._failure = None  # or it would hold itself, and what the handler has left open
        if is_awaitable(self._result):
            close(self._result)
        self._result = None
        for each in self._deferred:
            each.drop()
