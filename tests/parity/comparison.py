"""Compares two traces in the light of the listed differences."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

import attrs

from tests.parity.difference import Case, Difference
from tests.parity.differences import DIFFERENCES


@attrs.frozen
class Listed:
    """What the table says about one scenario, in one way, with one kind of server."""

    difference: Difference
    case: Case


def listed(scenario: str, way: str, kind: str, column: str = "") -> Listed | None:
    """Return what the table says, if anything; of this column rather than of all."""
    found = [
        Listed(difference, case)
        for difference in DIFFERENCES
        if difference.when() and (not difference.columns or column in difference.columns)
        for case in difference.cases
        if case.scenario == scenario and way in case.ways and kind in case.kinds
    ]
    of_column = [each for each in found if each.difference.columns]
    found = of_column or found
    assert len(found) <= 1, f"{scenario}, {way}, {kind}: listed by more than one case"
    return found[0] if found else None


def changes(stdlib: Sequence[str], here: Sequence[str]) -> list[str]:
    """Return the lines that only one of two traces has, marked by - and +."""
    lines = list(difflib.unified_diff(stdlib, here, n=0, lineterm=""))
    return [line for line in lines[2:] if not line.startswith("@@")]


def complaints(found: list[str], listing: Listed | None) -> list[str]:
    """Say what is wrong with the differences found."""
    if listing is None:
        return [f"not listed: {line}" for line in found]
    row, case, about = listing.difference.row, listing.case, listing.difference.about
    lost = [line for line in found if line.startswith("-")]
    gained = [line for line in found if line.startswith("+")]
    return [
        *_missing(f"row {row}, only the stdlib's", case.stdlib, lost),
        *_missing(f"row {row}, only ours", case.here, gained),
        *(
            f"row {row} is not about this: {line}"
            for line in found
            if not any(word in line for word in about)
        ),
        *([] if found else [f"row {row} does not show"]),
    ]


def _missing(what: str, parts: Iterable[str], lines: Sequence[str]) -> list[str]:
    # Where request is compared with request, there are no lines for entering and leaving.
    return [
        f"{what}: {part!r} does not show"
        for part in parts
        if not any(part in line or part.removeprefix("enter ") in line for line in lines)
    ]
