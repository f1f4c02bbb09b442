"""The same scripts on the stdlib and on each column: traces differ only where it is listed.

Real sockets in all columns but that of memory: backends are held to each other by what their
clients see.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from tests.parity.columns import COLUMNS, STDLIB, column_named
from tests.parity.comparison import changes, complaints, listed
from tests.parity.difference import Difference
from tests.parity.differences import DIFFERENCES
from tests.parity.player import Answer, Player
from tests.parity.scenarios import SCENARIOS

CASES = [
    (column.name, way, name)
    for column in COLUMNS
    for name, scenario in SCENARIOS.items()
    if name not in column.without
    for way in column.ways_of(scenario)
]


def form_of(column: str, way: str) -> str:
    """Return how traces of a column are compared with those of the stdlib."""
    return column_named(column).forms.get(way, "actors")


# What the stdlib is asked for, so that it plays each scenario once for all columns.
FORMS: dict[tuple[str, str], set[str]] = {}
for column, way, name in CASES:
    FORMS.setdefault((name, way), set()).add(form_of(column, way))


@pytest.fixture(scope="module")
def players() -> Iterator[dict[str, Player]]:
    """A process for each column."""
    with ExitStack() as stack:
        yield {
            column.name: stack.enter_context(closing(Player(column.name)))
            for column in (STDLIB, *COLUMNS)
        }


@pytest.fixture(scope="module")
def expectations() -> dict[tuple[str, str], Answer]:
    """What the stdlib has answered."""
    return {}


@pytest.mark.parametrize(
    ("column", "way", "name"), [pytest.param(*case, id="-".join(case)) for case in CASES]
)
def test_trace(
    players: dict[str, Player],
    expectations: dict[tuple[str, str], Answer],
    column: str,
    way: str,
    name: str,
) -> None:
    form, asked = form_of(column, way), (name, way)
    players[column].ask(name, way, form)
    if asked not in expectations:  # play both at the same time
        players[STDLIB.name].ask(name, way, *FORMS[asked])
        expectations[asked] = players[STDLIB.name].answer()
    expected, answer = expectations[asked], players[column].answer()
    assert not expected.problems, "\n".join(expected.problems)
    assert not answer.problems, "\n".join(answer.problems)
    wrong: list[str] = []
    for kind, trace in answer.traces.items():
        found = changes(expected.traces[kind][form], trace[form])
        if complained := complaints(found, listed(name, way, kind, column)):
            wrong += [f"{kind}:", *complained, "all differences:", *found]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda row: f"row-{row.row}")
def test_each_case_of_the_table_is_played(difference: Difference) -> None:
    for case in difference.cases:
        scenario = SCENARIOS[case.scenario]
        assert set(case.ways) & set(scenario.ways), f"{case} is never played"
        assert set(case.kinds) & set(scenario.kinds), f"{case} is never played"


def test_each_row_has_an_id_of_its_own() -> None:
    rows = [difference.row for difference in DIFFERENCES]
    assert len(set(rows)) == len(rows)
    assert set(rows) >= {str(number) for number in range(1, 15)}
