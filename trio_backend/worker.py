"""Who serves a request: a task, and what it has lent the work to."""

from __future__ import annotations

import gc
import sys
import traceback
from collections.abc import Iterator
from typing import Any, Final

import trio

from sansio_server.ledger import Place

__all__ = ["Worker"]


#: What coroutines, generators and asynchronous generators call their frame, and what they await.
_NAMES: Final = (
    ("cr_frame", "cr_await"),
    ("gi_frame", "gi_yieldfrom"),
    ("ag_frame", "ag_await"),
)


class Worker:
    """A task that serves one request, or is about to.

    :ivar place: the request's place.
    :ivar came: the request as it came.
    :ivar request: the request as the one at work was given it last.
    :ivar outer: who was at work on the same request when this one began; it goes on afterwards.
    :ivar task: the task; None before it begins.
    :ivar scope: cancelled when the request is cut.
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

    def __init__(self, place: Place, request: Any, outer: Worker | None = None) -> None:
        self.place = place
        self.came = self.request = request
        self.outer = outer
        self.task: trio.lowlevel.Task | None = None
        self.scope = trio.CancelScope()
        self.ended = False
        self.thread: int | None = None
        self.greenlet: Any = None

    def cancel(self) -> None:
        """Cut the request, whoever is at work on it."""
        worker: Worker | None = self
        while worker is not None:
            worker.scope.cancel()
            worker = worker.outer

    def where(self) -> str:
        """Say where the work stands: the stack of the handler's thread, greenlet or task."""
        if self.thread is not None:
            frame = sys._current_frames().get(self.thread)
            return "" if frame is None else "".join(traceback.format_stack(frame))
        if self.greenlet is not None and self.greenlet.gr_frame is not None:
            return "".join(traceback.format_stack(self.greenlet.gr_frame))
        if self.task is None:
            return ""
        return "".join(traceback.StackSummary.extract(_frames(self.task.coro)).format())


def _frames(awaited: Any) -> Iterator[tuple[Any, int]]:
    """Yield the frames of a coroutine and of what it awaits, with their line numbers.

    As ``Task.iter_await_frames`` of trio, but for what an object with ``__await__`` hands on.
    """
    while awaited is not None:
        names = _names(awaited)
        if names is None:
            # What coroutine.__await__() and the like return does not show its coroutine.
            awaited = next(filter(_names, gc.get_referents(awaited)), None)
            continue
        frame, awaits = names
        if (running := getattr(awaited, frame)) is not None:
            yield running, running.f_lineno
        awaited = getattr(awaited, awaits)


def _names(awaited: Any) -> tuple[str, str] | None:
    return next((names for names in _NAMES if hasattr(awaited, names[0])), None)
