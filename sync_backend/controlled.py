"""A server whose events may come from any thread and any signal handler."""

from __future__ import annotations

import threading
import time
from contextlib import AbstractContextManager
from typing import Any

from sansio_server.lifecycle import Event
from sansio_server.serving import Serving
from sansio_server.trace import TraceKind

from .control import Control, Loop

__all__ = ["Controlled", "ControlledTurns"]


class Controlled(Serving):
    """The part of a server that brings its events in order, for every backend with threads."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._control = Control(self._lifecycle, self._seen)

    #: Returns the time in seconds on the monotonic clock.
    _now = staticmethod(time.monotonic)

    def _happened(self, event: Event) -> None:
        self._control.post(event)

    def _seen(self, event: Event) -> None:
        """Tell of *event*, which has just happened, perhaps in a thread or a signal handler."""
        self._emit(TraceKind.STATE, 0, event.name, self._lifecycle.loop.name)

    def _released(self) -> None:
        super()._released()
        self._control.wake()

    def _new_lock(self) -> AbstractContextManager[Any]:
        return threading.RLock()  # a signal's handler may come to it again


class ControlledTurns:
    """What is the same in the turns of every loop of such a server.

    :ivar tries_first: see :class:`~sansio_server.loop.Turns`.
    :ivar loop: the loop that takes these turns.
    """

    tries_first = False
    loop: Loop

    _server: Controlled

    def end(self, event: Event) -> bool:
        """Put *event*, which ends the loop, to the lifecycle; return False if a stop came first."""
        return self._server._control.end(self.loop, event)
