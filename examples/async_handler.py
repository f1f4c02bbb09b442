"""An async handler, served in three ways without a change: inline, by threads, by forks.

The handler awaits its own coroutines and its two files; no event loop is needed for that. Try it
with `python examples/lines_client.py 127.0.0.1:9006 "red green blue" "red" ""`.
"""

from __future__ import annotations

import argparse
from contextlib import suppress

import sync_backend as socketserver

WAYS = {
    "inline": socketserver.TCPServer,
    "threads": socketserver.ThreadingTCPServer,
    "forks": socketserver.ForkingTCPServer,
}


class Sorter(socketserver.StreamRequestHandler):
    """Sends the words of each line back in order; an empty line ends the talk."""

    async def handle(self) -> None:
        """Answer line by line."""
        await self.say("send words")
        while words := (await self.rfile.readline()).split():
            await self.say(" ".join(word.decode(errors="replace") for word in sorted(words)))
        await self.say("bye")

    async def say(self, text: str) -> None:
        """Send one line."""
        await self.wfile.write(f"{text}\n".encode())


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Sort the words of lines sent over TCP.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=9006, help="0 takes any that is free")
    parser.add_argument("--by", choices=WAYS, default="threads", help="how to serve each client")
    args = parser.parse_args()

    with (
        suppress(KeyboardInterrupt),
        WAYS[args.by]((args.host, args.port), Sorter) as server,
    ):
        server.drain_timeout = 2.0
        host, port = server.server_address
        print(f"listening on {host}:{port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
