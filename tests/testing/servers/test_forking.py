"""Forking servers in memory: children, what they have of the server, and their ends."""

from __future__ import annotations

import errno
import os
import threading
import time
from typing import Any

import pytest

from sansio_server import (
    BaseRequestHandler,
    DatagramRequestHandler,
    StreamRequestHandler,
    TraceKind,
)
from sansio_server.testing import (
    ForkingTCPServer,
    ForkingUDPServer,
    ForkingUnixDatagramServer,
    ForkingUnixStreamServer,
    ScriptedServer,
)
from sansio_server.testing.scripts.faults import Fault


class Upper(StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line.upper())


class Packet(DatagramRequestHandler):
    def handle(self) -> None:
        self.wfile.write(self.packet.upper())


@pytest.mark.parametrize("server_class", [ForkingTCPServer, ForkingUnixStreamServer])
def test_children_serve_side_by_side(server_class: Any) -> None:
    with ScriptedServer(Upper, server_class) as server:
        first, second = server.connect(), server.connect()
        second.send(b"second\n")
        assert second.readline() == b"SECOND\n"
        first.send(b"first\n")
        assert first.readline() == b"FIRST\n"
        assert server.server.active_children == {100_000, 100_001}
        first.close()
        server.run()
        assert server.server.active_children == {100_001}
        assert server.server.counters.closed == 1
    assert server.server.counters.closed == 2


@pytest.mark.parametrize("server_class", [ForkingUDPServer, ForkingUnixDatagramServer])
def test_datagrams(server_class: Any) -> None:
    with ScriptedServer(Packet, server_class) as server:
        client = server.datagram_client()
        client.send(b"hello")
        assert client.recv() == b"HELLO"


def test_a_child_answers_a_datagram_though_the_server_is_closed() -> None:
    class Later(DatagramRequestHandler):
        def handle(self) -> None:
            time.sleep(5.0)
            self.wfile.write(self.packet.upper())

    with ScriptedServer(Later, ForkingUDPServer, block_on_close=False) as server:
        client = server.datagram_client()
        client.send(b"hello")
        server.run()
        server.shutdown()
        server.server.server_close()
        assert client.recv(timeout=10.0) == b"HELLO"


def test_what_a_child_has_of_its_connection_is_what_its_parent_had() -> None:
    class Waits(BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(b"%g" % self.request.gettimeout())

    class Sets(ForkingTCPServer):
        def get_request(self) -> Any:
            request, client_address = super().get_request()
            request.settimeout(5.0)
            return request, client_address

    with ScriptedServer(Waits, Sets) as server:
        assert server.connect().read_to_end() == b"5"
    moved = [event for event in server.trace if event.kind is TraceKind.BYTES]
    assert [(event.request, event.what, event.detail) for event in moved] == [(1, "out", 1)]


def test_what_children_change_is_theirs() -> None:
    class Counts(ForkingTCPServer):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            self.seen: list[int] = []
            self.tell = self.note  # a method of the server, in an attribute
            self.uncopied = (each for each in "abc")

        def note(self, number: int) -> int:
            self.seen.append(number)
            return len(self.seen)

        def finish_request(self, request: Any, client_address: Any) -> None:
            request.sendall(b"%d %s" % (self.tell(1), next(self.uncopied).encode()))

    with ScriptedServer(None, Counts) as server:
        assert [server.connect().read_to_end() for _ in range(3)] == [b"1 a", b"1 b", b"1 c"]
        assert server.server.seen == []


def test_each_child_has_a_pid_of_its_own() -> None:
    class Tells(StreamRequestHandler):
        def handle(self) -> None:
            pids = [os.getpid()]
            thread = threading.Thread(target=lambda: pids.append(os.getpid()))
            thread.start()
            thread.join()
            self.wfile.write(b"%d %d %d\n" % (os.getppid(), *pids))

    real = b"%d" % os.getpid()
    with ScriptedServer(Tells, ForkingTCPServer) as server:
        told = [server.connect().readline().split() for _ in range(2)]
        assert b"%d" % os.getpid() == real
    assert told == [[real, b"100000", b"100000"], [real, b"100001", b"100001"]]
    parent = os.getppid()
    with ScriptedServer(Tells) as server:
        assert server.connect().readline().split() == [b"%d" % parent, real, real]


def test_a_stop_asked_for_by_a_child_is_the_childs() -> None:
    class Stops(Upper):
        def handle(self) -> None:
            assert self.server.fileno() == -1  # the listener is closed there
            self.server.shutdown()
            self.wfile.write(b"stopped\n")

    with ScriptedServer(Stops, ForkingTCPServer) as server:
        assert server.connect().read_to_end() == b"stopped\n"
        assert server.connect().read_to_end() == b"stopped\n"
    assert server.errors == []


def test_an_error_in_a_child_ends_the_child_alone() -> None:
    class Fails(Upper):
        def handle(self) -> None:
            raise SystemExit(3)

    with ScriptedServer(Fails, ForkingTCPServer) as server:
        assert server.connect().read_to_end() == b""
        assert server.connect().read_to_end() == b""
        server.run()
        assert server.server.active_children == set()
        assert [type(error) for error in server.world.unhandled] == [SystemExit, SystemExit]


def test_no_more_than_max_children() -> None:
    with ScriptedServer(Upper, ForkingTCPServer, max_children=1) as server:
        first, second = server.connect(), server.connect()
        second.send(b"second\n")
        server.run()
        assert server.server.counters.accepted == 1
        first.close()
        assert second.readline() == b"SECOND\n"


def test_children_that_are_overdue_are_killed() -> None:
    ends: list[float] = []

    class Sleeps(Upper):
        def handle(self) -> None:
            try:
                time.sleep(100.0)
            finally:
                ends.append(time.monotonic())

    with ScriptedServer(Sleeps, ForkingTCPServer, request_timeout=3.0) as server:
        client = server.connect()
        assert client.read_to_end(timeout=10.0) == b""
        assert ends == [3.0]
        assert server.server.counters.cut == 1


def test_a_drain_says_where_a_child_was() -> None:
    class Sleeps(Upper):
        def handle(self) -> None:
            time.sleep(100.0)

    with ScriptedServer(Sleeps, ForkingTCPServer) as server:
        server.connect()
        server.run()
        report = server.drain(2.0)
        assert report.seconds == 2.0
        assert "child process 100000" in report.cut[0].where
        assert "in handle" in report.cut[0].where


def test_closing_waits_for_children() -> None:
    class Sleeps(Upper):
        def handle(self) -> None:
            time.sleep(7.0)

    with ScriptedServer(Sleeps, ForkingTCPServer) as server:
        server.connect()
        server.run()
    assert server.now == 7.0
    assert server.server.counters.closed == 1


def test_closing_waits_no_longer_than_requests_may_take() -> None:
    with ScriptedServer(Upper, ForkingTCPServer, request_timeout=7.0) as server:
        mute = server.connect()
        server.run()
        server.shutdown()
        server.world.jumps = True
        server.server.server_close()
        assert server.now == 7.0
        assert mute.read_to_end() == b""
        assert server.server.counters.cut == 1


def test_handle_request_reaps() -> None:
    with ScriptedServer(Upper, ForkingTCPServer, serve=False, timeout=1.0) as server:
        client = server.connect()
        server.server.handle_request()
        client.close()
        server.run()
        server.server.handle_request()  # nobody comes
        assert server.server.active_children == set()


def test_a_fork_may_fail(capsys: pytest.CaptureFixture[str]) -> None:
    with ScriptedServer(Upper, ForkingTCPServer, faults=[Fault("fork", "EAGAIN")]) as server:
        assert server.connect().read_to_end() == b""
        assert isinstance(server.errors[0], OSError)
        assert server.errors[0].errno == errno.EAGAIN
        client = server.connect()
        client.send(b"hello\n")
        assert client.readline() == b"HELLO\n"
    assert "BlockingIOError" in capsys.readouterr().err
