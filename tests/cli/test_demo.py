from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import attrs
import pytest

from sansio_server import BaseRequestHandler
from sansio_server.cli import demo_ways, main
from sansio_server.cli.demo import Result, compare, try_out
from sansio_server.cli.demo_ways import TRANSPORTS, WAYS, Transport, Way
from tests.cli.commands import run

HOOKS = ("verify_request", "process_request", "finish_request", "shutdown_request")
FIRST = Result("inline", "TCP", "hello", "HELLO", HOOKS, 0.0012)
TCP = TRANSPORTS[0]


class Lower(BaseRequestHandler):
    """Does not do what it should."""

    def handle(self) -> None:
        self.request.sendall(self.request.recv(1024).lower())


def test_it_shows_that_all_agree(tmp_path: Path) -> None:
    ended = run("demo", cwd=tmp_path)
    assert (ended.status, ended.err) == (0, "")
    head, *rows, blank, total = ended.out
    assert head.split("  ")[0] == "way of serving"
    assert len(rows) == len(WAYS) * len(TRANSPORTS) == 56
    for row in rows:
        name, over, sent, received, took, hooks = re.split(r" {2,}", row)
        assert name in [way.name for way in WAYS]
        assert over in [transport.name for transport in TRANSPORTS]
        assert received == sent.upper()
        assert re.fullmatch(r"\d+\.\d ms", took)
        assert hooks == ("verify, process, finish, shutdown" if row is rows[0] else "equal")
    assert (blank, total) == ("", "56 of 56 agree")
    assert list(tmp_path.iterdir()) == []


# From Python 3.12 on, os.fork() warns in a process with threads.
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
@pytest.mark.parametrize("transport", TRANSPORTS, ids=lambda each: each.name)
def test_each_way_agrees(way: Way, transport: Transport) -> None:
    result = try_out(way, transport)
    assert result.agrees_with(FIRST)
    assert result.failure == ""
    assert result.stopped > 0


def test_a_wrong_reply_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = attrs.evolve(WAYS[0], handler=Lower)
    monkeypatch.setattr(demo_ways, "WAYS", (WAYS[0], wrong))
    monkeypatch.setattr(demo_ways, "TRANSPORTS", (TCP,))
    assert main(["demo"]) == 1
    out, err = capsys.readouterr()
    *_, row, _, total = out.splitlines()
    assert "hello tcp" in row
    assert row.endswith("WRONG REPLY")
    assert total == "1 of 2 agree"
    assert err == ""


def test_a_server_that_cannot_be_reached_is_told() -> None:
    def nobody(*_: object) -> bytes:
        raise TimeoutError("timed out")

    result = try_out(WAYS[0], attrs.evolve(TCP, ask=nobody))
    assert result.failure == "TimeoutError: timed out"
    assert not result.agrees_with(FIRST)
    assert result.hooks == ()


@pytest.mark.parametrize(
    ("change", "cell"),
    [
        ({}, "equal"),
        ({"hooks": HOOKS[:2]}, "DIFFERS: verify, process"),
        ({"hooks": ()}, "DIFFERS: none"),
        ({"received": "hello"}, "WRONG REPLY"),
        ({"failure": "OSError: no"}, "OSError: no"),
    ],
)
def test_each_row_is_compared_with_the_first(change: dict[str, Any], cell: str) -> None:
    second = attrs.evolve(FIRST, **change)
    head, first, row = compare([FIRST, second])
    column = head.index("order of hooks")
    assert first[column:] == "verify, process, finish, shutdown"
    assert row[column:] == cell
    assert second.agrees_with(FIRST) == (cell == "equal")


def test_it_serves_on_this_machine_alone() -> None:
    for transport in TRANSPORTS:
        address = transport.address(Path("folder"))
        assert address.host in ("127.0.0.1", "")
        assert address.path in ("folder/server", "")
