"""What clients of a server under test do with its time: one limit for all that an answer takes."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from sansio_server import BaseRequestHandler
from sansio_server.testing import Client, ScriptedServer, ThreadingTCPServer


class Trickles(BaseRequestHandler):
    """Sends a byte a second, and a line feed at the end."""

    def handle(self) -> None:
        for byte in (b"a", b"b", b"c", b"\n"):
            time.sleep(1.0)
            self.request.sendall(byte)


class Says(BaseRequestHandler):
    def handle(self) -> None:
        self.request.sendall(b"hello")
        self.request.recv(1)


@pytest.mark.parametrize(
    "wait", [Client.readline, Client.read_to_end, lambda client, t: client.recv_exactly(3, t)]
)
def test_a_timeout_is_for_all_of_an_answer(wait: Callable[[Client, float], bytes]) -> None:
    with ScriptedServer(Trickles, ThreadingTCPServer) as server:
        client = server.connect()
        with pytest.raises(TimeoutError):
            wait(client, 2.5)
        assert server.now == 2.5
        assert client.recv() == b"ab"
        assert client.readline(2.0) == b"c\n"
        assert client.read_to_end() == b""


def test_no_time_is_for_what_is_there_already() -> None:
    with ScriptedServer(Says, ThreadingTCPServer) as server:
        client = server.connect()
        server.run()
        assert client.recv(timeout=0.0) == b"hello"
        with pytest.raises(TimeoutError):
            client.recv(timeout=0.0)
        assert server.now == 0.0
