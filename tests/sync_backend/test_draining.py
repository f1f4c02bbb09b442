"""Ending the requests that threads and children serve.

Real sockets, threads and children: what is tested is that one that waits in the kernel is woken,
cut and joined. The course of a drain is the core's, and tested there.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from sansio_server.drain import DrainReport
from sansio_server.ledger import Place
from sansio_server.lifecycle import State
from sansio_server.trace import TraceKind
from sync_backend import (
    BaseRequestHandler,
    DatagramRequestHandler,
    PoolUDPServer,
    TCPServer,
    ThreadingTCPServer,
    ThreadingUDPServer,
    UDPServer,
)
from tests.sync_backend.support import (
    HERE,
    PATIENCE,
    Thread,
    Watcher,
    connect,
    in_thread,
    read_to_end,
    running,
)


class Stay(BaseRequestHandler):
    """Stays until the client goes, or the server cuts it."""

    def handle(self) -> None:
        # One line, so that the stack shows it once the client knows.
        self.last = self.request.sendall(b"here") or self.request.recv(1)


class Gate(BaseRequestHandler):
    """Neither reads nor writes: cutting is no help, only opening the gate."""

    def setup(self) -> None:
        self.opened = self.request.sendall(b"here") or self.server.gate.wait(PATIENCE)


class Late(DatagramRequestHandler):
    """Replies when the gate is opened."""

    def handle(self) -> None:
        self.server.gate.wait(PATIENCE)
        self.wfile.write(b"late")


class GatedServer(ThreadingTCPServer):
    cut_timeout = 0.01

    def __init__(self, *args: Any) -> None:
        self.gate = threading.Event()
        super().__init__(*args)


def watched(server: TCPServer) -> Watcher:
    server.trace = watcher = Watcher()
    return watcher


def served(watcher: Watcher, count: int = 1) -> None:
    """Wait until so many clients are being served."""
    watcher.wait_for(TraceKind.ENTER, "finish_request", count)


class Begin:
    """Tells when a drain of the server has begun to wait."""

    def __init__(self, server: TCPServer, drains: int = 1) -> None:
        self._begun = threading.Semaphore(0)
        self._drains = drains
        self._wait = server._wait_for_end
        server._wait_for_end = self._wait_for_end  # type: ignore[method-assign]

    def _wait_for_end(self, places: Iterable[Place], until: float) -> None:
        self._begun.release()
        self._wait(places, until)

    def wait(self) -> None:
        for _ in range(self._drains):
            assert self._begun.acquire(timeout=PATIENCE)


@pytest.mark.parametrize("server_class", [UDPServer, ThreadingUDPServer, PoolUDPServer])
def test_those_who_end_by_themselves_can_reply_by_the_servers_socket(server_class: Any) -> None:
    server = server_class(HERE, Late)
    server.gate = threading.Event()
    server.drain_timeout = PATIENCE
    watcher = watched(server)
    begin = Begin(server)
    with running(server), connect(server) as client:
        client.sendall(b"hello")
        served(watcher)
        with in_thread(server.server_close):
            begin.wait()
            server.gate.set()
        assert client.recv(100) == b"late"
    assert server.fileno() == -1
    assert server.drain_report.cut == ()


BOTH = pytest.mark.parametrize("reuse", [False, True], ids=["new", "reused"])


# Threads.


@BOTH
def test_a_drain_waits_for_those_who_end_by_themselves(reuse: bool) -> None:
    server = ThreadingTCPServer(HERE, Stay)
    server.reuse_threads = reuse
    watcher = watched(server)
    with running(server):
        clients = [connect(server) for _ in range(3)]
        names = {client.getsockname() for client in clients}
        served(watcher, 3)
        server.shutdown()
        begin = Begin(server)
        with in_thread(server.drain, PATIENCE):
            begin.wait()
            for client in clients:
                client.close()
    report = server.drain_report
    assert report is not None
    assert (set(report.finished), report.cut) == (names, ())
    assert server._lifecycle.drain is State.DRAINED


@BOTH
@pytest.mark.parametrize("drain_timeout", [None, 2 * PATIENCE])
def test_who_becomes_overdue_meanwhile_is_cut(reuse: bool, drain_timeout: float | None) -> None:
    server = ThreadingTCPServer(HERE, Stay)
    server.reuse_threads = reuse
    server.drain_timeout = drain_timeout
    server.request_timeout = 0.2
    watcher = watched(server)
    with in_thread(server.serve_forever):
        client = connect(server)
        served(watcher)
        server.shutdown()
    server.server_close()
    assert read_to_end(client) == b"here"
    assert server.counters.cut == 1


@BOTH
def test_a_mute_client_is_cut_and_reported_with_the_stack_of_its_thread(
    reuse: bool, caplog: pytest.LogCaptureFixture
) -> None:
    server = ThreadingTCPServer(HERE, Stay)
    server.reuse_threads = reuse
    server.drain_timeout = 0.01
    with in_thread(server.serve_forever):
        client = connect(server)
        name = client.getsockname()
        assert client.recv(4) == b"here"
        server.shutdown()
    server.server_close()
    assert read_to_end(client) == b""
    report = server.drain_report
    assert report is not None
    [straggler] = report.cut
    assert (straggler.number, straggler.client_address, straggler.ended) == (1, name, True)
    assert "self.request.recv(1)" in straggler.where
    assert report.left == report.finished == ()
    [record] = caplog.records
    assert (record.name, record.levelno) == ("sansio_server", logging.WARNING)
    assert repr(name) in record.getMessage()
    assert "self.request.recv(1)" in record.getMessage()
    assert server.counters.cut == 1


def test_a_handler_that_goes_on_when_cut_is_left_behind() -> None:
    server = GatedServer(HERE, Gate)
    server.drain_timeout = 0
    client = connect(server)
    server.handle_request()
    assert client.recv(4) == b"here"
    [job] = server._threads.jobs()
    server.server_close()
    report = server.drain_report
    assert report is not None
    [straggler] = report.left
    assert straggler.client_address == client.getsockname()
    assert "gate.wait" in straggler.where
    assert server._lifecycle.drain is State.ABANDONED
    server.gate.set()
    assert read_to_end(client) == b""
    with server._progress:
        assert server._progress.wait_for(lambda: job not in server._threads.jobs(), PATIENCE)


def test_a_drain_waits_for_threads_that_have_closed_their_request_but_are_not_done() -> None:
    class Server(GatedServer):
        def process_request_thread(self, request: Any, client_address: Any) -> None:
            super().process_request_thread(request, client_address)
            self.gate.wait(PATIENCE)

    server = Server(HERE, BaseRequestHandler)
    server.drain_timeout = PATIENCE
    client = connect(server)
    server.handle_request()
    assert read_to_end(client) == b""
    begin = Begin(server)
    with in_thread(server.server_close):
        begin.wait()
        server.gate.set()
    assert server.drain_report is not None
    assert len(server.drain_report.finished) == 1


@pytest.mark.parametrize("timeout", [1e12, math.inf])
def test_a_drain_may_take_longer_than_clocks_can_count(timeout: float) -> None:
    server = ThreadingTCPServer(HERE, Stay)
    server.drain_timeout = timeout
    watcher = watched(server)
    client = connect(server)
    server.handle_request()
    served(watcher)
    begin = Begin(server)
    with in_thread(server.server_close):
        begin.wait()
        client.close()
    assert server.drain_report is not None
    assert len(server.drain_report.finished) == 1


def test_a_drain_of_nobody_is_over_at_once() -> None:
    with ThreadingTCPServer(HERE, Stay) as server:
        report = server.drain()
    assert (report.finished, report.cut) == ((), ())
    assert report.seconds < PATIENCE


def test_a_request_that_ends_as_it_is_cut_is_not_waited_for() -> None:
    class Server(ThreadingTCPServer):
        drain_timeout = 0
        cut_timeout = math.inf

        def _cut(self, place: Place, why: str) -> None:
            super()._cut(place, why)
            with self._progress:
                assert self._progress.wait_for(lambda: not self._threads.jobs(), PATIENCE)

    server = Server(HERE, Stay)
    watcher = watched(server)
    with connect(server):
        server.handle_request()
        served(watcher)
        with in_thread(server.server_close):
            pass
    assert server.drain_report is not None
    assert server.drain_report.left == ()


# Served in the loop's own thread.


def test_a_drain_waits_for_the_loops_own_request() -> None:
    server = TCPServer(HERE, Stay)
    server.drain_timeout = PATIENCE
    watcher = watched(server)
    with in_thread(server.serve_forever):
        client = connect(server)
        served(watcher)
        begin = Begin(server)
        with in_thread(server.server_close):
            begin.wait()
            client.close()
    assert server.drain_report is not None
    assert len(server.drain_report.finished) == 1


def test_a_mute_client_of_the_loop_is_cut() -> None:
    server = TCPServer(HERE, Stay)
    server.drain_timeout = 0.01
    with in_thread(server.serve_forever):
        client = connect(server)
        assert client.recv(4) == b"here"
        server.server_close()
        assert read_to_end(client) == b""
    assert server.drain_report is not None
    [straggler] = server.drain_report.cut
    assert straggler.ended
    assert "self.request.recv(1)" in straggler.where


# Threads of the program's own.


class PooledServer(TCPServer):
    """Serves in a thread of the program's."""

    pool: Thread

    def process_request(self, request: Any, client_address: Any) -> None:
        self.pool = Thread(self.process_request_thread, request, client_address)
        self.pool.start()

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        ThreadingTCPServer.process_request_thread(self, request, client_address)  # type: ignore[arg-type]


def test_a_drain_waits_for_threads_of_the_programs_own() -> None:
    server = PooledServer(HERE, Stay)
    server.drain_timeout = PATIENCE
    watcher = watched(server)
    client = connect(server)
    server.handle_request()
    served(watcher)
    begin = Begin(server)
    with in_thread(server.server_close):
        begin.wait()
        client.close()
    server.pool.end()
    assert server.drain_report is not None
    assert len(server.drain_report.finished) == 1


# Several drains.


def close_while_closing(server: GatedServer, close: Callable[[], object]) -> None:
    """Let a handler do something while the server is being closed."""
    watcher = watched(server)
    server.RequestHandlerClass = lambda *_: (server.gate.wait(PATIENCE), close())
    client = connect(server)
    server.handle_request()
    served(watcher)
    begin = Begin(server)
    with in_thread(server.server_close):
        begin.wait()
        server.gate.set()
    assert read_to_end(client) == b""


@pytest.mark.parametrize("drain_timeout", [None, PATIENCE])
def test_a_handler_may_close_the_server_while_that_waits_for_it(
    drain_timeout: float | None,
) -> None:
    server = GatedServer(HERE, Gate)
    server.drain_timeout = drain_timeout
    close_while_closing(server, server.server_close)
    assert server.counters.errors == 0
    assert server._lifecycle.drain is State.DRAINED


def test_a_handler_that_drains_does_not_wait_for_itself() -> None:
    reports: list[DrainReport] = []
    server = GatedServer(HERE, Gate)
    close_while_closing(server, lambda: reports.append(server.drain(0)))
    [report] = reports
    assert (report.finished, report.cut) == ((), ())


def test_two_may_drain_at_once() -> None:
    server = ThreadingTCPServer(HERE, Stay)
    watcher = watched(server)
    client = connect(server)
    server.handle_request()
    served(watcher)
    begin = Begin(server, drains=2)
    with in_thread(server.drain), in_thread(server.drain):
        begin.wait()
        client.close()
    server.server_close()
    assert server._lifecycle.drain is State.DRAINED


def test_closing_without_a_deadline_ends_with_the_last_thread() -> None:
    server = ThreadingTCPServer(HERE, Stay)
    watcher = watched(server)
    client = connect(server)
    server.handle_request()
    served(watcher)
    begin = Begin(server)
    with in_thread(server.server_close):
        begin.wait()
        client.close()


def test_a_drain_takes_no_longer_than_it_may() -> None:
    server = GatedServer(HERE, Gate)
    server.drain_timeout = 0.02
    watcher = watched(server)
    with connect(server):
        server.handle_request()
        served(watcher)
        begun = time.monotonic()
        server.server_close()
        assert time.monotonic() - begun >= 0.03
        server.gate.set()
    watcher.wait_for(TraceKind.CLOSE)
