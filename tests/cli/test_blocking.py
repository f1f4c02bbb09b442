"""Serving on the blocking backend: what is different from others."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import sync_backend
from sansio_server.cli.addresses import Address
from sansio_server.cli.backends import Plan
from sansio_server.cli.blocking import _Served, server_class
from sansio_server.cli.console import CommandError
from sansio_server.cli.events import Events
from sansio_server.cli.running import CLOSED, ENDED
from sansio_server.limits import Limits
from tests.cli.commands import PATIENCE, serving
from tests.cli.handlers import Upper

HERE = "tcp:127.0.0.1:0"


def test_children_do_not_hear_ctrl_c() -> None:
    with serving("Pid", "--bind", HERE, "--backend", "forks") as server:
        with server.connect() as client:
            pid = int(client.recv(1024))
            assert pid != server.process.pid
            os.kill(pid, signal.SIGINT)
            client.sendall(b"still there?")
            assert client.recv(1024) == b"STILL THERE?"
        assert server.stop().status == 0


def test_a_system_without_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(sync_backend, "ForkingMixIn")
    with pytest.raises(CommandError, match="no attribute 'ForkingMixIn'") as info:
        server_class("tcp", "forks")
    assert info.value.status == 1


def test_server_classes_have_the_names_that_people_know() -> None:
    assert server_class("tcp", "inline").__name__ == "TCPServer"
    made = server_class("unixgram", "threads", daemon_threads=True)
    assert made.__name__ == "ThreadingUnixDatagramServer"
    for base in (sync_backend.ThreadingMixIn, sync_backend.UnixDatagramServer):
        assert issubclass(made, base)
    assert vars(made)["daemon_threads"]


def test_a_stop_before_the_loop_has_begun_is_no_failure() -> None:
    events = Events()
    plan = Plan(Upper, (Address("tcp", "127.0.0.1"),), "inline", Limits(drain_timeout=PATIENCE))
    closed = threading.Event()
    served = _Served.open(plan, plan.addresses[0], events)
    serve, close = served._serve, served.server.server_close

    def server_close() -> None:
        close()
        closed.set()

    served.server.server_close = server_close

    def serve_late() -> None:
        assert closed.wait(PATIENCE)
        serve()

    served._loop = threading.Thread(target=serve_late)
    with closing(events):
        _Served.start([served])
        served.stop()
        assert {events.get(time.monotonic() + PATIENCE) for _ in range(2)} == {ENDED, CLOSED}
    assert served.failure is None


def test_whom_the_loop_is_about_to_give_away_is_drained_too(tmp_path: Path) -> None:
    events = Events()
    address = Address("unix", path=str(tmp_path / "socket"))
    plan = Plan(Upper, (address,), "threads", Limits(drain_timeout=0))
    served = _Served.open(plan, address, events)
    giving, gate = threading.Event(), threading.Event()
    give, join = served.server.process_request, served._loop.join

    def process_request(*args: Any) -> None:
        giving.set()
        assert gate.wait(PATIENCE)
        give(*args)

    def join_loop(*args: Any) -> None:
        gate.set()
        join(*args)

    served.server.process_request = process_request
    served._loop.join = join_loop  # type: ignore[assignment,method-assign]
    with closing(events), socket.socket(socket.AF_UNIX) as client:
        _Served.start([served])
        client.connect(str(tmp_path / "socket"))
        assert giving.wait(PATIENCE)
        served.stop()
        assert {events.get(time.monotonic() + PATIENCE) for _ in range(2)} == {ENDED, CLOSED}
    assert len(served.server.drain_report.cut) == 1
