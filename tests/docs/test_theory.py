"""The map of the sources at the end of the theory of operation: complete, and up to date."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

MAP = (ROOT / "docs/theory.md").read_text().partition("## Where to find it\n")[2]


def mapped(folder: str) -> list[str]:
    """The names in the second column of the table that follows the mention of a folder."""
    table = MAP.partition(f"`{folder}/`")[2].partition("\n\n|")[2].partition("\n\n")[0]
    rows = [line.split("|")[2] for line in table.splitlines()[2:]]
    return [name for row in rows for name in re.findall(r"`(\w+)`", row)]


def modules(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("*.py") if not path.stem.startswith("__")}


@pytest.mark.parametrize("folder", ["sansio_server", "sync_backend", "trio_backend"])
def test_each_module_is_on_the_map(folder: str) -> None:
    assert set(mapped(folder)) == modules(ROOT / folder)


def test_each_folder_of_the_testing_kit_is_on_the_map() -> None:
    folder = ROOT / "sansio_server/testing"
    assert sorted(mapped("sansio_server/testing")) == sorted(
        path.parent.name for path in folder.glob("*/__init__.py")
    )
