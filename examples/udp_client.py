"""The client of `udp_server.py`: sends each argument as a datagram, prints each answer.

A datagram may be lost, and so may the answer, so each is sent up to three times.
"""

from __future__ import annotations

import argparse
import socket
import sys
import zlib
from contextlib import suppress

TRIES = 3
PATIENCE = 1.0  # seconds to wait for an answer


def ask(connection: socket.socket, text: str) -> str:
    """Send `text` until it is answered.

    Raises TimeoutError if it never is.
    """
    data = text.encode()
    for _ in range(TRIES):
        connection.send(data)
        with suppress(TimeoutError):
            while True:
                answer = connection.recv(1024).decode()
                # One that came late, to what was sent before, is not for this text.
                if answer.startswith(f"{zlib.crc32(data):08x}"):
                    return answer
    raise TimeoutError(f"no answer after {TRIES} tries")


def address(text: str) -> tuple[str, int]:
    """Take HOST:PORT apart."""
    host, _, port = text.rpartition(":")
    return host, int(port)


def main() -> None:
    """Ask the server about each argument."""
    parser = argparse.ArgumentParser(description="Send datagrams and print the answers.")
    parser.add_argument("server", type=address, metavar="HOST:PORT", help="where it listens")
    parser.add_argument("texts", nargs="+", metavar="text", help="what to send in one datagram")
    args = parser.parse_args()

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
        connection.settimeout(PATIENCE)
        # Connected, the socket takes datagrams from this server alone.
        connection.connect(args.server)
        try:
            for text in args.texts:
                print(ask(connection, text))
        except OSError as error:  # no answer, or nobody there
            sys.exit(f"udp_client.py: {error}")


if __name__ == "__main__":
    main()
