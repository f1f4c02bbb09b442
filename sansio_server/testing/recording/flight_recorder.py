"""The flight recorder: what a server was told and decided, in a file that does not grow for ever.

It may be left on in production: what it writes is bounded, and has nobody's data in it unless that
is asked for. What was recorded can be run through the core again, see :mod:`~.offline.rerun`, and
under other limits, see :mod:`~.offline.what_if`.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

import attrs

from sansio_server.hooks import LOGGER
from sansio_server.trace import Trace, TraceEvent, TraceKind

from .format import CONTINUES, as_line
from .standing import Follower

__all__ = ["FlightRecorder", "Payload", "Traces", "recorded"]

#: What is recorded of the bytes that moved: nothing, all, or what a function makes of them.
Payload: TypeAlias = bool | Callable[[bytes], bytes | None]

_Self = TypeVar("_Self", bound="FlightRecorder")

_DEFAULT_BYTES: Final = 64 * 2**20
_FEWEST_BYTES: Final = 2**16
#: How many records are written between two looks at the size of the file.
_LOOKS: Final = 64
#: More threads than this are forgotten, and counted on.
_THREADS_KNOWN: Final = 4096


class Traces:
    """Several traces as one: set it as a server's ``trace``.

    Each is told of every event, whatever another raises.

    :param traces: the traces.
    """

    def __init__(self, *traces: Trace) -> None:
        self._traces = traces

    @property
    def payload(self) -> bool:
        """Whether one of them asks for the bytes that move."""
        return any(getattr(trace, "payload", False) for trace in self._traces)

    def __call__(self, event: TraceEvent) -> None:
        """Tell all of *event*.

        :raises Exception: what the first raised that did.
        """
        failure: Exception | None = None
        for trace in self._traces:
            try:
                trace(event)
            except Exception as error:  # noqa: BLE001 - raised below
                failure = failure or error
        if failure is not None:
            raise failure


class FlightRecorder:
    """Writes a trace to a file of bounded size: set it as a server's ``trace``.

    When the file has half the size, it becomes ``PATH.1``, whatever that was, and is begun anew: so
    at least the last half of what the bound allows is always there. Every line is written at once:
    a process that is killed has recorded all that went before.

    It may be told by any thread, signal handler and forked child. Children append to the same file,
    which the parent alone begins anew, as soon as it has something to record itself; where it has
    not, as if children accept by themselves, they end recording when the bound is reached.

    :param path: the file; what is in it, and in ``PATH.1``, is lost.
    :param max_bytes: the most bytes that both files have together, 65536 or more.
    :param payload: whether to record the bytes that move: True for all; or a function that is
        given them and returns what to record in their place, None for nothing. What goes over TLS
        or a socket that an override has made is never seen.
    :param addresses: whether to record the addresses of clients.
    :raises OSError: the file cannot be written.
    :raises ValueError: *max_bytes* is too few, or *path* is there and no regular file.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_bytes: int = _DEFAULT_BYTES,
        payload: Payload = False,
        addresses: bool = True,
    ) -> None:
        if isinstance(max_bytes, bool) or not isinstance(max_bytes, int):
            raise TypeError(f"max_bytes must be a whole number, not {max_bytes!r}")
        if max_bytes < _FEWEST_BYTES:
            raise ValueError(f"max_bytes must be {_FEWEST_BYTES} or more, not {max_bytes!r}")
        self.path = Path(path)
        self._most = max_bytes // 2
        self._payload = payload
        self._addresses = addresses
        self._home = os.getpid()
        self._inbox: deque[tuple[str, int, TraceEvent]] = deque()
        self._writing = threading.Lock()
        self._threads: dict[int, int] = {}
        self._followers: dict[str, Follower] = {}
        self._ended = False
        self._looks = 0
        if self.path.exists() and not stat.S_ISREG(self.path.stat().st_mode):
            raise ValueError(f"a recording needs a regular file, which {path} is not")
        for former in (self.path, self._before):
            former.unlink(missing_ok=True)  # not emptied: it may be open to others
        self._open()

    @property
    def _before(self) -> Path:
        return self.path.with_name(self.path.name + ".1")

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(self.path, flags, 0o600)
        self._size = 0

    @property
    def payload(self) -> bool:
        """Whether the trace is to be given the bytes that move."""
        return bool(self._payload)

    def of(self, server: str) -> Trace:
        """Return what to set as the ``trace`` of one of several servers, by the name *server*."""
        return _Named(self, server)

    def __call__(self, event: TraceEvent) -> None:
        """Record *event*, of the one server that there is."""
        self.record("", event)

    def record(self, server: str, event: TraceEvent) -> None:
        """Record *event* of the server by this name."""
        if self._ended:
            return
        if os.getpid() != self._home:
            self._look_at_size()
            if self._size > 2 * self._most:
                self._give_up(OSError(errno.EFBIG, "children have filled it"))
            self._write(as_line(self._reduced(event), server, os.getpid()))
            return
        # Nobody waits for a lock: a signal's handler may have interrupted who holds it. Whoever
        # holds it writes what the others leave here.
        inbox, writing = self._inbox, self._writing
        inbox.append((server, threading.get_ident(), event))
        while inbox and writing.acquire(blocking=False):
            try:
                while inbox:
                    self._record(*inbox.popleft())
            finally:
                writing.release()

    def _look_at_size(self) -> None:
        """Look, now and then, how large the file is: others write to it, too."""
        self._looks += 1
        if self._looks % _LOOKS == 1:
            self._size = os.fstat(self._fd).st_size

    def _record(self, server: str, ident: int, event: TraceEvent) -> None:
        self._look_at_size()
        if self._size > self._most:
            self._begin_anew()
        event = self._reduced(event)
        follower = self._followers.get(server)
        if follower is None:
            follower = self._followers[server] = Follower()
        self._write(as_line(event, server, 0, self._thread(ident)))
        follower.follow(event)

    def _thread(self, ident: int) -> int:
        number = self._threads.get(ident)
        if number is None:
            if len(self._threads) >= _THREADS_KNOWN:
                self._threads.clear()
            number = self._threads[ident] = len(self._threads) + 1
        return number

    def _reduced(self, event: TraceEvent) -> TraceEvent:
        """Return *event* without what is not to be recorded."""
        if event.data is not None:
            redact = self._payload
            return attrs.evolve(event, data=redact(event.data)) if callable(redact) else event
        if self._addresses:
            return event
        if event.kind in (TraceKind.ACCEPT, TraceKind.CLOSE):
            return attrs.evolve(event, detail=None)
        if event.kind is TraceKind.BEGIN:
            requests = tuple(
                attrs.evolve(each, client_address=None) for each in event.detail.requests
            )
            return attrs.evolve(event, detail=attrs.evolve(event.detail, requests=requests))
        return event

    def _begin_anew(self) -> None:
        """Go on in an empty file, which begins with how the servers stand."""
        try:
            os.replace(self.path, self._before)
            former = self._fd
            self._open()
            os.close(former)
        except OSError as error:
            self._give_up(error)
            return
        for server, follower in self._followers.items():
            standing = follower.standing()
            if standing is not None:
                begin = TraceEvent(follower.time, TraceKind.BEGIN, 0, CONTINUES, standing)
                self._write(as_line(begin, server))

    def _write(self, line: str) -> None:
        if self._ended:
            return
        data = line.encode() + b"\n"
        try:
            # One write a line: the system puts each at the end, whoever writes at once.
            os.write(self._fd, data)
        except OSError as error:
            self._give_up(error)
        self._size += len(data)

    def _give_up(self, error: OSError) -> None:
        if not self._ended:
            self._ended = True
            LOGGER.warning("the recording ends, %s cannot be written: %s", self.path, error)

    def close(self) -> None:
        """Close the file. What comes later is dropped. Harmless when done before."""
        if self._fd < 0:
            return
        with self._writing:  # so that nobody writes to a descriptor that is another's by then
            while self._inbox:
                self._record(*self._inbox.popleft())
            self._ended = True
            former, self._fd = self._fd, -1
            os.close(former)

    def __enter__(self: _Self) -> _Self:  # noqa: PYI019 - typing.Self came with Python 3.11
        return self

    def __exit__(self, *args: object) -> None:
        self.close()


@attrs.frozen
class _Named:
    """The trace of one of several servers."""

    recorder: FlightRecorder
    server: str

    @property
    def payload(self) -> bool:
        return self.recorder.payload

    def __call__(self, event: TraceEvent) -> None:
        self.recorder.record(self.server, event)


@contextmanager
def recorded(server: Any, path: str | os.PathLike[str], **options: Any) -> Iterator[FlightRecorder]:
    """Record *server* within a ``with`` block, beside the trace that it has.

    :param options: those of :class:`FlightRecorder`.
    :raises OSError: the file cannot be written.
    :raises ValueError: an option makes no sense.
    """
    former = server.trace
    with FlightRecorder(path, **options) as recorder:
        server.trace = recorder if former is None else Traces(former, recorder)
        try:
            yield recorder
        finally:
            server.trace = former
