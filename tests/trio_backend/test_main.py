"""`python -m trio_backend` runs programs on trio; how it does so is shared with `sync_backend`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sync_backend.outside import PYTHON, run

OURS = [*PYTHON, "-m", "trio_backend"]
TELL = """
import sys
import socketserver
print(socketserver.__name__, socketserver.BaseServer.blocking_handlers, sys.argv)
"""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("program.py --greenlets -m", "threads ['program.py', '--greenlets', '-m']"),
        ("--greenlets program.py --help", "greenlets ['program.py', '--help']"),
        ("--greenlets -- program.py -h", "greenlets ['program.py', '-h']"),
        ("-m program", "threads ['{folder}/program.py']"),
        ("--greenlets -m program one", "greenlets ['{folder}/program.py', 'one']"),
        ("--greenlets -mprogram one", "greenlets ['{folder}/program.py', 'one']"),
    ],
)
def test_options_come_before_the_program(arguments: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(TELL)
    ended = run([*OURS, *arguments.split()], tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == f"trio_backend.blocking {told.format(folder=tmp_path)}\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "which program? write PROGRAM, or -m MODULE"),
        (["--greenlets"], "which program? write PROGRAM, or -m MODULE"),
        (["--greenlet", "program.py"], "unrecognized arguments: --greenlet"),
        (["--greenlets", "missing.py"], "cannot open 'missing.py': No such file or directory"),
    ],
)
def test_what_cannot_be_run_is_one_line(
    arguments: list[str], complaint: str, tmp_path: Path
) -> None:
    ended = run([*OURS, *arguments], tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == f"python -m trio_backend: error: {complaint}\n"


def test_greenlets_need_their_package(tmp_path: Path) -> None:
    (tmp_path / "greenlet.py").write_text("raise ImportError('not here')")
    (tmp_path / "program.py").write_text("print('not run')")
    ended = run([*OURS, "--greenlets", "program.py"], tmp_path, PYTHONPATH=f"{tmp_path}")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        "python -m trio_backend: error: blocking handlers in greenlets need the package greenlet: "
        "pip install 'sansio-server[greenlet]'\n"
    )
    ended = run([*OURS, "program.py"], tmp_path, PYTHONPATH=f"{tmp_path}")
    assert (ended.returncode, ended.stdout) == (0, "not run\n")


def test_help_tells_the_limits_of_greenlets(tmp_path: Path) -> None:
    ended = run([*OURS, "--help"], tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    usage = "usage: python -m trio_backend [-h] [--greenlets] (PROGRAM | -m MODULE) [ARGUMENT ...]"
    assert ended.stdout.startswith(usage)
    for limit in "time.sleep()", "threading.Lock", "threading.local()", "threads", "TLS":
        assert limit in ended.stdout
