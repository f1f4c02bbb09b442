"""Runs programs, by Python itself and through `python -m sync_backend`, and talks to them."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATIENCE = 30.0  # seconds for anything that is waited for
PYTHON = [sys.executable, "-u"]
OURS = [*PYTHON, "-m", "sync_backend"]


def environment(**changes: str) -> dict[str, str]:
    """Return the environment of a program, which finds ours from any folder."""
    return os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"} | changes


def run(command: list[str], folder: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end.

    :param changes: of its environment.
    """
    return subprocess.run(
        command,
        cwd=folder,
        env=environment(**changes),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


class Running:
    """A program that runs."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    def line(self) -> str:
        """Wait for the next line that it prints."""
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], PATIENCE)[0], "it says nothing"
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1].decode()
        return line.decode().rstrip("\n")

    def interrupt(self) -> tuple[int, str, str]:
        """Press Ctrl-C; return the exit status and what was printed, to both."""
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out.decode(), err.decode()


@contextmanager
def running(
    command: list[str], folder: Path, pass_fds: tuple[int, ...] = (), **changes: str
) -> Iterator[Running]:
    """Run a program; to end it is the caller's business.

    :param changes: of its environment.
    """
    pipe = subprocess.PIPE
    # A signal that is ignored here would be ignored there.
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment(**changes),
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            bufsize=0,
            pass_fds=pass_fds,
        )
    finally:
        signal.signal(signal.SIGINT, former)
    with process:
        try:
            yield Running(process)
        finally:
            process.kill()
