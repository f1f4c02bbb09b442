from __future__ import annotations

import os
import socket

import pytest

from benchmarks.measure import Figures, measure, suits
from benchmarks.processes import Failed, Skipped, build_programs, start_server
from benchmarks.servers import BLOCK, SERVERS
from benchmarks.works import Work
from tests.benchmarks.made_up import PLAN

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture(scope="module", autouse=True)
def _programs() -> None:
    try:
        build_programs()
    except Failed as error:
        pytest.skip(str(error))


def exchange(port: int, data: bytes, size: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        with client.makefile("rb") as replies:
            return replies.read(size)


@pytest.mark.parametrize("name", SERVERS)
def test_every_server_does_the_work(name: str) -> None:
    cores = sorted(os.sched_getaffinity(0))
    handlers = ["datagram"] if SERVERS[name].datagrams else ["line", "lines", "blocks"]
    for handler in handlers:
        try:
            with start_server(name, handler, cores, 60) as (_, port):
                if handler == "datagram":
                    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                        client.settimeout(30)
                        client.sendto(b"one", ("127.0.0.1", port))
                        assert client.recv(100) == b"ONE"
                elif handler == "blocks":
                    block = os.urandom(BLOCK) * 3
                    assert exchange(port, block, len(block)) == block
                else:
                    sent = b"one\n" if handler == "line" else b"one\ntwo\n"
                    assert exchange(port, sent, len(sent)) == sent.upper()
        except Skipped as why:
            pytest.skip(str(why))


def measured(work: str, name: str) -> Figures:
    assert suits(Work.parse(work), name)
    return measure(Work.parse(work), name, PLAN)


@pytest.mark.parametrize("work", ["echo:4:p4:o5", "churn:2", "bulk:2", "echo:2:free"])
def test_load_is_counted(work: str) -> None:
    figures = measured(work, "sync-threads")
    assert figures["cpu_us"] > 0
    assert 0 < figures["p50_us"] <= figures["p99_us"] <= figures["max_us"]
    assert figures["errors"] == 0


def test_datagrams_are_counted() -> None:
    assert measured("udp:2", "sync-udp")["per_second"] > 0


def test_idle_connections_are_held_and_served_once_more() -> None:
    figures = measured("idle:50", "sync-threads")
    assert figures["threads"] >= 50
    assert measured("idle:50", "trio-async")["threads"] < 50


def test_stops_are_timed() -> None:
    assert 0 < measured("stop", "sync-inline")["stop_ms"] <= 10_000


@pytest.mark.parametrize("work", ["mute:4", "deaf:4", "reset:2", "flood:4"])
def test_one_client_is_measured_beside_others(work: str) -> None:
    figures = measured(work, "trio-async")
    assert 0 < figures["p50_us"] <= figures["p99_us"]
    assert 0 < figures["new_ms"] < 10_000
    assert (figures["neighbour_lines"] > 0) == work.startswith(("reset", "flood"))


def test_a_server_that_ends_kept_connections_is_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Work, "handler", "line")
    with pytest.raises(Failed, match=r"kept connection ended|Broken pipe|reset"):
        measured("echo:1", "sync-threads")
