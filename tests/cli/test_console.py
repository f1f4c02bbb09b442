from __future__ import annotations

import subprocess
import sys

import pytest

from sansio_server.cli.console import CommandError, Parser, complain, say
from tests.cli.commands import PATIENCE, ROOT


def test_say_prints_lines(capsys: pytest.CaptureFixture[str]) -> None:
    say("one", "two")
    assert capsys.readouterr().out == "one\ntwo\n"


def test_nobody_to_read_is_no_error() -> None:
    code = (
        "import sys; from sansio_server.cli.console import say; "
        "sys.stdin.readline(); say('lost'); say('lost too'); sys.exit(3)"
    )
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        _, err = process.communicate(b"\n", timeout=PATIENCE)
    assert (process.returncode, err) == (3, b"")


def test_complaints_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    complain("prog", "one\ntwo")
    assert capsys.readouterr() == ("", "prog: error: one two\n")


def test_a_parser_raises_what_is_wrong() -> None:
    parser = Parser(prog="prog")
    parser.add_argument("--long", type=int)
    with pytest.raises(CommandError, match=r"^argument --long: invalid int value: 'x'$") as info:
        parser.parse_args(["--long", "x"])
    assert (info.value.status, info.value.prog) == (2, "prog")
    with pytest.raises(CommandError, match="unrecognized arguments: --lo 1"):
        parser.parse_args(["--lo", "1"])
