"""A server of lines on asyncio, by the backend in `asyncio_backend.py`.

Try it with `python examples/lines_client.py 127.0.0.1:9007 "red green blue" "red"`.
"""

from __future__ import annotations

import argparse
import asyncio
from contextlib import suppress

from asyncio_backend import TCPServer

from sansio_server import StreamRequestHandler


class Sorter(StreamRequestHandler):
    """Sends the words of each line back in order."""

    async def handle(self) -> None:
        """Answer line by line."""
        async for line in self.rfile:
            await self.wfile.write(b" ".join(sorted(line.split())) + b"\n")


async def serve(host: str, port: int) -> None:
    """Serve until cancelled."""
    server = TCPServer((host, port), Sorter)
    host, port = server.server_address
    print(f"listening on {host}:{port}", flush=True)
    try:
        await server.serve_forever()
    finally:
        server.server_close()


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Sort the words of lines sent over TCP.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=9007, help="0 takes any that is free")
    args = parser.parse_args()
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(args.host, args.port))


if __name__ == "__main__":
    main()
