from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from sansio_server import Outcome, TraceEvent, TraceKind
from sansio_server.cli.trace_file import TraceFile
from sansio_server.testing.recording.format import Record, read_recording


def test_an_event_is_a_record(tmp_path: Path) -> None:
    trace = TraceFile(str(tmp_path / "trace"))
    event = TraceEvent(1.5, TraceKind.LEAVE, 3, "finish_request", Outcome.FAILED)
    trace.of("tcp:here:1")(event)
    trace.close()
    [record] = read_recording(tmp_path / "trace")
    assert record == Record(event, "tcp:here:1", 0, threading.get_ident())


def test_what_was_in_the_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    path.write_text("old")
    trace = TraceFile(str(path))
    trace.of("server")(TraceEvent(0.0, TraceKind.STATE, 0, "SERVE", "SERVING"))
    trace.close()
    [line] = path.read_text().splitlines()
    assert json.loads(line)["what"] == "SERVE"


def test_threads_and_children_write_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    trace = TraceFile(str(path))
    sink = trace.of("server")

    def write() -> None:
        for number in range(100):
            sink(TraceEvent(0.0, TraceKind.ENTER, number, "hook" * 100))

    pid = os.fork()
    if pid == 0:
        write()
        os._exit(0)
    child = pid
    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert os.waitpid(pid, 0)[1] == 0
    trace.close()
    records = read_recording(path)
    assert sorted(each.event.request for each in records) == sorted(3 * list(range(100)))
    assert {each.process for each in records} == {0, child}


def test_a_full_disk_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    trace = TraceFile("/dev/full")
    sink = trace.of("server")
    for _ in range(3):
        sink(TraceEvent(0.0, TraceKind.ENTER, 1, "hook"))
    [record] = caplog.records
    assert "the trace ends, /dev/full cannot be written: " in record.getMessage()
    trace.close()


def test_what_comes_after_the_end_is_dropped(tmp_path: Path) -> None:
    trace = TraceFile(str(tmp_path / "trace"))
    trace.close()
    trace.of("server")(TraceEvent(0.0, TraceKind.ENTER, 1, "hook"))
    assert (tmp_path / "trace").read_text() == ""


def test_an_end_in_the_middle_of_a_write_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    trace = TraceFile(str(tmp_path / "trace"))
    write = os.write

    def close_first(descriptor: int, data: bytes) -> int:
        trace.close()
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", close_first)
    trace.of("server")(TraceEvent(0.0, TraceKind.ENTER, 1, "hook"))
    assert caplog.records == []
