"""The end of servers with a pool of threads.

Real sockets and threads: several threads accept from one listener, and it is the kernel that
decides which of them has a client.
"""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.sync_backend.pooled import Server, Stay, Upper, staying
from tests.sync_backend.support import (
    PATIENCE,
    connect,
    in_thread,
    read_to_end,
    running,
    visit,
)


def test_a_stop_does_not_wait_for_requests_but_closing_does() -> None:
    server = Server(Stay)
    with in_thread(server.serve_forever) as loop:
        client = staying(server)
        server.shutdown()
        loop.end()
        assert not server.drain_report
        with in_thread(server.server_close) as closing:
            assert closing.is_alive()
            client.close()
            closing.end()
    assert not server._members


def test_closing_need_not_wait() -> None:
    server = Server(Stay, block_on_close=False)
    with running(server):
        client = staying(server)
    [member] = server._members
    client.close()
    member.join(PATIENCE)
    assert not member.is_alive()


def test_closing_does_not_wait_for_daemons() -> None:
    server = Server(Stay, daemon_threads=True)
    with running(server):
        client = staying(server)
        assert all(member.daemon for member in server._members)
    [member] = server._members
    client.close()
    member.join(PATIENCE)


def test_a_drain_ends_those_who_stay_and_says_where_they_were() -> None:
    server = Server(Stay, drain_timeout=0.01, cut_timeout=PATIENCE)
    with running(server):
        client = staying(server)
    client.close()
    assert server.drain_report is not None
    [straggler] = server.drain_report.cut
    assert straggler.ended
    assert "in handle" in straggler.where
    assert not server._members


def test_a_request_that_is_still_being_verified_is_drained() -> None:
    verifying, go_on = threading.Event(), threading.Event()

    class Slow(Server):
        def verify_request(self, request: Any, client_address: Any) -> bool:
            verifying.set()
            return go_on.wait(PATIENCE)

    server = Slow(Upper)
    with in_thread(server.serve_forever) as loop:
        client = connect(server)
        client.sendall(b"hello\n")
        assert verifying.wait(PATIENCE)
        server.shutdown()
        loop.end()
        with in_thread(server.server_close):
            go_on.set()
    assert read_to_end(client) == b"HELLO\n"


@pytest.mark.parametrize("close", [False, True])
@pytest.mark.parametrize("hook", ["handle", "verify_request"])
def test_a_request_may_stop_its_server(hook: str, close: bool) -> None:
    def stop(server: Any) -> None:
        server.shutdown()
        if close:
            server.server_close()

    class Stopping(Server):
        def verify_request(self, request: Any, client_address: Any) -> bool:
            if hook == "verify_request":
                stop(self)
            return True

    def handler(request: Any, _address: Any, server: Any) -> None:
        if hook == "handle":
            stop(server)
        request.sendall(b"stopped")

    server = Stopping(handler)
    with server, in_thread(server.serve_forever) as loop:
        assert visit(server) == b"stopped"
        loop.end()


def test_it_can_serve_again_while_old_requests_go_on() -> None:
    server = Server(Stay, pool_size=1)
    with server:
        with in_thread(server.serve_forever):
            old = staying(server)
            server.shutdown()
        with in_thread(server.serve_forever):
            new = staying(server)
            assert len(set(server.served_by)) == 2
            old.close()
            new.close()
            server.shutdown()


def test_stops_lose_nobody_who_was_let_in() -> None:
    for _ in range(30):
        server = Server(Upper)
        with in_thread(server.serve_forever) as loop:
            clients = [connect(server) for _ in range(4)]
            for client in clients:
                client.sendall(b"hello\n")
            server.shutdown()
            loop.end()
        accepted = server.counters.accepted
        server.server_close()
        assert server.counters.accepted == server.counters.closed == accepted
        answers = []
        for client in clients:
            with client:
                try:
                    answers.append(client.recv(100))
                except ConnectionResetError:  # it was still in the queue
                    answers.append(b"")
        assert answers.count(b"HELLO\n") == accepted
