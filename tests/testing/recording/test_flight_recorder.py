from __future__ import annotations

import errno
import os
import signal
import stat
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sansio_server.lifecycle import Event
from sansio_server.testing.offline.rerun import rerun
from sansio_server.testing.recording.flight_recorder import FlightRecorder, Traces, recorded
from sansio_server.testing.recording.format import CONTINUES, read_recording
from sansio_server.trace import TraceEvent, TraceKind
from sync_backend import ForkingTCPServer, StreamRequestHandler, TCPServer, ThreadingTCPServer
from tests.core.memory import MemoryServer
from tests.testing.traces import Server, happen

SERVE = TraceEvent(0.0, TraceKind.STATE, 0, "SERVE", "SERVING")


def moved(data: bytes) -> TraceEvent:
    return TraceEvent(0.0, TraceKind.BYTES, 1, "in", len(data), data)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "flight.jsonl"


# What is recorded.


def test_what_was_there_is_replaced(path: Path) -> None:
    before = path.with_name("flight.jsonl.1")
    for each in (path, before):
        each.write_text("old")
    with FlightRecorder(path) as recorder:
        recorder(SERVE)
        assert [each.event for each in read_recording(path)] == [SERVE], "it is there at once"
    assert not before.exists()
    assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, "it may hold what clients have sent"


@pytest.mark.parametrize(
    ("payload", "wants", "data"),
    [
        (False, False, None),
        (True, True, b"secret"),
        (lambda data: data[:1], True, b"s"),
        (lambda data: None, True, None),
    ],
)
def test_bytes_are_recorded_as_asked(
    path: Path, payload: Any, wants: bool, data: bytes | None
) -> None:
    server = MemoryServer()
    with FlightRecorder(path, payload=payload) as recorder:
        server.trace = recorder.of("web")
        assert (recorder.payload, server.trace.payload) == (wants, wants)  # type: ignore[attr-defined]
        server._emit_bytes(1, "in", b"secret", 6)
    event = read_recording(path)[-1].event
    assert (event.detail, event.data) == (6, data)
    assert (b"secret" in path.read_bytes()) == (data == b"secret")


def test_addresses_are_left_out_if_asked_for(path: Path) -> None:
    server = Server()
    server.come()
    with recorded(server, path, addresses=False):
        server.come()
        server.end(2)
    assert "client" not in path.read_text().replace("client_address", "")


def test_several_servers_have_their_names(path: Path) -> None:
    with FlightRecorder(path) as recorder:
        for name in ("web", "api"):
            recorder.of(name)(SERVE)
    assert [each.server for each in read_recording(path)] == ["web", "api"]


def test_a_server_is_recorded_beside_the_trace_it_has(path: Path) -> None:
    server = Server()
    own = server.trace
    with recorded(server, path) as recorder:
        assert server.trace is not own
        server.come()
    assert server.trace is own
    assert recorder.path == path
    assert [each.event.what for each in read_recording(path)] == [
        event.what for event in server.events[-6:]
    ]


def test_a_server_without_a_trace_is_recorded_too(path: Path) -> None:
    server = MemoryServer()
    with recorded(server, path) as recorder:
        assert server.trace is recorder
    assert server.trace is None


def test_all_traces_are_told_whatever_one_raises() -> None:
    events: list[TraceEvent] = []

    def broken(event: TraceEvent) -> None:
        raise ValueError("no disk")

    traces = Traces(broken, events.append)
    assert not traces.payload
    with pytest.raises(ValueError, match="no disk"):
        traces(SERVE)
    assert events == [SERVE]


def test_one_that_wants_bytes_is_enough(path: Path) -> None:
    with FlightRecorder(path, payload=True) as recorder:
        assert Traces(print, recorder).payload


# The bound.


def fill(recorder: Callable[[TraceEvent], object], count: int) -> None:
    for _ in range(count):
        recorder(moved(b"x" * 1000))


def test_it_does_not_grow_for_ever(path: Path) -> None:
    server = Server(max_connections=5)
    with FlightRecorder(path, max_bytes=2**16, payload=True) as recorder:
        server.trace = recorder
        happen(server, Event.SUSPEND)
        happen(server, Event.RESUME)
        first = server.come()
        for _ in range(300):
            number = server.come(0.5)
            server._emit_bytes(number, "in", b"x" * 1000, 1000)
            server.end(number, 0.5)
    before = path.with_name("flight.jsonl.1")
    assert path.stat().st_size + before.stat().st_size < 2**16 + 2 * 2000
    assert before.stat().st_size > 2**15
    records = read_recording(path)
    assert records[0].event.what == CONTINUES
    assert first in [each.number for each in records[0].event.detail.requests]
    result = rerun(records)
    assert result.same, str(result)
    assert result.requests > 10


def test_children_count_and_end_where_the_parent_does_nothing(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with FlightRecorder(path, max_bytes=2**16, payload=True) as recorder:
        recorder(SERVE)
        pid = os.fork()
        if pid == 0:
            fill(recorder, 1000)
            os._exit(0 if recorder._ended else 1)
        assert os.waitpid(pid, 0)[1] == 0
        assert 2**16 < path.stat().st_size < 2**18
        fill(recorder, 64)
    assert path.stat().st_size < 2**16
    before = path.with_name("flight.jsonl.1")
    assert before.exists()


def test_each_server_is_told_of_where_it_goes_on(path: Path) -> None:
    with FlightRecorder(path, max_bytes=2**16, payload=True) as recorder:
        servers = [Server(), Server()]
        for name, server in zip(("web", "api"), servers, strict=True):
            server.trace = recorder.of(name)
            happen(server, Event.SUSPEND)
        recorder.of("unknown")(SERVE)
        fill(recorder.of("web"), 60)
    assert [(each.server, each.event.what) for each in read_recording(path)[:2]] == [
        ("web", CONTINUES),
        ("api", CONTINUES),
    ]
    path.with_name("flight.jsonl.1").unlink()
    assert [each.server for each in read_recording(path)[:2]] == ["web", "api"]


def test_many_threads_are_told_apart_as_long_as_that_is_possible(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sansio_server.testing.recording.flight_recorder._THREADS_KNOWN", 2)
    numbers = iter([1, 2, 1, 3, 1])
    with FlightRecorder(path) as recorder:
        monkeypatch.setattr(threading, "get_ident", lambda: next(numbers))
        for _ in range(5):
            recorder(SERVE)
    assert [each.thread for each in read_recording(path)] == [1, 2, 1, 1, 2]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"max_bytes": 1000}, ValueError, "max_bytes must be 65536 or more, not 1000"),
        ({"max_bytes": 1e9}, TypeError, "max_bytes must be a whole number, not 1000000000.0"),
        ({"max_bytes": True}, TypeError, "max_bytes must be a whole number, not True"),
    ],
)
def test_a_bound_that_makes_no_sense_is_refused(
    path: Path, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        FlightRecorder(path, **options)
    assert not path.exists()


def test_what_is_no_file_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a regular file, which /dev/null is not"):
        FlightRecorder("/dev/null")


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FlightRecorder(tmp_path / "none" / "flight.jsonl")


# What goes wrong.


def test_a_full_disk_is_told_once(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def write(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "no space")

    with FlightRecorder(path) as recorder:
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", write)
            for _ in range(3):
                recorder(SERVE)
        recorder(SERVE)
    [record] = caplog.records
    assert f"the recording ends, {path} cannot be written: " in record.getMessage()
    assert path.read_text() == ""


def test_a_file_that_cannot_be_begun_anew_ends_the_recording(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def replace(*paths: object) -> None:
        raise PermissionError(errno.EACCES, "not allowed")

    with FlightRecorder(path, max_bytes=2**16, payload=True) as recorder:
        monkeypatch.setattr(os, "replace", replace)
        fill(recorder, 100)
    assert len(caplog.records) == 1
    assert path.stat().st_size < 2**16


def test_what_comes_after_the_end_is_dropped(path: Path) -> None:
    recorder = FlightRecorder(path)
    recorder.close()
    recorder.close()
    recorder(SERVE)
    assert path.read_text() == ""


def test_a_signal_handler_may_tell_while_it_interrupts_the_telling(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, interrupted = os.write, False

    def interrupting(descriptor: int, data: bytes) -> int:
        nonlocal interrupted
        if not interrupted:
            interrupted = True
            signal.raise_signal(signal.SIGUSR1)
        return write(descriptor, data)

    with FlightRecorder(path) as recorder:
        former = signal.signal(signal.SIGUSR1, lambda *_: recorder(moved(b"")))
        try:
            monkeypatch.setattr(os, "write", interrupting)
            recorder(SERVE)
        finally:
            signal.signal(signal.SIGUSR1, former)
    assert [each.event.what for each in read_recording(path)] == ["SERVE", "in"]


# Real servers.


class Upper(StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(self.rfile.readline().upper())


@pytest.mark.parametrize("kind", [TCPServer, ThreadingTCPServer, ForkingTCPServer])
def test_a_server_is_recorded_and_runs_again(path: Path, kind: type[TCPServer]) -> None:
    import socket

    with kind(("127.0.0.1", 0), Upper) as server, recorded(server, path, payload=True):
        server.max_connections = 2
        loop = threading.Thread(target=server.serve_forever)
        loop.start()
        try:
            for _ in range(5):
                with closing(socket.create_connection(server.server_address, 10)) as client:
                    client.sendall(b"hello\n")
                    assert client.recv(10) == b"HELLO\n"
                    assert client.recv(10) == b""
        finally:
            server.shutdown()
            loop.join()
            server.server_close()
    records = read_recording(path)
    result = rerun(records)
    assert result.same, str(result)
    assert result.counters == {"": server.counters}
    assert b"".join(each.event.data or b"" for each in records).count(b"HELLO\n") == 5
    children = {each.process for each in records} - {0}
    assert len(children) == (5 if kind is ForkingTCPServer else 0)
