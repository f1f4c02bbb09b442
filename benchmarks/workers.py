"""Who is lost when workers are killed and replaced, and whether memory stays flat.

    python -m benchmarks.workers                     # 1,000,000 requests, about a minute
    python -m benchmarks.workers --requests 50000 --backend trio

Requests are a connection, a line, its reply, the end. In the first half all workers are replaced in
turn, again and again: nobody may be lost. In the second half one is killed each second beside that:
of those, no more may be lost than were accepted by one that was killed. Exit status 1 otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from sansio_server import StreamRequestHandler

from .processes import BUILD, build_programs

PATIENCE = 30.0
SEGMENT = 5.0  # seconds of load between two looks at the memory
PAUSE = 1.0  # seconds between two kills, or two replacements of all


class Upper(StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(self.rfile.readline().upper())


@attrs.define
class Half:
    """What became of the requests of one half."""

    name: str
    requests: int = 0
    lost: int = 0
    killed: int = 0
    replaced: int = 0
    seconds: float = 0.0
    memory: list[tuple[int, int]] = attrs.field(factory=list)  # KiB: supervisor, a worker

    def __str__(self) -> str:
        first, last = self.memory[0], self.memory[-1]
        return (
            f"{self.name}: {self.requests:,} answered in {self.seconds:.0f} s, {self.lost} lost; "
            f"{self.killed} workers killed, all replaced {self.replaced} times; memory KiB "
            f"supervisor {first[0]} -> {last[0]}, a worker {first[1]} -> {last[1]}"
        )


class Server:
    """The server under test, and its workers."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port

    def workers(self) -> list[int]:
        pid = self.process.pid
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def memory(self) -> tuple[int, int]:
        return _private_kib(self.process.pid), max(map(_private_kib, self.workers()), default=0)


def _private_kib(pid: int) -> int:
    """Return the memory that a process has for itself; 0 if it has just ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


@contextmanager
def serving(backend: str, workers: int) -> Iterator[Server]:
    command = [sys.executable, "-m", "sansio_server", "serve", "benchmarks.workers:Upper"]
    command += ["--bind", "tcp:127.0.0.1:0", "--backend", backend, "--workers", str(workers)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline().decode()
            yield Server(process, int(line.rpartition(":")[2]))
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE)
            print(process.stdout.read().decode().strip())
        finally:
            process.kill()


def play(server: Server, half: Half, requests: int, clients: int, *, kill: bool) -> None:
    while half.requests < requests:
        half.memory.append(server.memory())
        begun = time.monotonic()
        command = [
            str(BUILD / "load"),
            "churn",
            str(server.port),
            str(clients),
            "1",
            "0",
            "0",
            str(SEGMENT),
        ]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe) as load:
            assert load.stdin is not None
            assert load.stdout is not None
            assert load.stdout.readline() == b"ready\n"
            load.stdin.write(b"\n")
            load.stdin.flush()
            while time.monotonic() < begun + SEGMENT - PAUSE / 2:
                time.sleep(PAUSE / 2)
                if kill:
                    os.kill(random.choice(server.workers()), signal.SIGKILL)
                    half.killed += 1
                time.sleep(PAUSE / 2)
                server.process.send_signal(signal.SIGHUP)
                half.replaced += 1
            found = json.loads(load.stdout.readline())
            load.stdin.close()
        half.seconds += time.monotonic() - begun
        half.requests += found["requests"]
        half.lost += found["errors"] + found["wrong"]
    half.memory.append(server.memory())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--backend", default="prefork")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--clients", type=int, default=16)
    args = parser.parse_args()
    build_programs()
    halves = Half("replaced"), Half("killed and replaced")
    with serving(args.backend, args.workers) as server:
        for half in halves:
            play(server, half, args.requests // 2, args.clients, kill=half is halves[1])
            print(half, flush=True)
    # A worker that serves one after the other has accepted one at most.
    most = halves[1].killed * (1 if args.backend in ("prefork", "inline") else args.clients)
    return int(halves[0].lost > 0 or halves[1].lost > most)


if __name__ == "__main__":
    sys.exit(main())
