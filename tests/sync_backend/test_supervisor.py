"""What joins a worker to its supervisor."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from sync_backend.supervisor import READY, STOPPED, Channel, WorkerProcess
from tests.sync_backend.support import in_thread


@pytest.fixture
def ends() -> Iterator[tuple[Channel, WorkerProcess]]:
    here, there = socket.socketpair()
    channel, process = Channel(there, None), WorkerProcess(0, here, None)
    yield channel, process
    channel.close()
    process.close()


def test_what_a_worker_says_is_heard(ends: tuple[Channel, WorkerProcess]) -> None:
    channel, process = ends
    channel.say(READY)
    channel.report("well")
    channel.say(STOPPED)
    assert process.hear() == [READY, "report well", STOPPED]
    assert process.hear() == []


def test_a_long_report_comes_whole_though_it_waits(ends: tuple[Channel, WorkerProcess]) -> None:
    channel, process = ends
    text = "x" * 2_000_000  # more than the sockets hold
    heard: list[str] = []
    with in_thread(channel.report, text):
        while not heard:
            heard += process.hear()
    assert heard == [f"report {text}"]


def test_one_who_was_not_heard_for_long_waits(ends: tuple[Channel, WorkerProcess]) -> None:
    channel, process = ends
    with suppress(BlockingIOError):
        while True:
            channel._end.send(b"." * 65536)
    heard: list[str] = []
    with in_thread(channel.say, READY):
        while not heard:
            heard += process.hear()
    assert heard[0].endswith(READY)


def test_saying_something_to_nobody_is_harmless(ends: tuple[Channel, WorkerProcess]) -> None:
    channel, process = ends
    process.close()
    channel.say(READY)
    assert not channel.look()


def test_a_worker_looks_for_what_its_supervisor_says(ends: tuple[Channel, WorkerProcess]) -> None:
    channel, process = ends
    assert channel.look()
    process.let_look()
    assert channel.look()
    assert not channel.cuts
    process.let_cut()
    assert channel.look()
    assert channel.cuts
