"""Who serves a request: a task, and what it has lent the work to."""

from __future__ import annotations

import traceback
from typing import Any

import trio

from sansio_server.ledger import Place
from sansio_server.stacks import coroutine_stack, thread_stack

from .scopes import KeptScope

__all__ = ["Worker"]


class Worker:
    """A task that serves one request, or is about to.

    :ivar place: the request's place.
    :ivar came: the request as it came.
    :ivar request: the request as the one at work was given it last.
    :ivar outer: who was at work on the same request when this one began; it goes on afterwards.
    :ivar task: the task; None before it begins.
    :ivar scope: cancelled when the request is cut; entered by the task as it begins.
    :ivar ended: whether the work is done.
    :ivar thread: the ident of the thread that a blocking handler runs in; None if none does.
    :ivar greenlet: the greenlet that a blocking handler runs in; None if none does.
    """

    __slots__ = (
        "came",
        "ended",
        "greenlet",
        "outer",
        "place",
        "request",
        "scope",
        "task",
        "thread",
    )

    def __init__(
        self,
        place: Place,
        request: Any,
        outer: Worker | None = None,
        scope: trio.CancelScope | KeptScope | None = None,
    ) -> None:
        self.place = place
        self.came = self.request = request
        self.outer = outer
        self.task: trio.lowlevel.Task | None = None
        self.scope = trio.CancelScope() if scope is None else scope
        self.ended = False
        self.thread: int | None = None
        self.greenlet: Any = None

    def cancel(self) -> None:
        """Cut the request, whoever is at work on it."""
        worker: Worker | None = self
        while worker is not None:
            if not worker.ended:  # its scope may be another's by now
                worker.scope.cancel()
            worker = worker.outer

    def where(self) -> str:
        """Say where the work stands: the stack of the handler's thread, greenlet or task."""
        if self.thread is not None:
            return thread_stack(self.thread)
        if self.greenlet is not None and self.greenlet.gr_frame is not None:
            return "".join(traceback.format_stack(self.greenlet.gr_frame))
        return "" if self.task is None else coroutine_stack(self.task.coro)
