"""Runs the example programs as a user does: in processes of their own, ended by Ctrl-C."""

from __future__ import annotations

import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"
PATIENCE = 30  # seconds for anything a program is waited for

# Warnings are errors here too, but for one: Ctrl-C may come after the last byte of an answer and
# before the connection is closed, and then the interpreter closes it.
PYTHON = (sys.executable, "-W", "error", "-W", "ignore:unclosed:ResourceWarning")


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    command = [*PYTHON, str(EXAMPLES / program), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)


def said(program: str, *arguments: str) -> list[str]:
    """Run a program that must succeed; return the lines it prints."""
    result = run(program, *arguments)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout.splitlines()


class Server:
    """A server program that runs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.address = self._read_address()
        host, _, port = self.address.rpartition(":")
        self.host_port = host, int(port)

    def _read_address(self) -> str:
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        assert readable, "the server says nothing"
        line = self.process.stdout.readline()
        match = re.search(r"listening on (\S+:\d+)$", line)
        assert match, f"no address in {line!r}"
        return match[1]

    def stop(self) -> list[str]:
        """Press Ctrl-C; return what the program says as it ends, which must be no error."""
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=PATIENCE)
        assert (self.process.returncode, err) == (0, "")
        return out.splitlines()


@contextmanager
def serving(program: str, *arguments: str) -> Iterator[Server]:
    """Run a server program on a free port; end it by Ctrl-C unless the test did."""
    command = [*PYTHON, str(EXAMPLES / program), "--port", "0", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            server = Server(process)
            yield server
            if process.returncode is None:
                assert server.stop() == []
        finally:
            process.kill()
