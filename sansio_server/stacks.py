"""The stack of a thread or a coroutine, for reports of those that would not end."""

from __future__ import annotations

import gc
import sys
import traceback
from collections.abc import Iterator
from types import AsyncGeneratorType, CoroutineType, FrameType, GeneratorType
from typing import Any, Final

__all__ = ["coroutine_stack", "thread_stack"]

_WRAPPERS: Final = frozenset({"coroutine_wrapper", "async_generator_asend"})


def thread_stack(ident: int | None) -> str:
    """Return the stack of a thread as tracebacks show it; nothing if there is no such thread."""
    frame = None if ident is None else sys._current_frames().get(ident)
    return "" if frame is None else "".join(traceback.format_stack(frame))


def coroutine_stack(coroutine: Any) -> str:
    """Return the stack of a coroutine that is suspended, down to what it awaits."""
    return "".join(traceback.StackSummary.extract(_frames(coroutine)).format())


def _frames(awaited: Any) -> Iterator[tuple[FrameType, int]]:
    while awaited is not None:
        if isinstance(awaited, CoroutineType) or hasattr(awaited, "cr_frame"):  # or shows one
            frame, following = awaited.cr_frame, awaited.cr_await
        elif isinstance(awaited, GeneratorType):
            frame, following = awaited.gi_frame, awaited.gi_yieldfrom
        elif isinstance(awaited, AsyncGeneratorType):
            frame, following = awaited.ag_frame, awaited.ag_await
        else:
            frame, following = None, _wrapped(awaited)
        if frame is not None:
            yield frame, frame.f_lineno
        awaited = following


def _wrapped(awaited: Any) -> Any:
    """Return what is awaited by way of *awaited*, which shows it to the collector alone.

    It is what ``__await__`` of a coroutine returned, or a step of an asynchronous generator.
    """
    if type(awaited).__name__ not in _WRAPPERS:
        return None
    wrapped = (CoroutineType, AsyncGeneratorType)
    return next((each for each in gc.get_referents(awaited) if isinstance(each, wrapped)), None)
