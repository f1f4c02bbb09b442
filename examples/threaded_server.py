"""A server in a thread of its own, with a thread for each client: keeps score.

The program goes on while the server serves: here it plays the clients itself, all at once, then
stops the server and prints what was scored. With `--clients 0` it serves others until Ctrl-C; try
`python examples/lines_client.py 127.0.0.1:9004 "ada 3" "bob 2" "ada 4"`.
"""

from __future__ import annotations

import argparse
import socket
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import repeat

import sync_backend as socketserver

MAX_LINE = 1024  # bytes
ROUNDS = 10  # points that each client scores, one at a time


class Scorer(socketserver.StreamRequestHandler):
    """Takes lines of a name and points, answers with the name's score."""

    server: ScoreServer

    def handle(self) -> None:
        """Score line by line."""
        while line := self.rfile.readline(MAX_LINE):
            try:
                name, points = line.decode().split()
                score = self.server.add(name, int(points))
            except ValueError:
                self.wfile.write(b"error: send a name and a number\n")
            else:
                self.wfile.write(f"{name} {score}\n".encode())


class ScoreServer(socketserver.ThreadingTCPServer):
    """Holds the scores that all handlers share."""

    allow_reuse_address = True
    daemon_threads = True  # a client that stays on does not hold up the end of the program

    def __init__(self, address: tuple[str, int]) -> None:
        self.scores: Counter[str] = Counter()
        self.lock = threading.Lock()
        super().__init__(address, Scorer)

    def add(self, name: str, points: int) -> int:
        """Add points to a name's score and return it; called from many threads."""
        # Read, add and write are three steps: without the lock, a thread could lose what another
        # wrote between its own first step and its last.
        with self.lock:
            self.scores[name] += points
            return self.scores[name]


def play(address: tuple[str, int], name: str) -> None:
    """Be a client that scores one point at a time."""
    with socket.create_connection(address, timeout=10) as connection:
        replies = connection.makefile("rb")
        for _ in range(ROUNDS):
            connection.sendall(f"{name} 1\n".encode())
            replies.readline()
        replies.close()


def main() -> None:
    """Serve in another thread; play, or wait for Ctrl-C."""
    parser = argparse.ArgumentParser(description="Keep score for many clients at once.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=9004, help="0 takes any that is free")
    parser.add_argument("--clients", type=int, default=5, help="how many to play (default: 5)")
    args = parser.parse_args()

    with ScoreServer((args.host, args.port)) as server:
        # A daemon thread ends with the program, even where nothing stops the server.
        serving = threading.Thread(target=server.serve_forever, name="server", daemon=True)
        serving.start()
        with suppress(KeyboardInterrupt):
            host, port = server.server_address
            print(f"listening on {host}:{port}", flush=True)
            if args.clients > 0:
                names = ["everyone"] * args.clients
                with ThreadPoolExecutor(args.clients) as players:
                    list(players.map(play, repeat((host, port)), names))
            else:
                serving.join()
        server.shutdown()
        serving.join()
    for name, score in server.scores.most_common():
        print(f"{name} scored {score}")


if __name__ == "__main__":
    main()
