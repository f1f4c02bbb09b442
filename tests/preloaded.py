"""Runs modules as commands, each in a process of its own that has imported most of what it needs.

To start Python and to import trio, Hypothesis and pytest takes far longer than what most tests do
with it. So one process imports all that once, and is forked for each command: that has its own
arguments, folder, environment, pid and end, like one that was started by `python -m`.

For the tests of one module, since others look for children that are left.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TypeVar

import attrs

ROOT = Path(__file__).parents[1]

_Self = TypeVar("_Self")

# How much is read at a time.
_SOME = 1 << 16


@attrs.frozen
class Command:
    """What is to be run, as `python -m` would."""

    module: str
    arguments: tuple[str, ...]
    folder: str
    environment: dict[str, str]


class Running:
    """A command that runs, by the names of :class:`subprocess.Popen`."""

    def __init__(self, pid: int, out: int, err: int, ended: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdout: IO[bytes] = os.fdopen(out, "rb", buffering=0)
        self.stderr: IO[bytes] = os.fdopen(err, "rb", buffering=0)
        self._ended = ended

    def __enter__(self: _Self) -> _Self:  # noqa: PYI019 - typing.Self came with Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self.stdout.close()
        self.stderr.close()
        try:
            self.wait()
        finally:
            os.close(self._ended)

    def poll(self) -> int | None:
        """Return the exit status, if it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end, and return the exit status: negative for a signal."""
        if self.returncode is None:
            if not select.select([self._ended], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
            self.returncode = int(os.read(self._ended, 20))
        return self.returncode

    def communicate(self, timeout: float = 60.0) -> tuple[bytes, bytes]:
        """Return what it prints until its end."""
        deadline = time.monotonic() + timeout
        printed: dict[IO[bytes], bytes] = {self.stdout: b"", self.stderr: b""}
        open_ones = [file for file in printed if not file.closed]
        while open_ones:
            left = max(0.0, deadline - time.monotonic())
            ready = select.select(open_ones, [], [], left)[0]
            if not ready:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout, *printed.values())
            for file in ready:
                data = os.read(file.fileno(), _SOME)
                printed[file] += data
                if not data:
                    open_ones.remove(file)
        self.wait(max(0.0, deadline - time.monotonic()))
        return printed[self.stdout], printed[self.stderr]

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it, whatever it does."""
        self.send_signal(signal.SIGKILL)


class Preloaded:
    """A process that has imported modules, and runs commands by forking."""

    def __init__(self, *modules: str) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno()), *modules],
                cwd=ROOT,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def __enter__(self: _Self) -> _Self:  # noqa: PYI019 - typing.Self came with Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._process.wait()

    def run(
        self, module: str, *arguments: str, folder: Path, environment: Mapping[str, str]
    ) -> Running:
        """Start a module's command."""
        command = Command(module, arguments, str(folder), dict(environment))
        ours, theirs = zip(*(os.pipe() for _ in range(3)), strict=True)
        try:
            line = json.dumps(attrs.asdict(command)).encode() + b"\n"
            socket.send_fds(self._socket, [line], theirs)
            pid = int(self._socket.recv(20))
        except BaseException:
            for number in ours:
                os.close(number)
            raise
        finally:
            for number in theirs:
                os.close(number)
        return Running(pid, *ours)


def serve(control: socket.socket) -> Command | None:
    """Fork for each command that is asked for; return it in the child, and None in the end."""
    ended: dict[int, int] = {}
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    while True:
        ready = select.select([control.fileno(), woken], [], [])[0]
        if woken in ready:
            os.read(woken, 1000)
            _tell_of_the_ended(ended)
        if control.fileno() in ready:
            data, descriptors, _, _ = socket.recv_fds(control, _SOME, 3)
            if not data:
                return None
            while not data.endswith(b"\n"):
                data += control.recv(_SOME)
            out, err, status = descriptors
            pid = os.fork()
            if not pid:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                os.dup2(out, 1)
                os.dup2(err, 2)
                largest = max(control.detach(), woken, wake, *descriptors, *ended.values())
                os.closerange(3, largest + 1)
                fields = json.loads(data)
                return Command(**fields | {"arguments": tuple(fields["arguments"])})
            ended[pid] = status
            os.close(out)
            os.close(err)
            control.send(b"%d" % pid)


def _tell_of_the_ended(ended: dict[int, int]) -> None:
    for pid, status in list(ended.items()):
        found, how = os.waitpid(pid, os.WNOHANG)
        if found:
            with contextlib.suppress(BrokenPipeError):  # nobody waits any more
                os.write(status, b"%d" % os.waitstatus_to_exitcode(how))
            os.close(ended.pop(pid))


def main(descriptor: str, *modules: str) -> None:
    for module in modules:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # so that no collection in a child copies all that
    command = serve(socket.socket(fileno=int(descriptor)))
    if command is not None:
        _become(command)


def _become(command: Command) -> None:
    """Run a command, here and now."""
    os.environ.clear()
    os.environ.update(command.environment)
    os.chdir(command.folder)
    sys.path[0] = command.folder
    sys.argv = [command.module, *command.arguments]
    runpy.run_module(command.module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
