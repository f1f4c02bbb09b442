"""`simulate` finds what is wrong with a handler, writes it down, and `replay` plays it again."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from sansio_server.cli import main
from sansio_server.cli.simulate import _message
from sansio_server.testing.scripts.actions import Expect
from sansio_server.testing.scripts.script import script_from_json

from .commands import run

LINES = "tests.cli.handlers:Lines"
HASTY = "tests.cli.handlers:Hasty"
PACKETS = "tests.cli.handlers:Packets"


def simulate(*arguments: str) -> int:
    return main(["simulate", *arguments])


def test_nothing_is_found_where_nothing_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate(LINES, "--seeds", "30") == 0
    out, err = capsys.readouterr()
    assert err == "", "there is no terminal to draw a bar on"
    assert re.fullmatch(
        r"tests\.cli\.handlers:Lines: 30 seeds in [\d.]+ s \([\d,]+/s\), 0 failed",
        out.splitlines()[-1],
    )
    assert "rows of a request's table" in out
    assert re.search(r"^  FINISH   OK +\d+$", out, re.MULTILINE)
    assert re.search(r"^  recv     one-byte +\d+$", out, re.MULTILINE)


def test_what_is_wrong_is_found_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate(HASTY, "--seeds", "30", "--failures", "2") == 1
    out = capsys.readouterr().out
    assert re.search(r"^seed \d+ fails$", out, re.MULTILINE)
    assert "the shortest way to show it, as a test:" in out
    assert "from tests.cli.handlers import Hasty" in out
    assert "finish_request" in out
    assert re.search(r", 2 failed: \d+, \d+$", out.splitlines()[-1])


def test_it_is_saved_and_played_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, page = tmp_path / "failures", tmp_path / "report.html"
    where = ["--save", str(folder), "--html", str(page)]
    assert simulate(HASTY, "--failures", "1", "--send", "hello\\n", "--no-faults", *where) == 1
    out = capsys.readouterr().out
    assert f"drawn: {page}" in out
    [script] = folder.glob("seed-*.json")
    [test] = folder.glob("test_seed_*.py")
    assert f"saved: {script}, {test}" in out

    assert "of 1,000 seeds failed" not in page.read_text()
    assert "<h2>Seed " in page.read_text()
    assert "Script(" in page.read_text()

    assert main(["replay", str(script)]) == 1
    assert capsys.readouterr().out.startswith("memory:\nreplies do not depend on ")
    functions = runpy.run_path(str(test))
    [name] = [name for name in functions if name.startswith("test_")]
    with pytest.raises(AssertionError, match="depend on"):
        functions[name]()


def test_without_failures_the_first_run_is_drawn(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    assert simulate(LINES, "--seeds", "3", "--first-seed", "5", "--html", str(page)) == 0
    assert "Seed 5, without faults" in page.read_text()
    assert "finish_request" in page.read_text()
    assert not list(tmp_path.glob("seed*"))


def test_each_run_may_be_made_twice(capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate(LINES, "--seeds", "5", "--twice") == 0
    assert "0 failed" in capsys.readouterr().out


def test_datagrams_are_sent_to_who_serves_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate(PACKETS, "--seeds", "10") == 0
    assert "recvfrom" in capsys.readouterr().out


def test_clients_may_come_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "clients.py"
    path.write_text(
        "from sansio_server.testing.scripts.actions import Close, Connect, Expect, Send\n"
        "def client():\n"
        "    yield Connect()\n"
        "    yield Send(b'hello\\n')\n"
        "    yield Expect(b'good bye')\n"
        "    yield Close()\n"
    )
    save = tmp_path / "failures"
    assert simulate(LINES, "--script", str(path), "--failures", "1", "--save", str(save)) == 1
    [script] = save.glob("*.json")
    [client] = script_from_json(script.read_text()).clients
    assert any(isinstance(action, Expect) for action in client.actions)


def test_a_server_class_is_taken_into_memory(capsys: pytest.CaptureFixture[str]) -> None:
    of_server = "tests.cli.handlers:WithHandler"
    for target in ([of_server], [LINES, "--server-class", of_server]):
        assert simulate(*target, "--seeds", "5", "--set", "max_connections=1") == 0
    assert "0 failed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: MODULE:HANDLER"),
        (["nonsense"], "'nonsense' names no handler"),
        ([LINES, "--server-class", HASTY], "and no server class"),
        ([LINES, "--seeds", "0"], "'0' is not a number, 1 or more"),
        ([LINES, "--seeds", "many"], "'many' is not a number, 1 or more"),
        ([LINES, "--set", "max_connections"], "'max_connections' is not NAME=VALUE"),
        ([LINES, "--set", "max_connections=0"], "max_connections must be 1 or more"),
        ([LINES, "--send", "\\x"], r"'\\x' has a wrong escape"),
        ([LINES, "--send", "a", "--script", "b"], "give either --send or --script"),
    ],
)
def test_a_wrong_call_is_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert simulate(*arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--html", "--save"])
def test_what_cannot_be_written_is_told(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate(HASTY, "--failures", "1", option, "/dev/null/x") == 1
    assert "cannot write /dev/null/x: Not a directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("hello", b"hello"),
        ("a\\r\\n\\x00\\\\", b"a\r\n\0\\"),
        ("é", b"\xc3\xa9"),
        ("\\d", b"\\d"),
    ],
)
def test_messages_have_the_escapes_of_python(text: str, data: bytes) -> None:
    assert _message(text) == data


# Playing scripts.

SCRIPT = """\
{"format": "sansio-server script 1", "clients": [{"actions": [
  {"do": "Connect"}, {"do": "Send", "data": "hello\\n"}, {"do": "HalfClose"}, {"do": "ReceiveToEnd"}
]}], "faults": [{"point": "accept", "kind": "ENOBUFS"}]}
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "script.json"
    path.write_text(SCRIPT)
    return path


@pytest.mark.parametrize("backend", ["memory", "inline", "threads"])
def test_a_script_is_played_where_that_is_asked(
    script: Path, backend: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--backend", backend, "--handler", LINES]
    assert main(["replay", str(script), *options]) == 0
    assert capsys.readouterr().out.startswith(f"{backend}: nothing was found wrong; 1 clients in ")


def test_on_trio_too(script: Path) -> None:
    replayed = run("replay", str(script), "--backend", "trio", "--handler", LINES)
    assert replayed.status == 0
    assert replayed.out[-1].startswith("trio: nothing was found wrong; ")


def test_what_real_sockets_cannot_show_is_told(
    script: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script.write_text(SCRIPT.replace("accept", "clock").replace("ENOBUFS", "jump"))
    assert main(["replay", str(script), "--backend", "threads", "--handler", LINES]) == 0
    assert "left out, since real sockets cannot show it: Fault(" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the script does not say what is to serve; name it with --handler"),
        (["--backend", "pigeons"], "there is no backend 'pigeons'; there are memory, inline, "),
        (["--what-if", "max_connections=1"], "a script is played, not decided again: --what-if"),
    ],
)
def test_a_script_that_cannot_be_played_is_refused(
    script: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(script), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_backend_that_cannot_be_had_is_told(
    script: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def none(*args: object, **options: object) -> None:
        raise ImportError("no greenlets here")

    monkeypatch.setattr("sansio_server.cli.replay_script.replay", none)
    options = ["--backend", "trio-greenlets", "--handler", LINES]
    assert main(["replay", str(script), *options]) == 1
    assert "trio-greenlets cannot be had: no greenlets here" in capsys.readouterr().err
