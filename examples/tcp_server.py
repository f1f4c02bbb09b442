"""A TCP server, one client at a time: counts the words of a text.

The client sends its text and closes its sending side; the answer is one line. Try it with
`python examples/tcp_client.py 127.0.0.1:9001 "to be or not to be"`.
"""

from __future__ import annotations

import argparse
from contextlib import suppress

import sync_backend as socketserver

MAX_TEXT = 1_000_000  # bytes; a client that sends more is answered for the part that was read


class WordCounter(socketserver.BaseRequestHandler):
    """Reads from the bare socket: what one recv() returns is no message, only some bytes."""

    def handle(self) -> None:
        """Read to the end of the text, then answer."""
        text = bytearray()
        while len(text) < MAX_TEXT:
            chunk = self.request.recv(8192)
            if not chunk:  # the client has sent all it wants to
                break
            text += chunk
        self.request.sendall(b"%d words, %d bytes\n" % (len(text.split()), len(text)))


class WordServer(socketserver.TCPServer):
    """Starts again at once after a stop, while the system still remembers old connections."""

    allow_reuse_address = True


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Count the words of texts sent over TCP.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=9001, help="0 takes any that is free")
    args = parser.parse_args()

    with (
        suppress(KeyboardInterrupt),
        WordServer((args.host, args.port), WordCounter) as server,
    ):
        host, port = server.server_address
        print(f"listening on {host}:{port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
