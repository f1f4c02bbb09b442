"""Serving in several processes, which are looked after."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sansio_server.cli import main
from sansio_server.cli.backends import BACKENDS
from tests.cli.commands import PATIENCE, Serving, run, serving
from tests.processes import children_of

HERE = "tcp:127.0.0.1:0"
TWO = ("--bind", HERE, "--workers", "2")

VERSION = """
import os
def handler(request, address, server):
    request.sendall(b"%d {version}" % os.getpid())
    request.recv(1024)
"""


def pid_of(server: Serving) -> int:
    """Return the pid of a worker, who has served a client by the time this returns."""
    with server.connect() as client:
        pid = int(client.recv(1024))
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1024) == b""
    return pid


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until something is so that nobody tells of."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        select.select([], [], [], 0.001)


def workers_of(server: Serving) -> set[int]:
    return children_of(server.process.pid)


def has_ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_way_of_serving_in_two_workers(backend: str, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    both = [*TWO, "--bind", f"unix:{path}", "--backend", backend]
    with serving("Pid", *both) as server:
        wait_until(lambda: len(workers_of(server)) == 2)
        for number in (0, 1):
            for _ in range(5):
                with server.connect(number) as client:
                    assert int(client.recv(1024)) != server.process.pid
        ended = server.stop()
    assert (ended.status, ended.err) == (0, "")
    for line, address in zip(ended.out, server.addresses, strict=True):
        assert line.startswith(f"served {address}: 5 accepted, 5 closed")
    assert not path.exists()


@pytest.mark.parametrize("backend", ["prefork", "threads", "trio"])
def test_one_that_is_killed_is_started_anew(backend: str) -> None:
    with serving("Pid", *TWO, "--backend", backend) as server:
        for _ in range(3):
            pid = pid_of(server)
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda pid=pid: pid not in workers_of(server))  # type: ignore[misc]
            assert pid_of(server) != pid
        ended = server.stop()
    assert ended.status == 0
    assert ended.out[0].endswith("; 3 workers left no word")
    assert ended.err.count("died of itself, with SIGKILL") == 3


def test_those_who_replace_others_load_the_handler_anew(tmp_path: Path) -> None:
    module = tmp_path / "served_module.py"
    module.write_text(VERSION.format(version="old"))
    with serving("served_module:handler", *TWO, cwd=tmp_path) as server:
        assert server.ask().endswith(b" old")
        before = workers_of(server)
        module.write_text(VERSION.format(version="newer"))
        server.send(signal.SIGHUP)
        answers = []
        while workers_of(server) & before or len(workers_of(server)) != 2:
            answers.append(server.ask())
        assert b"" not in answers
        assert server.ask().endswith(b" newer")
        assert server.stop().err == ""


def test_if_the_new_one_does_not_begin_the_old_ones_stay(tmp_path: Path) -> None:
    module = tmp_path / "served_module.py"
    module.write_text(VERSION.format(version="old"))
    with serving("served_module:handler", *TWO, "--backend", "inline", cwd=tmp_path) as server:
        with server.connect() as one, server.connect() as other:  # who loads later finds an error
            before = {int(client.recv(1024).split()[0]) for client in (one, other)}
        assert len(before) == 2
        module.write_text("1 / 0  # longer than what was cached")
        server.send(signal.SIGHUP)
        assert server.process.stderr is not None
        said = ""
        while "so that those before it stay" not in said:
            said += server.process.stderr.readline().decode()
        assert "ZeroDivisionError" in said
        # While one exits the list may lack others: see proc(5).
        wait_until(lambda: workers_of(server) == before)
        assert server.ask().endswith(b" old")
        assert server.stop().status == 0


@pytest.mark.parametrize(
    ("handler", "status", "complaint"),
    [
        ("tests.cli.handlers:Nobody", 2, "has no 'Nobody'"),
        ("tests.cli.handlers:Packets", 2, "cannot serve the connections of tcp:"),
        ("json:nothing", 2, "has no 'nothing'"),
    ],
)
def test_what_is_wrong_is_said_once(handler: str, status: int, complaint: str) -> None:
    ended = run("serve", handler, *TWO)
    assert (ended.status, ended.out) == (status, [])
    assert complaint in ended.err
    assert ended.err.count("\n") == 1


def test_what_goes_wrong_in_all_workers_ends_the_program(tmp_path: Path) -> None:
    # Loaded well the first time, which is to see whether it can be.
    (tmp_path / "fickle.py").write_text(
        "import os, pathlib\n"
        "there = pathlib.Path('there')\n"
        "if there.exists(): raise LookupError('not again')\n"
        "there.touch()\n"
        "def handler(*_): pass\n"
    )
    ended = run("serve", "fickle:handler", *TWO, cwd=tmp_path)
    assert (ended.status, ended.out) == (2, [])
    assert "LookupError: not again" in ended.err


@pytest.mark.parametrize("backend", ["inline", "trio"])
def test_one_that_has_served_enough_is_replaced(backend: str) -> None:
    options = ["--workers", "1", "--max-requests", "5", "--backend", backend]
    with serving("Pid", "--bind", HERE, *options) as server:
        pids = [pid_of(server) for _ in range(6)]
        while pids[-1] == pids[0]:  # it is told soon, not at once
            pids.append(pid_of(server))
        ended = server.stop()
    assert (ended.status, ended.err) == (0, "")
    count = len(pids)
    told = f"served {server.addresses[0]}: {count} accepted, {count} closed"
    assert ended.out[0].startswith(told)


def test_workers_end_when_nobody_looks_after_them() -> None:
    with serving("Pid", *TWO) as server:
        wait_until(lambda: len(workers_of(server)) == 2)
        pid_of(server)
        pids = workers_of(server)
        server.send(signal.SIGKILL)
        wait_until(lambda: all(map(has_ended, pids)))


def test_a_request_that_does_not_end_is_cut_in_its_worker() -> None:
    with serving("Upper", *TWO, "--drain-timeout", "0.05") as server:
        with server.connect() as client:
            client.sendall(b"hello")
            assert client.recv(1024) == b"HELLO"
            server.send(signal.SIGTERM)
            assert client.recv(1024) == b""
        ended = server.end()
    assert ended.status == 0
    assert ended.out[0].endswith("0 finished, 1 cut, 0 left behind")
    assert "in handle\n" in ended.err


def test_the_trace_has_the_events_of_all_workers(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    trace.write_text("old\n")
    with serving("Pid", *TWO, "--trace", str(trace)) as server:
        wait_until(lambda: len(workers_of(server)) == 2)
        pids = {pid_of(server) for _ in range(5)}
        assert server.stop().status == 0
    events = [json.loads(line) for line in trace.read_text().splitlines()]
    served = {event["process"] for event in events if event["what"] == "accept"}
    assert served == pids


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("--workers 0", "--workers: '0' is not 1 or more"),
        ("--workers all", "--workers: 'all' is not 1 or more"),
        ("--workers none", "--workers: 'none' is not 1 or more"),
        ("--max-requests 5", "--max-requests is for workers; add --workers N"),
        ("--workers 2 --max-requests 0", "--max-requests: '0' is not 1 or more"),
    ],
)
def test_wrong_options(
    options: str,
    complaint: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert main(["serve", "tests.cli.handlers:Upper", "--bind", HERE, *options.split()]) == 2
    assert complaint in capsys.readouterr().err


def test_a_system_without_fork(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delattr(os, "fork")
    assert main(["serve", "tests.cli.handlers:Upper", *TWO]) == 1
    assert "this system cannot fork" in capsys.readouterr().err
