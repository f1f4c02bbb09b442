"""Recordings from the command line: made by `serve`, decided again by `replay`."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from sansio_server.cli import main
from sansio_server.testing.recording.format import Record, as_line, read_recording
from tests.testing.traces import Server

from .commands import run, serving


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """One request after another at a server for one, in a file."""
    server = Server(max_connections=1)
    for _ in range(3):
        server.end(server.come(1.0), 5.0)
    return write(tmp_path / "flight.jsonl", server.records)


def write(path: Path, records: list[Record]) -> Path:
    lines = [as_line(each.event, each.server, each.process, each.thread) for each in records]
    path.write_text("".join(line + "\n" for line in lines))
    return path


def test_what_is_decided_alike_is_so(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(recording)]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("20 records of 3 requests in 18.000 s: ")
    assert first.endswith(" decisions made again, 0 differ")
    assert second.startswith("counted: Counters(accepted=3, refused=0, shed=0, closed=3, ")


def test_what_is_not_is_told(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = read_recording(recording)
    write(recording, [each for each in records if each.event.what != "close"])
    assert main(["replay", str(recording)]) == 1
    out = capsys.readouterr().out
    assert "it is not let in: 1 of 1 open" in out


def test_other_limits_are_tried(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes = ["request_timeout=2.5,when_full=shed", "max-connections=none"]
    assert main(["replay", str(recording), *(f"--what-if={each}" for each in changes)]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == [
        "as",
        "recorded",
        "request_timeout=2.5,when_full=shed",
        "max_connections=None",
    ]
    [cut] = [line for line in lines if line.startswith("cut by request_timeout")]
    assert cut.split() == [
        "cut",
        "by",
        "request_timeout",
        "0",
        *["3", "from", "3.500", "to", "15.500", "s", "0"],
    ]
    assert lines[-1].startswith("note: ")


def test_of_several_servers_one_may_be_replayed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = Server()
    server.come()
    names = ("web", "api")
    records = [attrs.evolve(each, server=name) for each in server.records for name in names]
    path = write(tmp_path / "flight.jsonl", records)
    for options, shown in (((), ["web:", "api:"]), (("--server", "api"), ["api:"])):
        for more in ((), ("--what-if", "max_connections=1")):
            assert main(["replay", str(path), *options, *more]) == 0
            out = capsys.readouterr().out.splitlines()
            assert [line for line in out if line.endswith(":")] == shown
    assert main(["replay", str(path), "--server", "ftp"]) == 2
    assert "no server 'ftp' in" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("50", "'50' is not LIMIT=VALUE"),
        ("speed=9", "there is no limit 'speed'; there are max_connections, when_full, "),
        ("max_connections=0", "max_connections must be 1 or more, or None for no limit, not 0"),
        ("max_connections=few", "max_connections must be a whole number or None, not 'few'"),
        ("request_timeout=-1", "request_timeout must be 0 seconds or more, not -1"),
        ("when_full=panic", "when_full must be 'wait' or 'shed', not 'panic'"),
    ],
)
def test_limits_that_make_no_sense_are_refused(
    recording: Path, change: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(recording), "--what-if", change]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("more", [(), ("--what-if", "cut_timeout=1")])
def test_what_is_no_recording_is_refused(
    recording: Path, more: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    lines = recording.read_text().splitlines(keepends=True)
    recording.write_text("".join(lines[1:]))
    assert main(["replay", str(recording), *more]) == 2
    assert "does not begin with how the server stood" in capsys.readouterr().err
    recording.write_text("".join([*lines, "nonsense\n"]))
    assert main(["replay", str(recording), *more]) == 2
    assert "this is no record of a trace: 'nonsense'" in capsys.readouterr().err
    for content in (b"nonsense\n", b"\xff"):
        recording.write_bytes(content)
        assert main(["replay", str(recording), *more]) == 2
        assert "is neither a recording nor a script" in capsys.readouterr().err
    recording.unlink()
    assert main(["replay", str(recording), *more]) == 1
    assert "cannot read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value"),
    [("--backend", "trio"), ("--handler", "a:b"), ("--server-class", "a:b")],
)
def test_what_is_meant_for_scripts_is_refused(
    recording: Path, option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(recording), option, value]) == 2
    assert f"a recording is replayed offline: {option} says nothing" in capsys.readouterr().err


@pytest.mark.parametrize("backend", ["threads", "trio"])
def test_a_server_is_recorded_and_replayed(backend: str, tmp_path: Path) -> None:
    path = tmp_path / "flight.jsonl"
    arguments = ["--record", str(path), "--record-payload", "--backend", backend]
    with serving("Upper", "--bind", "tcp:127.0.0.1:0", *arguments) as server:
        assert server.ask() == b"HELLO"
        assert server.stop().status == 0
    assert {each.server for each in read_recording(path)} == {server.addresses[0]}
    assert "HELLO" in path.read_text()
    ended = run("replay", str(path))
    assert (ended.status, ended.err) == (0, "")
    assert ended.out[1].endswith(" decisions made again, 0 differ")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--record", "/dev/null"], 1, "a recording needs a regular file, which /dev/null is not"),
        (["--record", "/none/x"], 1, "cannot write the recording /none/x: No such file"),
        (["--record", "x", "--record-size", "0"], 2, "'0' is not a number of mebibytes"),
        (["--record", "x", "--record-size", "x"], 2, "'x' is not a number of mebibytes"),
    ],
)
def test_a_recording_that_cannot_be_made_is_refused(
    arguments: list[str], status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = "tests.cli.handlers:Upper"
    assert main(["serve", handler, "--bind", "tcp:127.0.0.1:0", *arguments]) == status
    assert message in capsys.readouterr().err
