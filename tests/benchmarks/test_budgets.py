from __future__ import annotations

import pytest

from benchmarks.budgets import BUDGETS, Budget
from benchmarks.measure import suits
from benchmarks.page import RIVALS
from benchmarks.servers import OURS, SERVERS, family
from benchmarks.works import DEFAULT_WORKS, Work


def _name(budget: Budget) -> str:
    return f"{budget.work}/{budget.server}/{budget.peer}/{budget.figure}"


@pytest.mark.parametrize("budget", BUDGETS, ids=_name)
def test_a_whole_run_measures_what_a_budget_needs(budget: Budget) -> None:
    assert budget.work in DEFAULT_WORKS
    for server in filter(None, (budget.server, budget.peer)):
        assert suits(Work.parse(budget.work), server)
    assert family(budget.server) in OURS


@pytest.mark.parametrize("budget", BUDGETS, ids=_name)
def test_a_budget_is_a_ratio_or_a_bound(budget: Budget) -> None:
    assert (budget.at_least > 0) == bool(budget.peer)
    assert (budget.at_most > 0) != bool(budget.peer)


def test_no_budget_stands_twice() -> None:
    assert len(set(map(_name, BUDGETS))) == len(BUDGETS)


def test_each_of_ours_has_rivals_and_a_peer() -> None:
    ours = {name for name in SERVERS if family(name) in OURS}
    assert set(RIVALS) == ours
    for name in ours:
        assert {*RIVALS[name], SERVERS[name].peer} <= set(SERVERS)
