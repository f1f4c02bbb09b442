"""Runs the command line as people do: in a process of its own, ended by signals."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import attrs

from tests.preloaded import Preloaded, Running

ROOT = Path(__file__).parents[2]
PATIENCE = 30.0  # seconds for anything that is waited for
COMMAND = [sys.executable, "-m", "sansio_server"]
HANDLERS = "tests.cli.handlers"


@attrs.frozen
class Ended:
    """What is left of a command.

    :ivar status: its exit status; negative for a signal.
    :ivar out: the lines it printed last.
    :ivar err: what it printed to standard error.
    """

    status: int
    out: list[str]
    err: str


def run(*arguments: str, cwd: Path = ROOT) -> Ended:
    """Run a command to its end."""
    result = subprocess.run(
        [*COMMAND, *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return Ended(result.returncode, result.stdout.splitlines(), result.stderr)


def run_on_full_disk(command: list[str]) -> Ended:
    """Run a command to its end whose standard output cannot be written."""
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            command,
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    return Ended(result.returncode, [], result.stderr)


class Serving:
    """A server that was started from the command line, and is ready.

    :ivar addresses: the addresses that it says it listens on.
    """

    def __init__(self, process: subprocess.Popen[bytes] | Running, count: int) -> None:
        self.process = process
        self.addresses = [self._read_address() for _ in range(count)]

    def _read_address(self) -> str:
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], PATIENCE)[0], "it says nothing"
        line = self.process.stdout.readline().decode().rstrip("\n")
        assert line.startswith("listening on "), line or self.process.communicate()[1].decode()
        return line.removeprefix("listening on ")

    def connect(self, number: int = 0) -> socket.socket:
        """Return a client of one of the addresses; that of a Unix datagram server needs a name."""
        kind, _, rest = self.addresses[number].partition(":")
        socket_type = socket.SOCK_STREAM if kind in ("tcp", "unix") else socket.SOCK_DGRAM
        if kind.startswith("unix"):
            client = socket.socket(socket.AF_UNIX, socket_type)
        else:
            client = socket.socket(socket.AF_INET6 if "[" in rest else socket.AF_INET, socket_type)
        client.settimeout(PATIENCE)
        if kind == "unixgram":
            client.bind(rest + ".client")
        host, _, port = rest.rpartition(":")
        client.connect(rest if kind.startswith("unix") else (host.strip("[]"), int(port)))
        return client

    def ask(self, data: bytes = b"hello", number: int = 0) -> bytes:
        """Send something, return what comes back."""
        with self.connect(number) as client:
            client.sendall(data)
            return client.recv(1024)

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def end(self) -> Ended:
        """Wait for the end."""
        out, err = self.process.communicate(timeout=PATIENCE)
        assert self.process.returncode is not None
        return Ended(self.process.returncode, out.decode().splitlines(), err.decode())

    def stop(self, number: signal.Signals = signal.SIGINT) -> Ended:
        """Send a signal, wait for the end."""
        self.send(number)
        return self.end()


class TracePipe:
    """A file for `--trace` that can be waited for.

    :ivar path: its name.
    """

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path = str(path)
        self._file = file

    def wait_for(self, what: str) -> None:
        """Wait for an event, and skip those before it."""
        seen: list[str] = []
        while what not in seen:
            assert select.select([self._file], [], [], PATIENCE)[0], f"no {what} after {seen}"
            seen.append(json.loads(self._file.readline())["what"])


@contextmanager
def trace_pipe(folder: Path) -> Iterator[TracePipe]:
    """Make a file for `--trace` in a folder."""
    path = folder / "trace"
    os.mkfifo(path)
    # Open for writing too, so that it has no end before the server has begun.
    with open(os.open(path, os.O_RDWR), "rb", buffering=0) as file:
        yield TracePipe(path, file)


_preloaded: list[Preloaded] = []


@contextmanager
def started_quickly() -> Iterator[None]:
    """Fork servers that are asked for meanwhile from a process that has all modules loaded."""
    modules = ("sansio_server.cli.serve", "sync_backend", "trio_backend.blocking", HANDLERS)
    with Preloaded(*modules) as preloaded:
        _preloaded.append(preloaded)
        try:
            yield
        finally:
            _preloaded.pop()


@contextmanager
def serving(
    handler: str, *arguments: str, cwd: Path = ROOT, quickly: bool = True
) -> Iterator[Serving]:
    """Serve a handler: one of those for tests, or MODULE:HANDLER.

    :param quickly: whether a process that is there may be forked; else Python is started.
    """
    name = handler if ":" in handler else f"{HANDLERS}:{handler}"
    words = ["serve", name, *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process: subprocess.Popen[bytes] | Running
    if _preloaded and quickly:
        process = _preloaded[-1].run("sansio_server", *words, folder=cwd, environment=environment)
    else:
        process = subprocess.Popen(
            [*COMMAND, *words],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
    with process:
        try:
            yield Serving(process, arguments.count("--bind"))
        finally:
            process.kill()
