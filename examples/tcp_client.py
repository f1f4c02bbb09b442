"""The client of `tcp_server.py`: sends a text, says that it is the end, prints the answer."""

from __future__ import annotations

import argparse
import socket


def ask(server: tuple[str, int], text: str) -> str:
    """Send `text` and return all that the server says."""
    with socket.create_connection(server, timeout=10) as connection:
        connection.sendall(text.encode())
        # Ends the sending side alone: the server reads to the end, and can still answer.
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("r", encoding="utf-8") as replies:
            return replies.read()


def address(text: str) -> tuple[str, int]:
    """Take HOST:PORT apart."""
    host, _, port = text.rpartition(":")
    return host, int(port)


def main() -> None:
    """Ask the server once."""
    parser = argparse.ArgumentParser(description="Send a text over TCP and print the answer.")
    parser.add_argument("server", type=address, metavar="HOST:PORT", help="where it listens")
    parser.add_argument("text", nargs="+", help="words to send")
    args = parser.parse_args()
    print(ask(args.server, " ".join(args.text)), end="")


if __name__ == "__main__":
    main()
