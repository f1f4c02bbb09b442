"""A client for servers that talk in lines: sends each argument as a line, prints all that comes."""

from __future__ import annotations

import argparse
import socket


def talk(server: tuple[str, int], lines: list[str]) -> None:
    """Send `lines`, then print the server's until it closes."""
    with socket.create_connection(server, timeout=10) as connection:
        connection.sendall("".join(f"{line}\n" for line in lines).encode())
        connection.shutdown(socket.SHUT_WR)  # no more lines: the server may leave
        with connection.makefile("r", encoding="utf-8") as replies:
            for reply in replies:
                print(reply, end="")


def address(text: str) -> tuple[str, int]:
    """Take HOST:PORT apart."""
    host, _, port = text.rpartition(":")
    return host, int(port)


def main() -> None:
    """Talk to the server once."""
    parser = argparse.ArgumentParser(description="Send lines over TCP and print the answers.")
    parser.add_argument("server", type=address, metavar="HOST:PORT", help="where it listens")
    parser.add_argument("lines", nargs="+", metavar="line", help="a line to send")
    args = parser.parse_args()
    talk(args.server, args.lines)


if __name__ == "__main__":
    main()
