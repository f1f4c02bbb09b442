from __future__ import annotations

import re
import socket

from tests.examples.programs import said, serving


def test_plays_its_own_clients_and_loses_no_point() -> None:
    listening, scored = said("threaded_server.py", "--port", "0", "--clients", "7")
    assert re.fullmatch(r"listening on 127\.0\.0\.1:\d+", listening)
    assert scored == "everyone scored 70"


def test_serves_clients_at_the_same_time_until_ctrl_c() -> None:
    with serving("threaded_server.py", "--clients", "0") as server:
        with socket.create_connection(server.host_port, timeout=30) as first:
            first.sendall(b"ada 3\n")
            assert first.recv(100) == b"ada 3\n"
            answers = said("lines_client.py", server.address, "bob 2", "ada 4", "ada")
            assert answers == ["bob 2", "ada 7", "error: send a name and a number"]
            # The first client is still there, and does not hold up the end.
            assert server.stop() == ["ada scored 7", "bob scored 2"]
