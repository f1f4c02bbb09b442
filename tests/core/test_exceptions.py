"""What the exceptions are, say and carry."""

from __future__ import annotations

import pickle

import pytest

from sansio_server.exceptions import IllegalTransition, IncompleteRead, LineTooLong, SuspendedError


@pytest.mark.parametrize(
    ("kind", "base"),
    [
        (IllegalTransition, RuntimeError),
        (SuspendedError, RuntimeError),
        (LineTooLong, ValueError),
        (IncompleteRead, EOFError),
    ],
)
def test_each_may_be_caught_as_the_built_in_that_it_refines(
    kind: type[Exception], base: type[Exception]
) -> None:
    assert issubclass(kind, base)


def test_a_line_too_long_says_how_long_one_may_be() -> None:
    error = LineTooLong(80)
    assert (str(error), error.limit) == ("no delimiter within 80 bytes", 80)


def test_an_incomplete_read_has_what_came() -> None:
    error = IncompleteRead(b"abc", 5)
    assert (error.partial, error.expected) == (b"abc", 5)
    assert str(error) == "the stream ended after 3 bytes, before 5 bytes"


def test_an_incomplete_read_of_a_line_lacks_a_delimiter() -> None:
    error = IncompleteRead(b"", None)
    assert (error.partial, error.expected) == (b"", None)
    assert str(error) == "the stream ended after 0 bytes, before a delimiter"


@pytest.mark.parametrize("error", [LineTooLong(80), IncompleteRead(b"abc", None)])
def test_they_can_be_passed_to_another_process(error: Exception) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))
