from __future__ import annotations

import math

import pytest

from benchmarks.budgets import Budget
from benchmarks.report import as_json
from benchmarks.results import Row, load_rounds
from benchmarks.works import Work
from tests.benchmarks.made_up import PLAN, beside, loaded, results, row


def test_the_best_quiet_round_counts() -> None:
    measured = row(
        "echo:64", "sync-threads", loaded(cpu=12), loaded(cpu=10), loaded(cpu=5, others=0.5)
    )
    assert measured.figure("cpu_us") == 10
    assert measured.median("cpu_us") == 11
    assert measured.spread == pytest.approx(0.2)


def test_without_a_quiet_round_all_count() -> None:
    measured = row("echo:64", "sync-threads", loaded(cpu=12, others=1), loaded(cpu=9, others=1))
    assert not measured.quiet
    assert measured.figure("cpu_us") == 9


def test_latencies_are_medians() -> None:
    rounds = [loaded(cpu=1, p99=900), loaded(cpu=2, p99=100), loaded(cpu=3, p99=500)]
    assert row("echo:64", "sync-threads", *rounds).figure("p99_us") == 500


def test_the_spread_of_equal_and_of_endless_figures() -> None:
    assert row("flood:64", "sync-threads", beside(math.inf), beside(math.inf)).spread == 0
    assert row("flood:64", "sync-threads", beside(5), beside(math.inf)).spread == math.inf


def test_a_ratio_is_the_peers_figure_by_ours() -> None:
    ours = row("echo:64", "sync-threads", loaded(cpu=5))
    run = results(ours, row("echo:64", "stdlib-threads", loaded(cpu=10)))
    assert run.ratio(ours) == 2
    assert results(ours).ratio(ours) is None


def test_who_is_never_answered_loses_to_who_is_answered_late() -> None:
    silent = row("flood:64", "sync-threads", beside(math.inf))
    late = row("flood:64", "stdlib-threads", beside(9e6))
    assert results(silent, late).ratio(silent) == 0


@pytest.mark.parametrize(("cpu", "kept"), [(8.0, True), (9.0, False)])
def test_a_budget_against_a_peer(cpu: float, kept: bool) -> None:
    budget = Budget("churn:16", "sync-inline", "stdlib-inline", at_least=1.2)
    peer = row("churn:16", "stdlib-inline", loaded(cpu=10))
    verdict = results(row("churn:16", "sync-inline", loaded(cpu=cpu)), peer).judge(budget)
    assert verdict is not None
    assert verdict.kept is kept
    assert verdict.quiet
    assert verdict.value == pytest.approx(10 / cpu)


def test_a_budget_of_the_figure_itself() -> None:
    budget = Budget("stop", "sync-inline", at_most=5.0, figure="stop_ms")
    verdict = results(row("stop", "sync-inline", {"stop_ms": 6.0})).judge(budget)
    assert verdict is not None
    assert not verdict.kept


def test_a_budget_is_not_judged_without_both_sides() -> None:
    budget = Budget("churn:16", "sync-inline", "stdlib-inline", at_least=1.2)
    assert results(row("churn:16", "sync-inline", loaded())).judge(budget) is None
    assert results(row("churn:16", "stdlib-inline", loaded())).judge(budget) is None


def test_rounds_are_read_back_into_the_rows_that_had_them() -> None:
    first = row("flood:64", "sync-threads", beside(math.inf), beside(7))
    document = as_json(results(first, row("stop", "sync-forks", {"stop_ms": 1.0})), PLAN)
    again = Row(Work.parse("flood:64"), "sync-threads", [beside(8)])
    other = Row(Work.parse("echo:1"), "sync-threads")
    load_rounds([again, other], document)
    assert [figures["p99_us"] for figures in again.rounds] == [8, math.inf, 7]
    assert other.rounds == []


@pytest.mark.parametrize("document", ["", "[]", "{}", '{"rows": [{"work": "stop"}]}'])
def test_what_is_no_result_of_a_run_is_refused(document: str) -> None:
    with pytest.raises(ValueError, match="not the results of a run"):
        load_rounds([], document)
