from __future__ import annotations

import socket

from tests.examples.programs import said, serving


def test_adds_up_the_numbers_of_each_line() -> None:
    with serving("tcp_lines_server.py") as server:
        lines = ["1 2 3", "0.5 0.25", "", "one"]
        expected = ["6", "0.75", "0", "error: numbers only"]
        assert said("lines_client.py", server.address, *lines) == expected


def test_answers_before_the_next_line_comes() -> None:
    with serving("tcp_lines_server.py") as server:
        with socket.create_connection(server.host_port, timeout=30) as client:
            client.sendall(b"20 1\n")
            assert client.recv(100) == b"21\n"
            client.sendall(b"20 2\n")
            assert client.recv(100) == b"22\n"


def test_a_line_too_long_ends_the_talk() -> None:
    with serving("tcp_lines_server.py") as server:
        with socket.create_connection(server.host_port, timeout=30) as client:
            client.sendall(b"1" * 1024)
            with client.makefile("rb") as replies:
                assert replies.read() == b"error: line too long\n"
