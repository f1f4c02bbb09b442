"""A server that forks a child for each client: what parent and children share, and what not.

A child is a copy of the server as it was when the client came. It sees all that the parent did
before, and what it changes dies with it. Try it with
`python examples/lines_client.py 127.0.0.1:9005 one two`, several times.
"""

from __future__ import annotations

import argparse
import os
from contextlib import suppress
from typing import Any

import sync_backend as socketserver

MAX_LINE = 1024  # bytes


class Reporter(socketserver.StreamRequestHandler):
    """Answers each line with what this process knows."""

    server: ReportServer

    def handle(self) -> None:
        """Report line by line."""
        server = self.server
        while line := self.rfile.readline(MAX_LINE):
            server.lines += 1
            report = f"pid {os.getpid()}: client {server.clients}, line {server.lines}"
            self.wfile.write(f"{report}: {line.decode(errors='replace').strip()}\n".encode())


class ReportServer(socketserver.ForkingTCPServer):
    """Counts clients in the parent and lines in the children."""

    allow_reuse_address = True
    drain_timeout = 2.0  # seconds that children get to end by themselves when the server closes

    clients = 0  # grows, since the parent counts
    lines = 0  # starts at 0 for each client, since only copies of it grow

    def process_request(self, request: Any, client_address: Any) -> None:
        """Count the client, still in the parent, then fork."""
        self.clients += 1
        super().process_request(request, client_address)


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Serve each client in a process of its own.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=9005, help="0 takes any that is free")
    args = parser.parse_args()

    with ReportServer((args.host, args.port), Reporter) as server, suppress(KeyboardInterrupt):
        host, port = server.server_address
        print(f"pid {os.getpid()} listening on {host}:{port}", flush=True)
        server.serve_forever()
    print(f"served {server.clients} clients, {server.lines} lines in this process")


if __name__ == "__main__":
    main()
