from __future__ import annotations

import errno
import json
import math
from pathlib import Path
from typing import Any

import attrs
import pytest

from sansio_server.ledger import Place
from sansio_server.lifecycle import State
from sansio_server.limits import AcceptBackoff, Limits
from sansio_server.request import Outcome, Step
from sansio_server.testing.recording.format import (
    CONTINUES,
    Record,
    RecordedError,
    as_line,
    as_record,
    as_records,
    is_recording,
    read_recording,
)
from sansio_server.trace import (
    DrainProgress,
    LimitsInForce,
    OpenRequest,
    Standing,
    TraceEvent,
    TraceKind,
)

LIMITS = LimitsInForce(Limits(max_connections=3, when_full="shed", request_timeout=2.5), 3)
STANDING = Standing(
    State.ACTIVE,
    State.SERVING,
    State.OPEN,
    State.NOT_DRAINING,
    1,
    LIMITS,
    AcceptBackoff(),
    7,
    (
        OpenRequest(6, ("127.0.0.1", 4711), 1.0, 3.5, cut=True),
        OpenRequest(7, "/run/client", 1.5, math.inf, cut=False),
    ),
)


@pytest.mark.parametrize(
    ("kind", "what", "detail"),
    [
        (TraceKind.BEGIN, "begin", STANDING),
        (TraceKind.BEGIN, "begin", attrs.evolve(STANDING, backoff=AcceptBackoff(0.1, 9.25))),
        (TraceKind.LIMITS, "limits", LIMITS),
        (TraceKind.ACCEPT, "accept", ("::1", 4711, 0, 0)),
        (TraceKind.ACCEPT, "accept", ""),
        (TraceKind.ENTER, "verify_request", Step.VERIFY),
        (TraceKind.ENTER, "verify_request", None),
        (TraceKind.LEAVE, "verify_request", Outcome.REFUSED),
        (TraceKind.BYTES, "in", 5),
        (TraceKind.CLOSE, "close", None),
        (TraceKind.STATE, "SERVE", "SERVING"),
        (TraceKind.OVERLOAD, "shed", None),
        (TraceKind.WAIT, "full", 3),
        (TraceKind.CUT, "cut", "drain"),
        (TraceKind.DRAIN, "begin", DrainProgress(1, (1, 2), timeout=None)),
        (TraceKind.DRAIN, "step", DrainProgress(1, (1,), cut=(2,), until=9.5)),
    ],
)
def test_an_event_comes_back_as_it_was(kind: TraceKind, what: str, detail: object) -> None:
    record = Record(TraceEvent(1.0625, kind, 7, what, detail))
    line = as_line(record.event)
    assert "\n" not in line
    assert as_record(line) == record
    named = attrs.evolve(record, server="tcp:here:1", process=4711, thread=2)
    assert as_record(as_line(record.event, "tcp:here:1", 4711, 2)) == named


@pytest.mark.parametrize(
    ("error", "recorded"),
    [
        (ValueError("no"), RecordedError("ValueError", "no")),
        (
            OSError(errno.EMFILE, "full"),
            RecordedError("OSError", "[Errno 24] full", errno.EMFILE),
        ),
        (OSError("none"), RecordedError("OSError", "none")),
        (KeyboardInterrupt(), RecordedError("KeyboardInterrupt", "", is_exception=False)),
    ],
)
def test_of_an_exception_is_kept_what_decides(
    error: BaseException, recorded: RecordedError
) -> None:
    event = TraceEvent(0.0, TraceKind.ERROR, 1, "finish_request", error)
    assert as_record(as_line(event)).event.detail == recorded
    assert as_records([event])[0].event.detail == recorded
    assert str(recorded) == (
        f"{recorded.type}: {recorded.text}" if recorded.text else recorded.type
    )


def test_a_line_is_meant_to_be_read() -> None:
    event = TraceEvent(1.5, TraceKind.LEAVE, 3, "finish_request", Outcome.FAILED)
    assert json.loads(as_line(event, "tcp:here:1")) == {
        "time": 1.5,
        "server": "tcp:here:1",
        "request": 3,
        "kind": "leave",
        "what": "finish_request",
        "detail": "FAILED",
    }


def test_bytes_that_moved_come_back() -> None:
    data = bytes(range(256))
    event = TraceEvent(0.0, TraceKind.BYTES, 1, "in", 256, data)
    assert as_record(as_line(event)).event == event


def test_a_detail_that_json_does_not_know_is_shown() -> None:
    place = Place("key", 1, "client", 0.0)
    event = TraceEvent(0.0, TraceKind.ACCEPT, 1, "accept", b"\0name")
    assert json.loads(as_line(event))["detail"] == r"b'\x00name'"
    event = TraceEvent(0.0, TraceKind.STATE, 0, "SERVE", place)
    assert json.loads(as_line(event))["detail"] == repr(place)
    event = TraceEvent(0.0, TraceKind.STATE, 0, "SERVE", math.inf)
    assert "detail" in json.loads(as_line(event))


@pytest.mark.parametrize(
    "line",
    [
        "",
        "nonsense",
        "[]",
        "7",
        "{}",
        '{"time":1,"kind":"none","what":"x"}',
        '{"time":null,"kind":"close","what":"close"}',
        '{"time":1,"kind":"leave","what":"x","detail":"NO"}',
        '{"time":1,"kind":"begin","what":"begin"}',
        '{"time":1,"kind":"limits","what":"limits","detail":{"limits":{"cut":1}}}',
        '{"time":1,"kind":"error","what":"x","detail":{"nonsense":1}}',
    ],
)
def test_what_is_no_record_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="this is no record of a trace: ") as caught:
        as_record(line)
    assert repr(line) in str(caught.value)
    assert not is_recording(line + "\nmore")


def test_a_long_line_is_shown_in_part() -> None:
    with pytest.raises(ValueError, match=r"xxx\.\.\.'$"):
        as_record("x" * 1000)


def write(path: Path, *events: TraceEvent, end: str = "\n") -> Path:
    path.write_text("\n".join(map(as_line, events)) + end)
    return path


BEGIN = TraceEvent(1.0, TraceKind.BEGIN, 0, "begin", STANDING)
CLOSE = TraceEvent(2.0, TraceKind.CLOSE, 6, "close")


def test_a_file_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "flight.jsonl", BEGIN, CLOSE)
    assert read_recording(path) == [Record(BEGIN), Record(CLOSE)]
    assert is_recording(path.read_text())


def test_a_line_that_was_not_finished_is_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "flight.jsonl", BEGIN, CLOSE, end='\n{"time":3.0,"ki')
    assert read_recording(path) == [Record(BEGIN), Record(CLOSE)]


def test_a_file_that_goes_on_is_read_with_the_one_before(tmp_path: Path) -> None:
    goes_on = attrs.evolve(BEGIN, what=CONTINUES)
    path = write(tmp_path / "flight.jsonl", goes_on, CLOSE)
    assert read_recording(path) == [Record(goes_on), Record(CLOSE)]
    write(tmp_path / "flight.jsonl.1", BEGIN)
    assert read_recording(path) == [Record(BEGIN), Record(CLOSE)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no record of a trace$"),
        ("nonsense", "holds no record of a trace: 'nonsense'$"),
        (as_line(BEGIN) + "\nnonsense\n", "line 2: this is no record of a trace: 'nonsense'$"),
    ],
)
def test_what_is_no_recording_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path: Any = tmp_path / "flight.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_recording(str(path))
