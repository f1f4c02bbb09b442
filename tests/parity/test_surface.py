"""Names, hierarchy, attributes and signatures: those of the stdlib, and what the table lists."""

from __future__ import annotations

import pytest

from tests.parity.columns import COLUMNS, STDLIB, Column
from tests.parity.comparison import changes
from tests.parity.differences import DIFFERENCES
from tests.parity.surface import instance_names, public_names, surface

ROWS = [difference for difference in DIFFERENCES if difference.when()]
LISTED_LINES = [line for row in ROWS for line in row.surface]

DROP_INS = [column for column in COLUMNS if hasattr(column.module, "__all__")]
EACH_COLUMN = pytest.mark.parametrize("column", DROP_INS, ids=lambda column: column.name)


@EACH_COLUMN
def test_public_names(column: Column) -> None:
    theirs, ours = set(public_names(STDLIB.module)), set(public_names(column.module))
    assert theirs <= ours
    assert ours - theirs <= listed_names(column)


@EACH_COLUMN
@pytest.mark.parametrize("name", public_names(STDLIB.module))
def test_surface(column: Column, name: str) -> None:
    found = changes(surface(STDLIB.module, name), surface(column.module, name))
    changed = [
        line for line in found if line.split()[1].partition("(")[0] not in names_beside(column)
    ]
    assert [line for line in changed if not any(part in line for part in LISTED_LINES)] == []


@EACH_COLUMN
def test_listed_lines_show(column: Column) -> None:
    """A listed difference that is none any more would be a lie in the documentation."""
    found = [
        line
        for name in public_names(STDLIB.module)
        for line in changes(surface(STDLIB.module, name), surface(column.module, name))
    ]
    assert [part for part in LISTED_LINES if not any(part in line for line in found)] == []


@EACH_COLUMN
def test_names_beside_the_stdlibs(column: Column) -> None:
    """Each public name more may be one that a program has given to something of its own."""
    found, names = names_beside(column), listed_names(column)
    assert sorted(found - names) == [], "not listed"
    assert sorted(names - found) == [], "listed, and not there"


def listed_names(column: Column) -> set[str]:
    """Return the names that the table lists for a column, and those of the column alone."""
    rows = [row for row in ROWS if not row.columns or column.name in row.columns]
    return {*column.names, *(name for row in rows for name in row.names)}


def names_beside(column: Column) -> set[str]:
    """Return the names of classes, and of what servers have, that the stdlib has not."""
    return _all_names(column) - _all_names(STDLIB)


def _all_names(column: Column) -> set[str]:
    classes = public_names(column.module)
    return {*classes, *(name for cls in classes for name in instance_names(column.module, cls))}
