"""Interrupts a function at each of its instructions in turn, as a signal might."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from tests.sync_backend.support import ROOT, Thread

# Where interruptions are tried: our code, and, as a rule, the locks and events that it may use.
OURS = tuple(str(ROOT / name) for name in ("sansio_server", "sync_backend", "trio_backend"))
_TRACED = (*OURS, threading.__file__)


class Interruption:
    """Calls *handler* once, before the instruction of that number in *traced* code."""

    def __init__(
        self, number: int, handler: Callable[[], object], traced: tuple[str, ...] = _TRACED
    ) -> None:
        self._left = number
        self._handler = handler
        self._traced = traced
        self.done = False

    def trace(self, frame: FrameType, event: str, _arg: object) -> Any:
        """Count instructions; this is what sys.settrace() takes."""
        if not frame.f_code.co_filename.startswith(self._traced):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode" and not self.done:
            self._left -= 1
            if self._left < 0:
                self.happen()
        return self.trace

    def happen(self) -> None:
        """Call the handler if it was not called before. In a trace, nothing is traced."""
        if not self.done:
            self.done = True
            self._handler()


def run_interrupted(function: Callable[[], object], interruption: Interruption) -> None:
    """Run a function in a thread of its own, to its end; it must not hang."""

    def run() -> None:
        sys._getframe().f_trace_opcodes = True  # Python 3.12 looks for one that is when it sets out
        sys.settrace(interruption.trace)
        try:
            function()
        finally:
            sys.settrace(None)

    thread = Thread(run)
    thread.start()
    thread.end()
