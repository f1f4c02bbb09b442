"""What threads make of several cores: ``python -m benchmarks.cores``.

Handlers that compute, eight clients with one line in flight each, no core pinned. With the GIL all
threads together get one core. Run it with a free-threaded Python to see what they get without.
"""

from __future__ import annotations

import argparse
import socket
import sys
import threading
import time
from typing import Any

import sync_backend

CLIENTS = 8
STEPS = 20_000  # of a loop, for each line: about a millisecond


class Compute(sync_backend.StreamRequestHandler):
    def handle(self) -> None:
        while self.rfile.readline():
            total = 0
            for number in range(STEPS):
                total += number * number % 7
            self.wfile.write(b"%d\n" % total)


def ask(address: Any, until: float, answered: list[int]) -> None:
    with socket.create_connection(address) as client, client.makefile("rb") as replies:
        count = 0
        while time.monotonic() < until:
            client.sendall(b"go\n")
            replies.readline()
            count += 1
    answered.append(count)


def measure(name: str, seconds: float) -> str:
    answered: list[int] = []
    with getattr(sync_backend, name)(("127.0.0.1", 0), Compute) as server:
        loop = threading.Thread(target=server.serve_forever)
        loop.start()
        cpu, begun = time.process_time(), time.monotonic()
        arguments = (server.server_address, begun + seconds, answered)
        clients = [threading.Thread(target=ask, args=arguments) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        took = time.monotonic() - begun
        cores = (time.process_time() - cpu) / took
        server.shutdown()
        loop.join()
    return f"{name:20} {sum(answered) / took:8,.0f} requests/s on {cores:.2f} cores"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=4.0)
    args = parser.parse_args()
    has_gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    print(f"Python {sys.version.split()[0]}, {'with' if has_gil else 'without'} the GIL")
    for name in ("ThreadingTCPServer", "PoolTCPServer"):
        print(measure(name, args.seconds), flush=True)


if __name__ == "__main__":
    main()
