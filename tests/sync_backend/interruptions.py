"""Interrupts a function at each of its instructions in turn, as a signal might."""

from __future__ import annotations

import inspect
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


class CtrlC:
    """Raises KeyboardInterrupt once, at the call of that number in our code or its return.

    Those are the points at which the interpreter runs a signal's handler.
    """

    def __init__(self, number: int) -> None:
        self._left = number
        self.pressed = False

    def profile(self, frame: FrameType, event: str, _arg: object) -> None:
        """Count calls of functions, and returns of built-in ones; for sys.setprofile()."""
        code = frame.f_code
        if event not in ("call", "c_return") or not code.co_filename.startswith(OURS):
            return
        if code.co_flags & inspect.CO_GENERATOR and frame.f_lineno != code.co_firstlineno:
            return  # it goes on with what was thrown into it, and looks for no signal before
        self._left -= 1
        if self._left < 0 and not self.pressed:
            self.pressed = True
            raise KeyboardInterrupt

    def press_during(self, function: Callable[[], object]) -> None:
        """Run a function in a thread of its own, to its end or to what Ctrl-C makes of it."""

        def run() -> None:
            sys.setprofile(self.profile)
            try:
                function()
            except KeyboardInterrupt:
                pass
            finally:
                sys.setprofile(None)

        thread = Thread(run)
        thread.start()
        thread.end()
