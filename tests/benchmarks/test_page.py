from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks.page import filled_in, slower_table
from benchmarks.report import Table, as_json
from benchmarks.servers import SERVERS
from benchmarks.works import DEFAULT_WORKS, Work
from tests.benchmarks.made_up import PLAN, beside, idle, loaded, results, row

DOCS = Path(__file__).parents[2] / "docs"

TABLE = Table("echo:1", "echo:1", ["server", "µs"], [["one", "1"]])


def test_a_block_is_filled_and_the_rest_stays() -> None:
    page = "before\n<!-- measured: echo:1 -->\nold\n<!-- /measured -->\nafter\n"
    filled = filled_in(page, [TABLE])
    assert filled == page.replace("old", "| server | µs |\n| --- | ---: |\n| one | 1 |")
    assert filled_in(filled, [TABLE]) == filled


def test_a_block_whose_table_was_not_made_stays() -> None:
    page = "<!-- measured: stop -->\nold\n<!-- /measured -->\n"
    assert filled_in(page, [TABLE]) == page


def test_a_page_without_blocks_is_refused() -> None:
    with pytest.raises(ValueError, match="no block"):
        filled_in("nothing", [TABLE])


def test_what_is_slower_than_a_rival_is_listed() -> None:
    run = results(
        row("echo:64", "trio-async", loaded(cpu=15)),
        row("echo:64", "bare-trio", loaded(cpu=30)),
        row("echo:64", "uvloop-streams", loaded(cpu=10)),
        row("echo:64", "asyncio-streams", loaded(cpu=14.5)),
    )
    lines = [["echo:64", "trio-async", "uvloop-streams", "CPU a request", "1.50 ×", ""]]
    assert slower_table(run).lines == lines


def test_the_page_of_the_documentation_has_a_place_for_every_table_of_a_whole_run() -> None:
    page = (DOCS / "performance.md").read_text(encoding="utf-8")
    blocks = re.findall(r"<!-- measured: (\S+) -->", page)
    growth = {work for work in DEFAULT_WORKS if re.fullmatch(r"echo:10+(:o\d+)?", work)}
    expected = {*DEFAULT_WORKS, "budgets", "slower", "run"} - (growth - {"echo:1000"})
    assert sorted(blocks) == sorted(expected)


@pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="the extra bench is not installed"
)
def test_a_page_is_written_with_plots_that_can_be_read(tmp_path: Path) -> None:
    shutil.copy(DOCS / "performance.md", tmp_path)
    rows = []
    for name in DEFAULT_WORKS:
        work = Work.parse(name)
        made = {"idle": idle(), "flood": beside(float("inf"))}.get(work.mode, loaded())
        if work.mode in {"mute", "deaf", "reset"}:
            made = beside()
        if work.mode != "stop":
            rows += [row(name, server, made) for server in SERVERS if SERVERS[server].leads]
    earlier = tmp_path / "results.json"
    earlier.write_text(as_json(results(*rows), PLAN), encoding="utf-8")
    # In a process of its own, since matplotlib keeps files open.
    command = [*(sys.executable, "-m", "benchmarks", "--rounds", "0"), "--add", str(earlier)]
    subprocess.run([*command, "--docs", str(tmp_path)], cwd=DOCS.parent, check=True, timeout=50)
    plots = sorted((tmp_path / "plots").iterdir())
    shown = re.findall(r"\(plots/(.+?)\)", (tmp_path / "performance.md").read_text("utf-8"))
    assert [plot.name for plot in plots] == sorted(shown)
    for plot in plots:
        assert ET.parse(plot).getroot().tag == "{http://www.w3.org/2000/svg}svg"
