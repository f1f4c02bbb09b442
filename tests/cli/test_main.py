"""The command line as a whole."""

from __future__ import annotations

import sys

import pytest

import sansio_server
from sansio_server import cli
from tests.cli.commands import run


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"sansio-server {sansio_server.__version__}\n"


@pytest.mark.parametrize("command", ["", "serve", "diagram", "demo"])
def test_help_says_how_to_call_it(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main([command, "--help"] if command else ["--help"])
    assert end.value.code == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"usage: sansio-server {command}".rstrip())
    assert "%(" not in out
    assert err == ""


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            [],
            "sansio-server: error: which command? serve, simulate, replay, diagram or demo; --h",
        ),
        (["--verison"], "sansio-server: error: unrecognized arguments: --verison"),
        (["demo", "--fast"], "sansio-server: error: unrecognized arguments: --fast"),
    ],
)
def test_a_wrong_call_is_one_line(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert complaint in err
    assert err.count("\n") == 1


def test_an_unknown_command_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sevre"]) == 2
    assert "invalid choice: 'sevre' (choose from " in capsys.readouterr().err


def test_the_arguments_of_the_process_are_taken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["sansio-server", "diagram", "server"])
    assert cli.main() == 0
    assert capsys.readouterr().out.startswith("stateDiagram-v2\n")


def test_ctrl_c_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.diagram, "run", interrupted)
    assert cli.main(["diagram"]) == 130
    assert capsys.readouterr() == ("", "")


def test_python_dash_m_is_the_same_command() -> None:
    ended = run("--version")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out == [f"sansio-server {sansio_server.__version__}"]
    assert run().status == 2
