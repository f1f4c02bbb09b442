from __future__ import annotations

import socket

from tests.examples.programs import PATIENCE, serving


def test_what_one_says_all_others_read_until_ctrl_c_says_goodbye() -> None:
    with serving("trio_chat.py") as server:
        clients = [socket.create_connection(server.host_port, timeout=PATIENCE) for _ in range(3)]
        ann, bob, eve = (client.makefile("rb") for client in clients)
        for file in ann, bob, eve:
            assert file.readline() == b"welcome\n"
        clients[0].sendall(b"hello\n")
        assert (bob.readline(), eve.readline()) == (b"hello\n", b"hello\n")
        clients[1].sendall(b"hi ann\n")
        assert ann.readline() == b"hi ann\n"
        clients[2].shutdown(socket.SHUT_WR)
        assert eve.read() == b"hi ann\ngoodbye\n"
        [told] = server.stop()
        assert told.endswith("left, 0 were cut")
        assert (ann.read(), bob.read()) == (b"goodbye\n", b"goodbye\n")
        for client, file in zip(clients, (ann, bob, eve), strict=True):
            file.close()
            client.close()
