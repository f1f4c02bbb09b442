"""Links, anchors and the paths of tests that the documentation names lead somewhere."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, anchors, links, name_of

# The part after the path is the name of a function, or of one in a class.
_TEST = re.compile(r"\btests/[\w/]+(?:\.py(?:::\w+)*|/)?")


def broken(page: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    destination = (page.parent / path).resolve() if path else page
    if not destination.exists():
        return True
    return bool(anchor) and anchor not in anchors(destination)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_internal_links_resolve(page: Path) -> None:
    inside = [target for target in links(page) if not re.match(r"https?://|mailto:", target)]
    assert [target for target in inside if broken(page, target)] == []


def names_in(path: Path) -> set[str]:
    return {
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.FunctionDef, ast.ClassDef))
    }


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_tests_that_are_named_exist(page: Path) -> None:
    missing = []
    for named in _TEST.findall(page.read_text()):
        path, *names = named.split("::")
        if not (ROOT / path).exists() or (names and not set(names) <= names_in(ROOT / path)):
            missing.append(named)
    assert missing == []
