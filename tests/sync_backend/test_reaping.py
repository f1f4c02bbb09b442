"""How children end, and who takes note; no thread forks here.

Real children: what is tested is what the kernel tells of them.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sansio_server.request import Step
from tests.sync_backend import programs
from tests.sync_backend.forked import (
    Deaf,
    Server,
    Stay,
    Upper,
    exited,
    only_child,
    served,
    staying,
)
from tests.sync_backend.support import (
    PATIENCE,
    Program,
    Thread,
    connect,
    descriptors,
    in_thread,
    read_to_end,
)

# Reaping.


def test_one_request_after_the_other_leaves_no_zombies() -> None:
    with Server(Upper) as server:
        before: set[int] = set()
        for _ in range(5):
            with served(server, b"hello\n") as client:
                assert client.recv(10) == b"HELLO\n"
            assert server.active_children is not None
            # Those that had exited before this request have been reaped.
            assert not before & server.active_children
            before = set(server.active_children)
            exited(only_child(server))


def test_a_timeout_reaps() -> None:
    with Server(Upper) as server:
        with served(server, b"hello\n"):
            exited(only_child(server))
        server.timeout = 0
        server.handle_request()
        assert server.active_children == set()


def test_the_children_of_others_are_left_to_them() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as stranger:
        exited(stranger.pid)
        with Server(Upper, max_children=1) as server:
            for _ in range(3):
                served(server, b"hello\n").close()
        assert stranger.wait(PATIENCE) == 0


def test_a_child_that_somebody_else_has_reaped_is_no_trouble() -> None:
    with Server(Upper) as server:
        served(server, b"hello\n").close()
        os.waitpid(only_child(server), 0)
        server.collect_children()
        assert server.active_children == set()
        assert server.counters.closed == 1


def test_collecting_before_the_first_child_does_nothing() -> None:
    with Server(Upper) as server:
        server.collect_children()
        server.collect_children(blocking=True)
        assert server.active_children is None


def test_the_set_of_children_is_the_programs_to_change() -> None:
    with Server(Upper) as server:
        served(server, b"hello\n").close()
        pid = only_child(server)
        server.active_children = None
        server.collect_children()
        server.active_children = {pid}
        server.collect_children(blocking=True)
        assert server.active_children == set()


def test_children_may_be_collected_by_hand_after_the_close() -> None:
    before = descriptors()
    server = Server(Stay, block_on_close=False)
    with staying(server):
        server.server_close()
        assert descriptors() == before + 1  # the client's
        server.collect_children()
        assert only_child(server)
    server.collect_children(blocking=True)
    assert server.active_children == set()


def test_at_most_so_many_children_live_at_once() -> None:
    with Server(Stay, max_children=2) as server:
        with staying(server) as first, staying(server):
            server.timeout = 0
            with connect(server) as third:
                server.handle_request()
                assert len(server.active_children or ()) == 2
                first.close()
                server.timeout = PATIENCE
                server.handle_request()
                assert third.recv(5, socket.MSG_WAITALL) == b"here\n"
                assert server.counters.accepted == 3


def test_the_lesser_of_both_limits_counts() -> None:
    with Server(Stay, max_children=2, max_connections=1) as server, staying(server):
        server.timeout = 0
        with connect(server):
            server.handle_request()
        assert server.counters.accepted == 1


def test_a_server_that_sheds_does_so_at_max_children(tmp_path: Path) -> None:
    with Server(Stay, max_children=1, when_full="shed") as server, staying(server):
        assert read_to_end(served(server)) == b""
        assert server.counters.shed == 1


# Ending.


def test_closing_waits_for_children() -> None:
    server = Server(Upper)
    client = served(server, b"hello\n")
    pid = only_child(server)
    server.server_close()
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, 0)
    assert read_to_end(client) == b"HELLO\n"


def test_a_mute_client_is_cut_and_reported_with_the_pid_of_its_child() -> None:
    server = Server(Stay, drain_timeout=0.01, cut_timeout=PATIENCE)
    client = staying(server)
    name = client.getsockname()
    pid = only_child(server)
    server.server_close()
    assert read_to_end(client) == b""
    report = server.drain_report
    assert report is not None
    [straggler] = report.cut
    assert straggler.where == f"child process {pid}"
    assert (straggler.client_address, straggler.ended) == (name, True)
    assert server.active_children == set()


def test_a_child_that_does_not_go_when_asked_is_killed() -> None:
    server = Server(Deaf, drain_timeout=0.01)
    with staying(server):
        pid = only_child(server)
        server.server_close()
        assert server.drain_report is not None
        [straggler] = server.drain_report.left
        assert straggler.where == f"child process {pid}"
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, 0)


def test_a_drain_waits_for_children_who_end_by_themselves() -> None:
    server = Server(Upper, drain_timeout=PATIENCE)
    client = served(server, b"hello\n")
    server.server_close()
    assert server.drain_report is not None
    assert server.drain_report.finished == (client.getsockname(),)
    assert read_to_end(client) == b"HELLO\n"


def test_a_drain_waits_for_children_that_cannot_be_watched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    server = Server(Upper, drain_timeout=PATIENCE)
    served(server, b"hello\n").close()
    server.server_close()
    assert server.drain_report is not None
    assert len(server.drain_report.finished) == 1


class PooledServer(Server):
    """Serves, against its name, in a thread of the program's own."""

    pool: Thread

    def __init__(self, handler: Callable[..., Any], **attributes: Any) -> None:
        self.gate = threading.Event()
        super().__init__(handler, **attributes)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.pool = Thread(self.continue_request, Step.FINISH, request, client_address)
        self.pool.start()


def test_a_drain_waits_for_what_an_override_serves_in_this_process() -> None:
    server = PooledServer(Stay, drain_timeout=PATIENCE)
    with staying(server) as client:
        with in_thread(server.server_close):
            client.sendall(b"!")
        server.pool.end()
    assert server.drain_report is None or server.drain_report.cut == ()


def test_what_an_override_serves_in_this_process_is_cut_and_left_as_threads_are() -> None:
    def stay(request: Any, _address: Any, server: Any) -> Any:
        return request.sendall(b"here\n") or server.gate.wait(PATIENCE)

    server = PooledServer(stay, drain_timeout=0)
    with staying(server):
        server.server_close()
        assert server.drain_report is not None
        [straggler] = server.drain_report.left
        assert "server.gate.wait" in straggler.where
        server.gate.set()
        server.pool.end()


def test_a_request_that_takes_too_long_is_cut() -> None:
    class UntilEmpty(Server):
        def service_actions(self) -> None:
            super().service_actions()
            if not self.active_children:
                self.shutdown()

    with UntilEmpty(Deaf, request_timeout=0.02) as server:
        with staying(server) as client:
            server.serve_forever(poll_interval=None)
            assert client.recv(1) == b""
        assert server.counters.cut == 1


def test_a_request_that_takes_too_long_is_cut_while_its_server_closes() -> None:
    server = Server(Stay, request_timeout=0.02)
    with staying(server) as client:
        server.server_close()  # waits for the child, which does not end by itself
        assert client.recv(1) == b""
    assert server.counters.cut == server.counters.closed == 1
    assert server.active_children == set()


def test_a_server_may_be_closed_while_it_serves_and_children_end() -> None:
    with Program(programs.closed_while_children_serve) as program:
        for _ in range(10):
            program.tell("serve")
            address = program.hear_address()
            for client in [connect(address) for _ in range(2)]:
                with client:
                    assert client.recv(5, socket.MSG_WAITALL) == b"here\n"
            assert program.hear() == "0 set() 0"
        program.tell("")
        assert program.end() == []
