from __future__ import annotations

import socket

from tests.examples.programs import said, serving


def test_counts_the_words_of_a_text() -> None:
    with serving("tcp_server.py") as server:
        assert said("tcp_client.py", server.address, "to be", "or not") == ["4 words, 12 bytes"]
        assert said("tcp_client.py", server.address, "übung") == ["1 words, 6 bytes"]


def test_a_text_may_come_in_pieces() -> None:
    with serving("tcp_server.py") as server:
        with socket.create_connection(server.host_port, timeout=30) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
            for piece in (b"on", b"e tw", b"o"):
                client.sendall(piece)
            client.shutdown(socket.SHUT_WR)
            assert client.recv(100) == b"2 words, 7 bytes\n"
            assert client.recv(100) == b""
