from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.report import as_json
from benchmarks.servers import SERVERS
from tests.benchmarks.made_up import PLAN, loaded, results, row


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert main([*arguments, "--list"]) == 0
    return capsys.readouterr().out.split()


def test_a_whole_run_has_every_server(capsys: pytest.CaptureFixture[str]) -> None:
    assert {name.partition("/")[2] for name in listed(capsys)} == set(SERVERS)


def test_works_families_and_patterns_choose(capsys: pytest.CaptureFixture[str]) -> None:
    chosen = listed(capsys, "--works", "echo:1,udp:4", "--family", "sync", "--only", "*inline")
    assert chosen == ["echo:1/sync-inline", "echo:1/sync-async-inline"]


def test_what_takes_long_is_for_those_who_lead_unless_all_are_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    few = listed(capsys, "--works", "flood:64")
    assert few == [f"flood:64/{name}" for name, entry in SERVERS.items() if entry.leads]
    assert set(few) < set(listed(capsys, "--works", "flood:64", "--all"))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--works", "echo:none"], "'none' is not a number of peers"),
        (["--only", "nobody"], "nothing matches --only"),
        (["--rounds", "-1"], "invalid _count value"),
        (["--add", "/nowhere"], "/nowhere"),
    ],
)
def test_mistakes_are_told(
    capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert complaint in capsys.readouterr().err


def test_earlier_rounds_can_be_told_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "results.json"
    file.write_text(as_json(results(row("echo:1", "sync-inline", loaded(cpu=12.3))), PLAN))
    again = tmp_path / "again.json"
    assert main(["--add", str(file), "--rounds", "0", "--json", str(again)]) == 0
    assert "12.3" in capsys.readouterr().out
    assert '"cpu_us": 12.3' in again.read_text()
