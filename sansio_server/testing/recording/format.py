"""Traces as lines of JSON, and back: the format of flight recordings, and of ``--trace`` files.

A line is an object. ``time``, ``kind``, ``request``, ``what`` and ``detail`` are those of a
:class:`~sansio_server.trace.TraceEvent`; what has nothing to say is left out. ``server`` tells
several servers in one file apart, ``process`` is the pid of a forked child, ``thread`` a number for
the thread that was told, ``data`` the bytes that moved, each as the character of its number.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import attrs

from sansio_server.lifecycle import State
from sansio_server.limits import AcceptBackoff, Limits
from sansio_server.request import Outcome, Step
from sansio_server.trace import (
    DrainProgress,
    LimitsInForce,
    OpenRequest,
    Standing,
    TraceEvent,
    TraceKind,
)

__all__ = [
    "CONTINUES",
    "Record",
    "RecordedError",
    "as_line",
    "as_record",
    "as_records",
    "is_recording",
    "read_recording",
]

#: ``what`` of the event that begins a file which goes on where another was full: unlike others of
#: its kind, it tells how the server stood *before* the event that follows.
CONTINUES: Final = "continue"


@attrs.frozen
class RecordedError:
    """An exception, as far as it is recorded.

    :ivar type: the name of its class.
    :ivar text: what it says.
    :ivar errno: if it is an OSError that has one.
    :ivar is_exception: whether it is an :class:`Exception`; False for KeyboardInterrupt, SystemExit
        and cancellations.
    """

    type: str
    text: str
    errno: int | None = None
    is_exception: bool = True

    @classmethod
    def of(cls, error: BaseException) -> RecordedError:
        """Return what is recorded of *error*."""
        return cls(
            type(error).__name__,
            str(error),
            getattr(error, "errno", None) if isinstance(error, OSError) else None,
            isinstance(error, Exception),
        )

    def __str__(self) -> str:
        return f"{self.type}: {self.text}" if self.text else self.type


@attrs.frozen
class Record:
    """An event, and where it came from.

    :ivar event: what happened; an exception in it is a :class:`RecordedError`.
    :ivar server: the name of the server, where there are several.
    :ivar process: the pid of a forked child; 0 for the process of the server.
    :ivar thread: tells threads apart; 0 if it is not known.
    """

    event: TraceEvent
    server: str = ""
    process: int = 0
    thread: int = 0


def as_records(events: Iterable[TraceEvent]) -> list[Record]:
    """Return *events*, as a trace was told of them, as records."""
    return [
        Record(
            attrs.evolve(event, detail=RecordedError.of(event.detail))
            if isinstance(event.detail, BaseException)
            else event
        )
        for event in events
    ]


# From an event to a line.


def as_line(event: TraceEvent, server: str = "", process: int = 0, thread: int = 0) -> str:
    """Return an event as a line of JSON, without its end; see :class:`Record`."""
    fields: dict[str, Any] = {"time": _number(event.time), "kind": event.kind.value}
    if server:
        fields["server"] = server
    if process:
        fields["process"] = process
    if thread:
        fields["thread"] = thread
    if event.request:
        fields["request"] = event.request
    fields["what"] = event.what
    if event.detail is not None:
        fields["detail"] = _plain(event.detail)
    if event.data is not None:
        fields["data"] = event.data.decode("latin-1")
    return _ENCODER.encode(fields)


#: Made once: json.dumps() would make one for each line.
_ENCODER: Final = json.JSONEncoder(default=repr, separators=(",", ":"))


def _number(value: float) -> float | None:
    """Return a time as JSON can have it: None for never, and for always."""
    return value if math.isfinite(value) else None


def _plain(value: Any) -> Any:
    if isinstance(value, BaseException):
        value = RecordedError.of(value)
    if isinstance(value, (Step, Outcome, State)):
        return value.name
    if isinstance(value, float):
        return _number(value)
    if attrs.has(type(value)):
        return {name: _plain(each) for name, each in _fields(value)}
    if type(value) is tuple:
        return [_plain(each) for each in value]
    return value


def _fields(value: Any) -> Iterator[tuple[str, Any]]:
    return ((field.name, getattr(value, field.name)) for field in attrs.fields(type(value)))


# And back.


def as_record(line: str) -> Record:
    """Return the record that *line* holds.

    :raises ValueError: it holds none.
    """
    try:
        fields = json.loads(line)
        kind = TraceKind(fields["kind"])
        data = fields.get("data")
        event = TraceEvent(
            float(fields["time"]),
            kind,
            int(fields.get("request", 0)),
            fields["what"],
            _DETAILS.get(kind, _as_it_is)(fields.get("detail")),
            None if data is None else data.encode("latin-1"),
        )
        return Record(
            event, fields.get("server", ""), fields.get("process", 0), fields.get("thread", 0)
        )
    except (ValueError, TypeError, KeyError, LookupError, AttributeError) as error:
        raise ValueError(f"this is no record of a trace: {_shortened(line)!r}") from error


def _shortened(line: str) -> str:
    return line if len(line) <= 80 else line[:77] + "..."


def _as_it_is(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _error(value: Any) -> Any:
    return None if value is None else RecordedError(**value)


def _never(value: float | None) -> float:
    return math.inf if value is None else value


def _limits(value: dict[str, Any]) -> LimitsInForce:
    return LimitsInForce(Limits(**value["limits"]), value["capacity"])


def _standing(value: dict[str, Any]) -> Standing:
    backoff = value["backoff"]
    until = backoff["until"]
    return Standing(
        listener=State[value["listener"]],
        loop=State[value["loop"]],
        accepting=State[value["accepting"]],
        drain=State[value["drain"]],
        loops=value["loops"],
        limits=_limits(value["limits"]),
        backoff=AcceptBackoff(backoff["delay"], -math.inf if until is None else until),
        numbered=value["numbered"],
        requests=tuple(
            OpenRequest(
                each["number"],
                _as_it_is(each["client_address"]),
                each["since"],
                _never(each["deadline"]),
                each["cut"],
            )
            for each in value["requests"]
        ),
    )


def _progress(value: dict[str, Any]) -> DrainProgress:
    return DrainProgress(
        value["drain"],
        tuple(value["requests"]),
        value["timeout"],
        tuple(value["cut"]),
        _never(value["until"]),
    )


_DETAILS: Final[dict[TraceKind, Callable[[Any], Any]]] = {
    TraceKind.BEGIN: _standing,
    TraceKind.LIMITS: _limits,
    TraceKind.ENTER: lambda value: None if value is None else Step[value],
    TraceKind.LEAVE: lambda value: Outcome[value],
    TraceKind.ERROR: _error,
    TraceKind.OVERLOAD: _error,
    TraceKind.DRAIN: _progress,
}


def is_recording(text: str) -> bool:
    """Say whether *text* begins as a recording does."""
    try:
        as_record(text.partition("\n")[0])
    except ValueError:
        return False
    return True


def read_recording(path: str | Path) -> list[Record]:
    """Return the records of a file, and before them those of the file it continues, ``PATH.1``.

    A last line that was not written to its end is left out: whoever wrote it was killed.

    :raises OSError: it cannot be read.
    :raises ValueError: it is no recording; the message says where.
    """
    path = Path(path)
    records = list(_read(path))
    if records and records[0].event.what == CONTINUES:
        before = path.with_name(path.name + ".1")
        if before.exists():
            skipped = len({each.server for each in records if each.event.what == CONTINUES})
            records = [*_read(before), *records[skipped:]]
    return records


def _read(path: Path) -> Iterator[Record]:
    lines = path.read_text(encoding="utf-8").split("\n")
    unfinished = lines.pop()
    for number, line in enumerate(lines, 1):
        try:
            yield as_record(line)
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
    if not lines:
        what = _shortened(unfinished)
        raise ValueError(f"{path} holds no record of a trace" + (f": {what!r}" if what else ""))
