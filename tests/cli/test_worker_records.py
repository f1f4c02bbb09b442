from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sansio_server.cli.worker_records import KEPT, own_path
from sansio_server.testing.recording.format import read_recording

from .commands import run, serving


@pytest.fixture
def gone() -> int:
    """The pid of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_each_process_has_its_own(tmp_path: Path) -> None:
    path = tmp_path / "flight.jsonl"
    assert own_path(str(path)) == f"{path}.{os.getpid()}"


def test_those_of_processes_that_are_gone_do_not_pile_up(
    tmp_path: Path, gone: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "flight.jsonl"
    alive = path.with_name(f"{path.name}.{os.getppid()}")
    other = path.with_name(f"{path.name}.txt")
    pids = [gone + number * 10_000_000 for number in range(KEPT + 3)]
    left = [path.with_name(f"{path.name}.{pid}") for pid in pids]
    for age, each in enumerate([*left, alive, other]):
        each.write_text("")
        os.utime(each, (1000 - age, 1000 - age))
    for each in left:
        each.with_name(each.name + ".1").write_text("")
    own_path(str(path))
    assert {each.name for each in tmp_path.iterdir() if not each.name.endswith(".1")} == {
        each.name for each in [*left[:KEPT], alive, other]
    }
    assert len(list(tmp_path.glob("*.1"))) == KEPT


def test_somebody_else_s_process_is_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pid: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    monkeypatch.setattr("sansio_server.cli.worker_records.KEPT", 0)
    path = tmp_path / "flight.jsonl.4711"
    path.write_text("")
    own_path(str(tmp_path / "flight.jsonl"))
    assert path.exists()


def test_workers_record_apart(tmp_path: Path) -> None:
    path = tmp_path / "flight.jsonl"
    arguments = ["--workers", "2", "--record", str(path)]
    with serving("Upper", "--bind", "tcp:127.0.0.1:0", *arguments) as server:
        for _ in range(4):
            assert server.ask() == b"HELLO"
        assert server.stop().status == 0
    files = sorted(tmp_path.glob("flight.jsonl.*"))
    assert len(files) == 2
    accepted = 0
    for file in files:
        replayed = run("replay", str(file))
        assert (replayed.status, replayed.err) == (0, "")
        accepted += sum(each.event.what == "accept" for each in read_recording(file))
    assert accepted == 4
