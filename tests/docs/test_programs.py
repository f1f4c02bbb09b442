"""The files that the guide has its readers save run as programs, too."""

from __future__ import annotations

import re
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import files

PATIENCE = 30  # seconds for anything that is waited for


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, block in files().items():
        # Any port that is free, since another program may have the one that the guide takes.
        (tmp_path / name).write_text(block.text.replace("9999", "0"))
    return tmp_path


def serve_and_signal(folder: Path, program: str, number: signal.Signals) -> tuple[int, str, str]:
    """Run a server, talk to it, send it a signal; return its exit status and what it printed."""
    command = [sys.executable, "-W", "error", program]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            assert process.stdout is not None
            readable, _, _ = select.select([process.stdout], [], [], PATIENCE)
            assert readable, "it says nothing"
            match = re.search(r"listening on ([\d.]+):(\d+)\n", process.stdout.readline())
            assert match
            with socket.create_connection((match[1], int(match[2])), timeout=PATIENCE) as client:
                client.sendall(b"hello\n")
                assert client.recv(100) == b"HELLO\n"
            process.send_signal(number)
            out, err = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    return process.returncode, out, err


def test_ctrl_c_ends_the_first_server(folder: Path) -> None:
    status, _, err = serve_and_signal(folder, "echo.py", signal.SIGINT)
    assert status != 0
    assert err.endswith("KeyboardInterrupt\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_stop_the_service(folder: Path, number: signal.Signals) -> None:
    status, out, err = serve_and_signal(folder, "service.py", number)
    assert (status, err) == (0, "")
    assert re.fullmatch(r"drained in [\d.]+ s: [01] finished, 0 cut, 0 left behind\n", out)


def test_the_application_ends_by_itself(folder: Path) -> None:
    command = [sys.executable, "-W", "error", "counting.py"]
    ended = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert re.fullmatch(
        r"listening on 127\.0\.0\.1:\d+\ncounted to 50\n0 cut, 0 left behind\n", ended.stdout
    )
