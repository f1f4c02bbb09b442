from __future__ import annotations

import io
import subprocess
import sys

import pytest

from sansio_server.cli.console import CommandError, Parser, complain, flush, say
from tests.cli.commands import PATIENCE, ROOT, run_on_full_disk


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


def test_a_full_disk_is_one_line() -> None:
    code = """if True:
        import sys
        from sansio_server.cli.console import CommandError, complain, say
        try:
            say("lost")
        except CommandError as error:
            complain("prog", error)
            say("lost too")
            sys.exit(error.status)
    """
    ended = run_on_full_disk([sys.executable, "-c", code])
    complaint = "prog: error: cannot write to standard output: No space left on device\n"
    assert (ended.status, ended.err) == (1, complaint)


def test_what_cannot_be_written_at_the_end_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "w") as full, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", full)
        full.write("by a handler")
        flush()
        full.write("and once more, when it is closed")


def test_nothing_is_said_where_nothing_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    say("lost")
    monkeypatch.setattr(sys, "stderr", None)
    complain("prog", "lost")


def test_what_the_encoding_does_not_know_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="latin-1"))
    say("one", "pr\xeat …", "\udcff")
    assert raw.getvalue() == b"one\npr\xeat \\u2026\n\\udcff\n"


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
