"""The comparison: what is not listed is found, and so is what is listed and does not show."""

from __future__ import annotations

import attrs
import pytest

from tests.parity import comparison
from tests.parity.comparison import Listed, changes, complaints, listed
from tests.parity.difference import Case, Difference

CASE = Case("asked", stdlib=("says no",), here=("says yes",), ways=("inline",))
ROW = Difference("1", "no", "yes", "politeness", cases=(CASE,), about=("says",))


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "DIFFERENCES", (ROW,))


@pytest.mark.usefixtures("table")
def test_only_the_case_itself_is_listed() -> None:
    assert listed("asked", "inline", "TCPServer") == Listed(ROW, CASE)
    assert listed("asked", "forks", "TCPServer") is None
    assert listed("something else", "inline", "TCPServer") is None


def test_a_row_that_does_not_hold_here_lists_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "DIFFERENCES", (attrs.evolve(ROW, when=lambda: False),))
    assert listed("asked", "inline", "TCPServer") is None


def test_a_case_listed_twice_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "DIFFERENCES", (ROW, ROW))
    with pytest.raises(AssertionError, match="more than one"):
        listed("asked", "inline", "TCPServer")


def test_a_row_of_a_column_comes_before_that_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    own = attrs.evolve(ROW, row="2", columns=("trio",))
    monkeypatch.setattr(comparison, "DIFFERENCES", (ROW, own))
    assert listed("asked", "inline", "TCPServer", "trio") == Listed(own, CASE)
    assert listed("asked", "inline", "TCPServer", "sync") == Listed(ROW, CASE)


def test_entering_and_leaving_need_not_show() -> None:
    """Where request is compared with request, they do not."""
    listing = Listed(ROW, attrs.evolve(CASE, here=("enter says(",)))
    assert complaints(changes(["says no"], ["says(): None"]), listing) == []


def test_equal_traces_are_right_where_nothing_is_listed() -> None:
    assert complaints(changes(["a", "b"], ["a", "b"]), None) == []


def test_a_difference_that_is_not_listed_is_wrong() -> None:
    found = changes(["enter a", "leave a"], ["enter a", "raise a"])
    assert complaints(found, None) == ["not listed: -leave a", "not listed: +raise a"]


def test_a_listed_difference_that_shows_is_right() -> None:
    assert complaints(changes(["he says no"], ["he says yes"]), Listed(ROW, CASE)) == []


def test_a_listed_difference_that_does_not_show_is_wrong() -> None:
    wrong = complaints(changes(["he says no"], ["he says no"]), Listed(ROW, CASE))
    assert "row 1 does not show" in wrong


def test_half_of_a_listed_difference_is_wrong() -> None:
    wrong = complaints(changes(["he says no"], ["he says nothing"]), Listed(ROW, CASE))
    assert wrong == ["row 1, only ours: 'says yes' does not show"]


def test_more_than_the_listed_difference_is_wrong() -> None:
    wrong = complaints(changes(["he says no"], ["he says yes", "leaves"]), Listed(ROW, CASE))
    assert wrong == ["row 1 is not about this: +leaves"]
