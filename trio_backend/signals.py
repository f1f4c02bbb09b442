"""What handlers of signals raise while a trio run has the main thread."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Final

import trio

__all__ = ["SignalErrors"]

_SIGNALS: Final = tuple(signal.valid_signals())


class SignalErrors:
    """Exceptions of signal handlers, which come between any two instructions of the main thread.

    One that came amid trio's own work would end the run and leave its tasks as they stand. Trio
    sees to that for Ctrl-C, where Python's own handler raises it. This does so for the other
    handlers: what they raise there is kept, and ends the loop where it waits.

    :ivar errors: those that are still to be raised, the last one last.
    """

    def __init__(self) -> None:
        self.errors: list[BaseException] = []
        self._end: Callable[[], object] | None = None
        self._over = False

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Meanwhile, keep what the handlers that are set now raise amid the work of trio."""
        if threading.current_thread() is not threading.main_thread():
            yield  # handlers run in the main thread alone
            return
        ours: dict[int, Any] = {}
        try:
            for number in _SIGNALS:
                theirs = signal.getsignal(number)
                if callable(theirs) and (number, theirs) != (
                    signal.SIGINT,
                    signal.default_int_handler,
                ):
                    ours[number] = theirs, self._keeping(theirs)
                    signal.signal(number, ours[number][1])
            yield
        finally:
            self._over = True
            for each, (former, keeping) in ours.items():
                if signal.getsignal(each) is keeping:
                    signal.signal(each, former)

    def _keeping(self, theirs: Callable[[int, FrameType | None], Any]) -> Callable[..., Any]:
        def handle(number: int, frame: FrameType | None) -> None:
            try:
                theirs(number, frame)
            except BaseException as error:
                if self._over or not trio.lowlevel.currently_ki_protected():
                    raise
                self.errors.append(error)
                if self._end is not None:
                    self._end()

        return handle

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Meanwhile, in a task, let what was kept cancel the task; and raise it then."""
        token = trio.lowlevel.current_trio_token()
        scope = trio.CancelScope()

        def end() -> None:
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(scope.cancel)

        with scope:
            self._end = end
            if self.errors:
                scope.cancel()
            yield
        if self.errors:
            raise self.errors.pop()
