from __future__ import annotations

import os
from pathlib import Path

import pytest

from sansio_server.cli import main
from sansio_server.diagrams import DIAGRAMS, FORMATS, diagram

PAGE = """\
# A page

<!-- diagram: request -->
stale
<!-- /diagram -->
"""


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", DIAGRAMS)
def test_each_is_printed(name: str, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diagram", name, "--format", form]) == 0
    assert capsys.readouterr() == (diagram(name, form), "")


def test_the_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diagram"]) == 0
    assert capsys.readouterr().out == diagram("request", "mermaid")


def test_a_file_is_refreshed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "page.md"
    path.write_text(PAGE)
    assert main(["diagram", "--write", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: refreshed\n"
    assert path.read_text() == PAGE.replace("stale\n", f"```mermaid\n{diagram('request')}```\n")


def test_one_that_is_up_to_date_is_not_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "page.md"
    path.write_text(PAGE)
    main(["diagram", "--write", str(path)])
    os.utime(path, (1, 1))
    capsys.readouterr()
    assert main(["diagram", "--write", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: up to date\n"
    assert path.stat().st_mtime == 1


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"nothing to draw", "there is no line <!-- diagram: NAME -->"),
        (b"<!-- diagram: server -->\n", "lacks the other"),
        (b"<!-- diagram: cat -->\n<!-- /diagram -->\n", "there is no diagram 'cat'"),
        (b"\xff", "'utf-8' codec can't decode byte 0xff"),
        (None, "No such file or directory"),
    ],
)
def test_a_file_that_cannot_be_refreshed_is_left_alone(
    content: bytes | None, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "page.md"
    if content is not None:
        path.write_bytes(content)
    assert main(["diagram", "--write", str(path)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"sansio-server diagram: error: {path}: ")
    assert why in err
    assert err.count("\n") == 1
    assert (path.read_bytes() if path.exists() else None) == content


@pytest.mark.parametrize("words", ["request", "--format dot"])
def test_what_to_draw_is_said_once(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diagram", *words.split(), "--write", "page.md"]) == 2
    assert "the markers in page.md say what to draw" in capsys.readouterr().err
