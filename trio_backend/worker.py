"""Who serves a request: a task, and what it has lent the work to."""

from __future__ import annotations

import sys
import traceback
from typing import Any

import trio

__all__ = ["Worker"]


class Worker:
    """The task that serves one request.

    :ivar scope: cancelled when the request is cut.
    :ivar thread: the ident of the thread that a blocking handler runs in; None if none does.
    :ivar greenlet: the greenlet that a blocking handler runs in; None if none does.
    """

    def __init__(self) -> None:
        self.task = trio.lowlevel.current_task()
        self.scope = trio.CancelScope()
        self.thread: int | None = None
        self.greenlet: Any = None

    def where(self) -> str:
        """Say where the work stands: the stack of the handler's thread, greenlet or task."""
        if self.thread is not None:
            frame = sys._current_frames().get(self.thread)
            return "" if frame is None else "".join(traceback.format_stack(frame))
        if self.greenlet is not None and self.greenlet.gr_frame is not None:
            return "".join(traceback.format_stack(self.greenlet.gr_frame))
        summary = traceback.StackSummary.extract(self.task.iter_await_frames())
        return "".join(summary.format())
