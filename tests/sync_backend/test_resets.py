"""A client that cuts the connection, at every point: the server goes on, and nothing is left.

Real sockets: it is the kernel that decides which call a reset reaches. Each step of the clients, in
memory, is in tests/testing/test_each_fault.py.
"""

from __future__ import annotations

import signal
import socket

import pytest

from tests.sync_backend import programs
from tests.sync_backend.support import Program, ask, connect, reset

RESET = {"error ConnectionResetError", "error BrokenPipeError"}


def connected(address: tuple[str, int], wish: bytes, answer: bytes) -> socket.socket:
    """Return a client that has said what it wants, and has begun to get it."""
    client = connect(address)
    client.sendall(wish + b"\n")
    assert client.recv(len(answer), socket.MSG_WAITALL) == answer
    return client


@pytest.mark.parametrize("way", list(programs.ALL_WAYS))
def test_a_client_resets_at_every_point(way: str) -> None:
    with Program(programs.resettable, way) as program:
        address = program.hear_address()

        reset(connect(address))  # before it is accepted
        program.tell("serve")
        assert program.hear() == "error ConnectionResetError"
        assert ask(address, b"answer\n") == b"answer"

        reset(connected(address, b"read", b"reading"))
        assert program.hear() == "error ConnectionResetError"
        assert ask(address, b"answer\n") == b"answer"

        reset(connected(address, b"write", bytes(1000)))
        assert program.hear() in RESET
        assert ask(address, b"answer\n") == b"answer"

        reset(connected(address, b"finish", b"finishing"))
        assert ask(address, b"answer\n") == b"answer"

        program.process.send_signal(signal.SIGTERM)
        *errors, left = program.end()
        assert set(errors) <= RESET  # of closing the buffer that could not be sent
        assert left == "left 0 0 0"
