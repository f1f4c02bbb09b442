"""Every block of Python in the documentation runs, and prints what is said there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import LANGUAGES, PAGES, ROOT, blocks, name_of

PATIENCE = 50  # seconds for all blocks of a page


def has_python(page: Path) -> bool:
    return any(block.language == "python" for block in blocks(page))


@pytest.mark.parametrize("page", [page for page in PAGES if has_python(page)], ids=name_of)
def test_python_runs(page: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-m", "tests.docs.run_page", str(page)]
    result = subprocess.run(
        command,
        cwd=tmp_path,
        # Where Hypothesis sees CI, a slow machine is no failure, and examples are always the same.
        env=os.environ | {"PYTHONPATH": str(ROOT), "CI": "true"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert result.returncode == 0, result.stderr


def lines_of(text: str, indent: str = "") -> str:
    """Return lines without the empty ones, which formatters put where they like."""
    return "".join(f"{indent}{line}\n" for line in text.splitlines() if line)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_excerpts_stand_where_they_are_said_to(page: Path) -> None:
    strays = []
    for block in blocks(page):
        if block.excerpt is not None:
            source = lines_of((ROOT / block.excerpt).read_text())
            # Methods are shown without their class, and so without its indentation.
            if not any(lines_of(block.text, indent) in source for indent in ("", "    ")):
                strays.append(str(block))
    assert strays == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_languages_are_known(page: Path) -> None:
    strays = [f"{block}: {block.language!r}" for block in blocks(page)]
    assert [stray for stray in strays if stray.split("'")[1] not in LANGUAGES] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_output_follows_what_prints_it(page: Path) -> None:
    languages = ["", *(block.language for block in blocks(page))]
    before = [languages[at - 1] for at, name in enumerate(languages) if name == "output"]
    assert set(before) <= {"python"}
