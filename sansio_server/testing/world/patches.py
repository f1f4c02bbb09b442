"""What a world puts in the place of the clock, of locks, threads and pids while it runs.

Each of these functions looks who calls it: for a thread that is part of a world it does what the
world does, for all others what it always did. What was imported by name before (``from time import
sleep``) is not seen here; nor is what is written in C and waits by itself.
"""

from __future__ import annotations

import math
import os
import queue
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread, get_ident
from typing import TYPE_CHECKING, Any, Final

from .errors import Unwound
from .locks import Lock, RLock
from .membership import find_world

if TYPE_CHECKING:
    from .world import World

__all__ = ["EPOCH", "patched"]

#: What ``time.time()`` shows when a world begins: 2000-01-01 00:00:00 UTC.
EPOCH: Final = 946_684_800.0

_BILLION: Final = 1_000_000_000

#: Here some of their private names are needed, so that a world's threads look like all others.
_queue: Final[Any] = queue
_threading: Final[Any] = threading


def _dispatching(original: Callable[..., Any], in_world: Callable[..., Any]) -> Callable[..., Any]:
    """Return what calls *in_world* with the world of the caller before the arguments, if any."""

    def either(*args: Any, **kwargs: Any) -> Any:
        world = find_world()
        return original(*args, **kwargs) if world is None else in_world(world, *args, **kwargs)

    return either


def _now(world: World) -> float:
    return world.now


def _now_ns(world: World) -> int:
    return round(world.now * _BILLION)


def _time(world: World) -> float:
    return EPOCH + world.now


def _time_ns(world: World) -> int:
    return round((EPOCH + world.now) * _BILLION)


def _sleep_in(world: World, seconds: float) -> None:
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    world.sleep(seconds)


def _simple_queue(world: World) -> Any:
    return _queue._PySimpleQueue()


def _full_name(world: World, name: str = "") -> str:
    return name or "localhost"


_own_pid: Final = os.getpid
_parents_pid: Final = os.getppid


def _pid(world: World) -> int:
    pid = world.current.pid
    return _own_pid() if pid is None else pid


def _ppid(world: World) -> int:
    return _parents_pid() if world.current.pid is None else _own_pid()


def _start_in(world: World, thread: Any) -> None:
    """Let *thread* be an actor of the world instead of one of the system's.

    :raises RuntimeError: it was started before.
    """
    if thread._started.is_set():
        raise RuntimeError("threads can only be started once")

    def run() -> None:
        ident = get_ident()
        before = _threading._active.get(ident)
        thread._ident = ident
        _threading._active[ident] = thread
        try:
            thread.run()
        except Unwound:
            raise
        except BaseException as error:  # noqa: BLE001 - told to whom threads tell it
            world.report(world.me(), error)
        finally:
            if before is None:
                del _threading._active[ident]
            else:
                _threading._active[ident] = before

    actor = world.spawn(thread.name, run, fresh=True)
    thread._started.set()

    def join(timeout: float | None = None) -> None:
        until = math.inf if timeout is None else world.now + max(0.0, timeout)
        while not actor.is_over and world.now < until:
            if find_world() is not world:
                raise RuntimeError(f"{thread!r} runs in a world that the caller is not part of")
            world.wait(actor.ended, until=until, why=f"thread {thread.name} to end")

    # On the object, so that they are right when the world has ended, too.
    thread.join = join
    thread.is_alive = lambda: not actor.is_over


#: Where a function stands, and what a world does instead.
_PLACES: Final[tuple[tuple[Any, str, Callable[..., Any]], ...]] = (
    (time, "sleep", _sleep_in),
    (time, "monotonic", _now),
    (time, "monotonic_ns", _now_ns),
    (time, "perf_counter", _now),
    (time, "perf_counter_ns", _now_ns),
    (time, "time", _time),
    (time, "time_ns", _time_ns),
    # Their own names for time.monotonic.
    (threading, "_time", _now),
    (queue, "time", _now),
    (socketserver, "time", _now),
    # Of these two all else in threading is made.
    (threading, "Lock", Lock),
    (threading, "_allocate_lock", Lock),
    (threading, "RLock", RLock),
    # The other is written in C.
    (queue, "SimpleQueue", _simple_queue),
    (Thread, "start", _start_in),
    (socket, "getfqdn", _full_name),
    # Children are virtual.
    (os, "getpid", _pid),
    (os, "getppid", _ppid),
)

_guard: Final = threading.Lock()
_originals: Final[list[tuple[Any, str, Any]]] = []
_users = 0


@contextmanager
def patched() -> Iterator[None]:
    """Put a world's functions in their places as long as this is entered, by whomever."""
    global _users
    with _guard:
        if _users == 0:
            _put_in_place()
        _users += 1
    try:
        yield
    finally:
        with _guard:
            _users -= 1
            if _users == 0:
                while _originals:
                    setattr(*_originals.pop())


def _put_in_place() -> None:
    for holder, name, in_world in _PLACES:
        original = getattr(holder, name)
        _originals.append((holder, name, original))
        setattr(holder, name, _dispatching(original, in_world))
