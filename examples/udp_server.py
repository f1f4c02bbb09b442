"""A UDP server: answers each datagram with its checksum.

There is no connection: a handler gets one datagram and the server's own socket to answer by. Try
it with `python examples/udp_client.py 127.0.0.1:9003 hello "hello again"`.
"""

from __future__ import annotations

import argparse
import zlib
from contextlib import suppress

import sync_backend as socketserver


class Checksum(socketserver.BaseRequestHandler):
    """Sends back the CRC-32 of what came, and its length."""

    def handle(self) -> None:
        """Answer one datagram."""
        data, socket = self.request
        answer = f"{zlib.crc32(data):08x} {len(data)}"
        socket.sendto(answer.encode(), self.client_address)


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Answer datagrams with their checksums.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=9003, help="0 takes any that is free")
    args = parser.parse_args()

    with (
        suppress(KeyboardInterrupt),
        socketserver.UDPServer((args.host, args.port), Checksum) as server,
    ):
        host, port = server.server_address
        print(f"listening on {host}:{port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
