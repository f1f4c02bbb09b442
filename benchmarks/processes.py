"""The processes of a round: the server, and the load generator, each with a bounded life."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

__all__ = [
    "Failed",
    "Process",
    "Skipped",
    "build_programs",
    "start",
    "start_load",
    "start_neighbours",
    "start_server",
]

HERE = Path(__file__).parent
BUILD = HERE / "build"

_NICENESS = 10


class Failed(Exception):
    """A process ended, or was ended, before it said what it should."""


class Skipped(Exception):
    """A server can't be made here."""


class Process:
    """A process that is spoken to line by line."""

    def __init__(self, command: list[str], patience: float) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # closed by close()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=HERE.parent,
            start_new_session=True,
        )
        self.pid = self._process.pid
        self._timer = threading.Timer(patience, self.kill)
        self._timer.start()

    def say(self, line: str) -> None:
        """Write *line* to its standard input."""
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):  # hear() will tell why
            print(line, file=self._process.stdin, flush=True)

    def hear(self) -> str:
        """Return the next line of its standard output.

        :raises Failed: there is none.
        """
        assert self._process.stdout
        line = self._process.stdout.readline().strip()
        if not line:
            self.kill()
            self._process.wait()
            raise Failed(self._last_words())
        return line

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        code = self._process.returncode
        return lines[-1] if lines else f"ended with status {code}, without a word"

    def kill(self) -> None:
        """End it, and every process that it has made."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """End it, and wait until it has gone."""
        self._timer.cancel()
        self.kill()
        self._process.wait()
        for file in (self._process.stdin, self._process.stdout, self._errors):
            with contextlib.suppress(BrokenPipeError):
                file.close()  # type: ignore[union-attr]  # both are pipes


@contextlib.contextmanager
def start(command: list[str], patience: float) -> Iterator[Process]:
    """Run *command* for the length of the block, *patience* seconds at the most."""
    process = Process(command, patience)
    try:
        yield process
    finally:
        process.close()


def _cores(cores: Iterable[int]) -> str:
    return ",".join(map(str, cores))


@contextlib.contextmanager
def start_server(
    name: str, handler: str, cores: Iterable[int], patience: float
) -> Iterator[tuple[Process, int]]:
    """Run a server for the length of the block; give its process and its port.

    :raises Skipped: it can't be made.
    """
    command = [sys.executable, "-m", "benchmarks.serve", name, handler, _cores(cores)]
    with start(command, patience) as process:
        word, _, rest = process.hear().partition(" ")
        if word == "skipped":
            raise Skipped(rest)
        yield process, int(rest)


@contextlib.contextmanager
def start_load(
    mode: str,
    port: int,
    *,
    peers: int,
    cores: Iterable[int],
    patience: float,
    depth: int = 1,
    silent: int = 0,
    warmup: float = 0.0,
    seconds: float = 0.0,
) -> Iterator[Process]:
    """Run the load generator for the length of the block; see `load.c`."""
    arguments = map(str, (mode, port, peers, depth, silent, warmup, seconds))
    with start([str(BUILD / "load"), *arguments], patience) as process:
        os.sched_setaffinity(process.pid, cores)
        yield process


@contextlib.contextmanager
def start_neighbours(
    mode: str, port: int, *, peers: int, cores: Iterable[int], patience: float
) -> Iterator[Process]:
    """Run troublesome clients for the length of the block; see `neighbours.c`.

    They share their core with the client that is measured, and give way to it.
    """
    with start([str(BUILD / "neighbours"), mode, str(port), str(peers)], patience) as process:
        os.sched_setaffinity(process.pid, cores)
        os.setpriority(os.PRIO_PROCESS, process.pid, _NICENESS)
        yield process


def build_programs() -> None:
    """Compile the load generator and the peer in C, unless they are newer than their sources.

    :raises Failed: there is no C compiler, or it fails.
    """
    BUILD.mkdir(exist_ok=True)
    command = [os.environ.get("CC", "cc"), "-O2", "-Wall", "-Wextra", "-std=gnu11"]
    for source in HERE.glob("*.c"):
        program = BUILD / source.stem
        if program.exists() and program.stat().st_mtime > source.stat().st_mtime:
            continue
        try:
            subprocess.run([*command, "-o", str(program), str(source)], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise Failed(f"can't compile {source.name}: {error}") from error
