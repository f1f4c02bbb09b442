from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sansio_server.cli.search_path import has_own_entry, look_here
from tests.cli.commands import PATIENCE, ROOT


@pytest.fixture
def path(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    path = ["elsewhere"]
    monkeypatch.setattr(sys, "path", path)
    return path


def test_the_working_directory_comes_first_once(
    path: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    look_here()
    look_here()
    assert path == [str(tmp_path), "elsewhere"]


def test_a_working_directory_that_is_gone_is_not_looked_at(
    path: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    look_here()
    assert path == ["elsewhere"]
    os.chdir(tmp_path)


def test_isolated_python_has_no_entry_of_its_own(tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.append({str(ROOT)!r})\n"
        "from sansio_server.cli.search_path import has_own_entry, look_here\n"
        "before = list(sys.path); look_here(); print(has_own_entry(), sys.path == before)"
    )
    command = [sys.executable, "-I", "-c", code]
    result = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (result.stdout, result.stderr) == ("False True\n", "")
    assert has_own_entry()
