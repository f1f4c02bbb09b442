"""What every peer has that is not of socketserver's kind: a socket, and what is asked of it."""

from __future__ import annotations

import importlib
import socket
from typing import Any

from .servers import BLOCK

__all__ = ["BACKLOG", "Peer"]

BACKLOG = 4096


class Peer:
    """A bound socket, for a library that is imported before the socket is made.

    :ivar once: whether a connection ends after its first line.
    :ivar block: the size of blocks that are echoed as they are; 0 if lines are upper-cased.
    """

    library = "socket"
    datagrams = False

    def __init__(self, address: tuple[str, int], handler: str) -> None:
        self.module: Any = importlib.import_module(self.library)
        self.once = handler == "line"
        self.block = BLOCK if handler == "blocks" else 0
        if self.datagrams:
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.socket.bind(address)
        else:
            self.socket = socket.create_server(address, backlog=BACKLOG)
        self.server_address: tuple[Any, ...] = self.socket.getsockname()

    def server_close(self) -> None:
        """Close the socket, where the loop has not done that."""
        self.socket.close()

    def piece_end(self, buffer: bytes | bytearray) -> int:
        """Return where the first line or block in *buffer* ends; 0 if it is not whole yet."""
        if self.block:
            return self.block if len(buffer) >= self.block else 0
        return buffer.find(b"\n") + 1

    def reply_to(self, piece: bytes) -> bytes:
        """Return what is sent back for a line or block."""
        return piece if self.block else piece.upper()
