"""Serving on the blocking backend: what is different from others."""

from __future__ import annotations

import os
import signal

import pytest

import sync_backend
from sansio_server.cli.blocking import server_class
from sansio_server.cli.console import CommandError
from tests.cli.commands import serving

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
