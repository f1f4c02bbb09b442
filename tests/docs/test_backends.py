"""The guide to writing a backend names what one calls and brings, all of it and nothing else."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.docs.pages import ROOT, prose

PAGE = ROOT / "docs/backends.md"
CORE = ROOT / "sansio_server"

# What a row of a table begins with: one or more calls.
_ROW = re.compile(r"^\| (`[^|]+`) \|", re.MULTILINE)
_NAME = re.compile(r"`(\w+)\(")


def functions() -> Iterator[tuple[str, str]]:
    """The name and docstring of each function and method of the core."""
    for path in CORE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield node.name, ast.get_docstring(node) or ""


def in_rows() -> set[str]:
    """The names that the tables of the page list."""
    return {name for row in _ROW.findall(prose(PAGE)) for name in _NAME.findall(row)}


def test_what_says_when_to_call_it_is_named() -> None:
    told = {name for name, text in functions() if re.search(r"\bcall this\b", text, re.IGNORECASE)}
    assert told - set(_NAME.findall(prose(PAGE))) == set()


def test_what_a_backend_is_asked_for_is_listed() -> None:
    """Methods that stand below a comment that says so in the core."""
    asked = set()
    for path in CORE.glob("*.py"):
        source = path.read_text()
        for part in re.findall(r"    # What a backend .*?(?=\n    # |\Z)", source, re.DOTALL):
            asked |= set(re.findall(r"    (?:async )?def (\w+)", part))
    internal = {"_capacity", "_cut", "_name", "_sweep", "_gets_requests_itself", "_fetch"}
    assert asked >= internal
    assert asked - internal - in_rows() == set()


def test_what_is_listed_exists() -> None:
    assert in_rows() - {name for name, _ in functions()} == set()
