"""A TCP server that talks in lines: adds up the numbers of each line.

`rfile` and `wfile` make a file of the connection, so that lines need no code of their own. Try it
with `python examples/lines_client.py 127.0.0.1:9002 "1 2 3" "0.5 0.25"`.
"""

from __future__ import annotations

import argparse
from contextlib import suppress

import sync_backend as socketserver

MAX_LINE = 1024  # bytes; without a bound, one client could fill the memory with one line


class Adder(socketserver.StreamRequestHandler):
    """Answers each line, until the client leaves or sends a line too long."""

    timeout = 30.0  # seconds a client may say nothing

    def handle(self) -> None:
        """Answer line by line."""
        while line := self.rfile.readline(MAX_LINE):
            if len(line) == MAX_LINE and not line.endswith(b"\n"):
                self.wfile.write(b"error: line too long\n")
                return
            self.wfile.write(self.answer(line))

    def answer(self, line: bytes) -> bytes:
        """Return the sum of the numbers in `line`, or what is wrong with them."""
        try:
            total = sum(float(word) for word in line.split())
        except ValueError:
            return b"error: numbers only\n"
        return f"{total:g}\n".encode()


class AddingServer(socketserver.TCPServer):
    """Starts again at once after a stop, while the system still remembers old connections."""

    allow_reuse_address = True


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Add up the numbers of lines sent over TCP.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=9002, help="0 takes any that is free")
    args = parser.parse_args()

    with (
        suppress(KeyboardInterrupt),
        AddingServer((args.host, args.port), Adder) as server,
    ):
        host, port = server.server_address
        print(f"listening on {host}:{port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
