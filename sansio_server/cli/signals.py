"""Ctrl-C and SIGTERM as things that happen, one after the other, beside others that happen."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

__all__ = ["STOP_SIGNALS", "telling"]

#: What asks a program to stop: Ctrl-C, and what service managers send.
STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


#: How many are being told.
_tells = 0


def _in_child() -> None:
    # A handler of Python's runs late if the signal comes just before a system call that waits.
    if _tells:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


os.register_at_fork(after_in_child=_in_child)


@contextmanager
def telling(tell: Callable[[signal.Signals], object]) -> Iterator[None]:
    """Call *tell* with each stop signal that comes, in the main thread, between two steps of it.

    In forked children Ctrl-C, which a terminal sends to them too, does nothing, so that a request
    under way can end; SIGTERM ends a child at once.
    """
    global _tells
    home = os.getpid()

    def on_signal(number: int, _: FrameType | None) -> None:
        if os.getpid() == home:
            tell(signal.Signals(number))
        elif number == signal.SIGTERM:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    former = {number: signal.signal(number, on_signal) for number in STOP_SIGNALS}
    _tells += 1
    try:
        yield
    finally:
        _tells -= 1
        for number, handler in former.items():
            # None stands for a handler that was not set by Python, and can't be set by it again.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
