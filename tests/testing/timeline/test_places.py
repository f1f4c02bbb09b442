"""What is the program's, and where it raised an error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import pytest

import sync_backend
from sansio_server.testing.timeline import places


def divide(number: int) -> float:
    return 1 / number


def parse(text: str) -> object:
    return json.loads(text)


@pytest.mark.parametrize(
    ("call", "argument", "name"), [(divide, 0, "divide"), (parse, "nothing", "parse")]
)
def test_the_innermost_place_of_the_program_is_told(call: Any, argument: Any, name: str) -> None:
    with pytest.raises((ZeroDivisionError, ValueError)) as caught:
        call(argument)
    line = call.__code__.co_firstlineno + 1
    assert places.place_of(caught.value) == f"in {name} (test_places.py:{line})"


def test_an_error_that_was_never_raised_is_nowhere() -> None:
    assert places.place_of(KeyError("x")) == ""


@pytest.mark.parametrize(
    "filename",
    [json.__file__, pytest.__file__, attrs.__file__, sync_backend.__file__, places.__file__],
)
def test_libraries(filename: str) -> None:
    assert not places.is_of_program(filename)


def test_programs() -> None:
    assert places.is_of_program(__file__)
    assert places.is_of_program(str(Path("app.py").resolve()))
    beside = Path(sync_backend.__file__).parents[1] / "sync_backend_of_mine.py"
    assert places.is_of_program(str(beside))
    assert not places.is_of_program("<frozen runpy>")
