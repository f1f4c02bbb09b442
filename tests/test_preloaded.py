from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.preloaded import Preloaded, Running

PATIENCE = 30.0  # seconds
PROGRAM = """
import atexit, os, sys
atexit.register(print, "the end")
print(__name__, *sys.argv[1:], os.getcwd(), os.environ.get("WORD"), "trio" in sys.modules)
print("wrong", file=sys.stderr)
print(len(os.listdir("/dev/fd")))
sys.exit(3)
"""


@pytest.fixture(scope="module")
def preloaded() -> Iterator[Preloaded]:
    with Preloaded("trio") as preloaded:
        yield preloaded


def start(preloaded: Preloaded, folder: Path, text: str) -> Running:
    (folder / "program.py").write_text(text)
    return preloaded.run("program", "one", "two", folder=folder, environment={"WORD": "hello"})


def test_a_module_is_run_as_a_program(preloaded: Preloaded, tmp_path: Path) -> None:
    with start(preloaded, tmp_path, PROGRAM) as process:
        out, err = process.communicate(PATIENCE)
    # Four descriptors: its own three, and one for the folder that is listed.
    lines = [f"__main__ one two {tmp_path} hello True", "4", "the end"]
    assert out.decode().splitlines() == lines
    assert (err, process.returncode) == (b"wrong\n", 3)


def test_each_has_a_process_of_its_own(preloaded: Preloaded, tmp_path: Path) -> None:
    with start(preloaded, tmp_path, "import os; print(os.getpid())") as first:
        with start(preloaded, tmp_path, "import os; print(os.getpid())") as second:
            assert int(second.communicate(PATIENCE)[0]) == second.pid
        assert int(first.communicate(PATIENCE)[0]) == first.pid
    assert len({first.pid, second.pid, os.getpid()}) == 3


def test_signals(preloaded: Preloaded, tmp_path: Path) -> None:
    waits = "import signal; print('here', flush=True); signal.pause()"
    for number in (signal.SIGTERM, signal.SIGKILL):
        with start(preloaded, tmp_path, waits) as process:
            assert process.stdout.readline() == b"here\n"
            with pytest.raises(subprocess.TimeoutExpired):
                process.communicate(0)
            assert process.poll() is None
            process.send_signal(number)
            assert process.wait(PATIENCE) == -number
            process.kill()  # which does nothing
