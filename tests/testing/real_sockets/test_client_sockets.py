"""Clients in a process that forks the server's children."""

from __future__ import annotations

import os
import socket
from typing import ClassVar

from sansio_server import BaseRequestHandler
from sansio_server.testing.real_sockets.client_sockets import client_socket
from sansio_server.testing.real_sockets.server import RealServer


class TellsOfReset(BaseRequestHandler):
    """Answers each message; tells of what ends the connection on a pipe."""

    pipe: ClassVar[int]

    def handle(self) -> None:
        try:
            while data := self.request.recv(100):
                self.request.sendall(data)
            os.write(self.pipe, b"end")
        except ConnectionResetError:
            os.write(self.pipe, b"reset")


def outcome(reset: bool) -> bytes:
    reading, TellsOfReset.pipe = os.pipe()
    try:
        with RealServer(TellsOfReset, backend="forks") as server:
            client = server.connect()
            client.send(b"hello")
            assert client.recv_exactly(5) == b"hello"  # its child has been forked
            if reset:
                client.reset()
            else:
                client.close()
            assert server.drain(10.0).cut == ()
        os.set_blocking(reading, False)
        return os.read(reading, 100)
    finally:
        os.close(reading)
        os.close(TellsOfReset.pipe)


def test_a_reset_reaches_a_child_that_was_forked_meanwhile() -> None:
    assert outcome(reset=True) == b"reset"


def test_so_does_the_end() -> None:
    assert outcome(reset=False) == b"end"


def test_they_are_sockets_like_others() -> None:
    with client_socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.sendto(b"a", sock.getsockname())
        sock.settimeout(10.0)
        assert sock.recv(10) == b"a"
