from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import pytest

from sansio_server import TraceEvent, TraceKind
from sansio_server.cli.demo_ways import TRANSPORTS, WAYS, Recorder, Transport, Way

EACH_WAY = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
EACH_TRANSPORT = pytest.mark.parametrize("transport", TRANSPORTS, ids=lambda each: each.name)


def test_rows_have_names_of_their_own() -> None:
    assert len({way.name for way in WAYS}) == len(WAYS)
    assert len({transport.name for transport in TRANSPORTS}) == len(TRANSPORTS)


# From Python 3.12 on, os.fork() warns in a process with threads.
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@EACH_WAY
@EACH_TRANSPORT
def test_a_way_serves_until_it_is_stopped(way: Way, transport: Transport, tmp_path: Path) -> None:
    with closing(Recorder()) as recorder:
        running = way.start(transport.address(tmp_path), way.handler, recorder.trace)
        try:
            for line in b"one\n", b"two\n":
                assert transport.ask(running.address, line, tmp_path) == line.upper()
                (tmp_path / "client").unlink(missing_ok=True)
        finally:
            running.stop()
        assert recorder.hooks().count("finish_request") == 2
    assert list(tmp_path.iterdir()) == []


def test_hooks_are_recorded_by_time_from_children_too() -> None:
    recorder = Recorder()
    recorder.trace(TraceEvent(1.0, TraceKind.ENTER, 1, "first"))
    recorder.trace(TraceEvent(1.5, TraceKind.LEAVE, 1, "first"))
    recorder.trace(TraceEvent(3.0, TraceKind.ENTER, 1, "third"))
    pid = os.fork()
    if pid == 0:
        recorder.trace(TraceEvent(2.0, TraceKind.ENTER, 1, "second"))
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert recorder.hooks() == ("first", "second", "third")
    assert recorder.hooks() == ()
    recorder.close()
