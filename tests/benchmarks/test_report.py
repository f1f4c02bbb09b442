from __future__ import annotations

import json
import math

from benchmarks.report import as_json, as_markdown, as_text, tables
from tests.benchmarks.made_up import PLAN, beside, idle, loaded, results, row, stopped

RUN = results(
    row("echo:64", "stdlib-threads", loaded(cpu=10)),
    row("echo:64", "sync-threads", loaded(cpu=9), loaded(cpu=8, others=1)),
    row("idle:5000", "sync-threads", idle(20)),
    row("stop", "sync-threads", stopped(9.0)),
    row("flood:64", "sync-threads", beside(math.inf)),
)


def test_each_work_has_a_table_sorted_by_its_figure() -> None:
    made = {table.key: table for table in tables(RUN)}
    assert list(made) == ["echo:64", "idle:5000", "stop", "flood:64", "budgets"]
    echo = made["echo:64"]
    assert [line[0] for line in echo.lines] == ["sync-threads", "stdlib-threads"]
    assert dict(zip(echo.heads, echo.lines[0], strict=True))["to its peer"] == "1.11 ×"
    assert "never" in made["flood:64"].lines[0]


def test_lines_are_as_long_as_their_heads() -> None:
    for table in tables(RUN):
        assert {len(line) for line in table.lines} == {len(table.heads)}


def test_the_table_of_budgets_tells_kept_from_missed() -> None:
    budgets = next(table for table in tables(RUN) if table.key == "budgets")
    verdicts = {(line[0], line[1]): line[-1] for line in budgets.lines}
    assert verdicts == {("echo:64", "sync-threads"): "kept", ("stop", "sync-threads"): "MISSED"}


def test_what_could_not_be_measured_is_told() -> None:
    skipped = row("echo:1", "gevent-streamserver")
    skipped.problem = "skipped: No module named 'gevent'"
    assert "No module named 'gevent'" in as_text(results(skipped))


def test_a_row_that_was_always_disturbed_says_so() -> None:
    assert "no quiet round" in as_text(results(row("echo:1", "sync-inline", loaded(others=1))))


def test_markdown_and_json_have_the_facts_of_the_run() -> None:
    assert as_markdown(RUN, PLAN).startswith("Python: CPython 3.")
    document = json.loads(as_json(RUN, PLAN))
    assert document["run"]["seconds of load in a round"] == 0.5
    assert document["rows"][1]["best"]["cpu_us"] == 9
    assert [verdict["kept"] for verdict in document["budgets"]] == [True, False]
