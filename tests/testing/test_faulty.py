"""The kit finds what is planted, and nothing where nothing is.

Each fault of :mod:`tests.testing.faulty` passes a plain happy-path test, is found within a thousand
seeds, and shrinks to a script that shows it again; its corrected twin passes them all.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

import sync_backend
from sansio_server.testing import (
    Report,
    ScriptedServer,
    Simulation,
    excuse_errors,
    in_memory,
    simulate,
)
from tests.testing.faulty.catalogue import LINES, PLANTED, Planted
from tests.testing.replayed import Upper, UpperAsync, UpperDatagram

ROOT = Path(__file__).parents[2]
# More by hand: `python -m tests.testing.test_faulty 10000` takes a quarter of an hour or so.
MANY = 1500
BY_NAME = {each.name: each for each in PLANTED}


def torment(planted: Planted, which: dict[str, Any], seeds: Iterable[int], **more: Any) -> Report:
    return simulate(
        **which,
        clients=planted.clients,
        seeds=seeds,
        faults=planted.faults,
        invariants=planted.invariants,
        without=planted.without,
        between_lines=planted.between_lines,
        **more,
    )


@pytest.mark.parametrize("name", BY_NAME)
@pytest.mark.parametrize("side", ["faulty", "correct"])
def test_the_happy_path_shows_nothing(name: str, side: str) -> None:
    planted = BY_NAME[name]
    which = getattr(planted, side)
    server_class = in_memory(which.get("server_class", sync_backend.ThreadingTCPServer))
    with ScriptedServer(which["handler"], server_class) as server:
        if server_class.__name__ == "Packets":
            packets = server.datagram_client()
            packets.send(b"open hello")
            packets.recv()
            packets.send(b"read")
            assert packets.recv() == planted.reply
            return
        client = server.connect()
        client.send(b"".join(LINES))
        client.shutdown_write()
        assert client.read_to_end() == planted.reply
        assert server.errors == []


@pytest.mark.parametrize("name", BY_NAME)
def test_it_is_found(name: str) -> None:
    planted = BY_NAME[name]
    report = torment(planted, planted.faulty, range(1000), stop_at=1)
    assert planted.found_by in report.invariants
    (failure,) = report.failures
    # What it was shrunk to shows the same, and is no longer than it must be.
    assert failure.short_run.findings[0].invariant == failure.findings[0].invariant
    assert sum(len(client.actions) for client in failure.script.clients) <= 10
    with Simulation(
        **planted.faulty, invariants=planted.invariants, without=planted.without
    ) as simulation:
        again = simulation.examine(failure.script)
    assert again.findings[0].invariant == failure.findings[0].invariant
    # And it shows that alone: whoever mends the fault has a test that passes.
    with Simulation(
        **planted.correct, invariants=planted.invariants, without=planted.without
    ) as simulation:
        mended = simulation.examine(failure.script)
    assert mended.findings == (), mended.report()


@pytest.mark.parametrize("name", BY_NAME)
def test_its_twin_passes(name: str) -> None:
    planted = BY_NAME[name]
    report = torment(planted, planted.correct, range(100))
    assert report.failures == (), str(report)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_twins_pass_many_seeds() -> None:
    names = list(BY_NAME)
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", __name__, str(MANY), *part],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for part in (names[::2], names[1::2])
    ]
    assert [process.communicate()[0] for process in processes] == ["", ""]
    assert [process.returncode for process in processes] == [0, 0]


@pytest.mark.parametrize("kind", ["", "Threading", "Forking"])
@pytest.mark.parametrize(
    ("base", "handler"),
    [
        ("TCPServer", Upper),
        ("TCPServer", UpperAsync),
        ("UnixStreamServer", Upper),
        ("UDPServer", UpperDatagram),
        ("UnixDatagramServer", UpperDatagram),
    ],
)
def test_a_good_handler_passes_on_every_kind_of_server(
    kind: str, base: str, handler: Callable[..., Any]
) -> None:
    # As in the standard library, closing takes away the socket by which threads reply to datagrams.
    cannot_reply = kind == "Threading" and handler is UpperDatagram
    report = simulate(
        handler,
        server_class=getattr(sync_backend, kind + base),
        send=LINES,
        seeds=range(100),
        invariants=[excuse_errors(OSError)] if cannot_reply else (),
    )
    assert report.failures == (), str(report)


if __name__ == "__main__":
    for each in sys.argv[2:] or BY_NAME:
        result = torment(BY_NAME[each], BY_NAME[each].correct, range(int(sys.argv[1])))
        if result.failed:
            print(each, result)
