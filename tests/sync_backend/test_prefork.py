"""Worker processes that accept by themselves."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from typing import Any

import pytest

import sync_backend
from sansio_server.supervision import WorkerState
from sync_backend import (
    DatagramRequestHandler,
    ForkingMixIn,
    PreforkMixIn,
    PreforkTCPServer,
    TCPServer,
)
from tests.sync_backend.preforked import (
    ALL,
    Who,
    ask,
    make,
    plain,
    served,
    visit_to_end,
    wait_for_end,
    with_pool,
)
from tests.sync_backend.support import (
    HERE,
    PATIENCE,
    Program,
    connect,
    hear,
    read_to_end,
    say,
)


@ALL
def test_workers_serve(function: Any) -> None:
    with served(function, "processes=2") as server:
        clients = [server.client() for _ in range(2)]
        assert server.program.pid not in {pid for _, pid in clients}
        for client, _ in clients:
            assert ask(client, "hello") == "hello"
            client.close()
        workers = server.wait_for_workers(without=set(), count=2)
        assert server.pid() in workers
        said = server.stop()
    assert said == ["loop ended", "closed 3 3 0", "report None", "children set()"]
    assert server.program.errors == ""


def test_as_many_workers_as_processors() -> None:
    with served() as server:
        server.wait_for_workers(without=set(), count=len(os.sched_getaffinity(0)))
        server.stop()


@pytest.mark.parametrize("kind", ["PreforkUDPServer", "PreforkUnixDatagramServer"])
def test_datagrams(kind: str, tmp_path: Any) -> None:
    with Program(datagrams, kind, str(tmp_path)) as program:
        address: Any = str(tmp_path / "server") if "Unix" in kind else program.hear_address()
        with socket.socket(socket.AF_UNIX if "Unix" in kind else socket.AF_INET, 2) as client:
            client.settimeout(PATIENCE)
            client.bind(str(tmp_path / "client") if "Unix" in kind else HERE)
            if "Unix" in kind:
                program.hear()
            for number in range(20):
                client.sendto(b"packet %d" % number, address)
                assert client.recv(100) == b"PACKET %d" % number
        os.kill(program.pid, signal.SIGTERM)
        assert program.end() == ["20"]


class Packets(DatagramRequestHandler):
    def handle(self) -> None:
        self.wfile.write(self.rfile.read().upper())


def datagrams(kind: str, folder: str) -> None:
    unix = "Unix" in kind
    server = getattr(sync_backend, kind)(folder + "/server" if unix else HERE, Packets)
    server.processes = 2
    signal.signal(signal.SIGTERM, lambda *_: server.shutdown())
    say(0 if unix else server.server_address[1])
    with server:
        server.serve_forever()
    say(server.counters.accepted)


def test_unix_streams(tmp_path: Any) -> None:
    with Program(unix_streams, str(tmp_path / "server")) as program:
        assert program.hear() == "here"
        assert int(visit_to_end(str(tmp_path / "server"))) != program.pid
        os.kill(program.pid, signal.SIGINT)
        assert program.end() == ["interrupted"]


def unix_streams(path: str) -> None:
    with sync_backend.PreforkUnixStreamServer(path, Who) as server:
        say("here")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            say("interrupted")


# Ends of workers.


@ALL
@pytest.mark.parametrize("word", ["kill", "exit"])
def test_one_that_dies_is_started_anew(function: Any, word: str) -> None:
    with served(function, "processes=2") as server:
        client, pid = server.client()
        other = server.wait_for_workers(without=set(), count=2) - {pid}
        if word == "kill":
            os.kill(pid, signal.SIGKILL)
        else:
            client.sendall(b"exit\n")
        assert client.recv(1) == b""
        client.close()
        assert server.wait_for_workers(without={pid}, count=2) > other
        assert server.pid() != pid
        server.stop()
    how = "SIGKILL" if word == "kill" else "status 7"
    assert f"worker {pid} died of itself, with {how}\n" in server.program.errors


def test_a_client_who_waits_for_one_that_dies_is_served_by_another() -> None:
    with served(plain, "processes=1") as server:
        client, pid = server.client()
        waiting = [connect(server.address) for _ in range(5)]
        os.kill(pid, signal.SIGKILL)
        for other in waiting:
            other.shutdown(socket.SHUT_WR)
            assert int(read_to_end(other)) != pid
        client.close()
        server.stop()


def test_errors_of_handlers_are_counted_and_the_worker_goes_on() -> None:
    with served(plain, "processes=1") as server:
        pids = set()
        for _ in range(3):
            client, pid = server.client()
            client.sendall(b"fail\n")
            assert client.recv(1) == b""
            client.close()
            pids.add(pid)
        assert len(pids) == 1
        assert "closed 3 3 3" in server.stop()


@ALL
def test_a_worker_that_has_had_enough_is_followed_by_another(function: Any) -> None:
    with served(function, "processes=1", "max_requests=3") as server:
        pids = [server.pid() for _ in range(9)]
        counts = [pids.count(pid) for pid in set(pids)]
        if function is plain:
            assert counts == [3, 3, 3]
        else:  # a thread may accept one more before the others are told
            assert len(counts) > 1
        assert server.stop()[1] == "closed 9 9 0"
    assert server.program.errors == ""


def test_not_all_have_enough_at_the_same_time() -> None:
    with served(plain, "processes=1", "max_requests=2", "max_requests_jitter=3") as server:
        pids = [server.pid() for _ in range(30)]
        counts = [pids.count(pid) for pid in set(pids)]
        assert max(counts) <= 5
        assert len(counts) >= 6
        server.stop()


def test_a_worker_may_stop_itself_alone() -> None:
    with served(plain, "processes=1") as server:
        client, pid = server.client()
        assert ask(client, "stop") == "stop"
        client.close()
        assert server.pid() != pid
        server.stop()


def test_all_are_replaced_and_nobody_is_lost() -> None:
    with served(plain, "processes=2") as server:
        server.pid()
        old = server.workers()
        server.signal(signal.SIGHUP)
        served_by: list[int] = []
        while not served_by or server.workers() & old or len(server.workers()) != 2:
            served_by.append(server.pid())
        assert server.workers().isdisjoint(old)
        assert server.stop()[1] == f"closed {len(served_by) + 1} {len(served_by) + 1} 0"
    assert server.program.errors == ""


def test_one_that_is_replaced_may_finish() -> None:
    with served(plain, "processes=1") as server:
        client, pid = server.client()
        server.signal(signal.SIGHUP)
        assert ask(client, "stopping") == "True"
        assert server.pid() != pid
        assert ask(client, "still there") == "still there"
        client.close()
        server.wait_for_workers(without={pid}, count=1)
        server.stop()


def test_workers_end_when_nobody_supervises_them() -> None:
    with served(plain, "processes=2") as server:
        server.pid()
        workers = server.workers()
        os.kill(server.program.pid, signal.SIGKILL)
        for pid in workers:
            wait_for_end(pid)
        with pytest.raises(ConnectionRefusedError):
            connect(server.address)


def test_pools_end_when_nobody_supervises_them() -> None:
    with served(with_pool, "processes=1") as server:
        pid = server.pid()
        os.kill(server.program.pid, signal.SIGKILL)
        wait_for_end(pid)


# Limits and refusals.


@pytest.mark.parametrize(
    ("attributes", "error", "message"),
    [
        ({"processes": 0}, ValueError, "processes must be 1 or more"),
        ({"processes": "all"}, TypeError, "processes must be a whole number"),
        ({"max_requests": 0}, ValueError, "max_requests must be 1 or more"),
        ({"max_requests_jitter": -1}, ValueError, "max_requests_jitter must be 0 or more"),
        ({"drain_timeout": -1}, ValueError, "drain_timeout"),
    ],
)
def test_wrong_numbers(attributes: dict[str, Any], error: type[Exception], message: str) -> None:
    with PreforkTCPServer(HERE, Who) as server:
        vars(server).update(attributes)
        with pytest.raises(error, match=message):
            server.serve_forever()
        server.drain_timeout = None


def test_a_server_forks_before_or_for_each() -> None:
    both: Any = type("Both", (PreforkMixIn, ForkingMixIn, TCPServer), {})
    with both(HERE, Who) as server:
        with pytest.raises(TypeError, match="Both can't both fork for each request and prefork"):
            server.serve_forever()


def test_one_request_can_be_served_in_place() -> None:
    with PreforkTCPServer(HERE, Who) as server:
        client = connect(server)
        client.shutdown(socket.SHUT_WR)
        server.handle_request()
        assert int(read_to_end(client)) == os.getpid()
        assert server.counters.accepted == 1
        assert server.active_children is None
        assert not server.drain().cut


def test_a_process_that_cannot_fork_tries_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Once(PreforkTCPServer):
        processes = 1

        def service_actions(self) -> None:
            self.shutdown()

    def fail() -> int:
        raise BlockingIOError(11, "no more processes")

    monkeypatch.setattr(os, "fork", fail)
    with Once(HERE, Who) as server:
        server.serve_forever()
        assert server.active_children is None
    assert "no worker can be started: [Errno 11] no more processes" in caplog.text


def test_what_ends_a_worker_before_it_serves_is_shown_and_tried_again() -> None:
    with Program(broken) as program:
        said = program.end()
    assert said == ["gone 3"]
    assert program.errors.count("LookupError: nothing to serve") == 2
    assert program.errors.count("died of itself, with status 1") == 2
    assert program.errors.count("died of itself, with status 5") == 1


def broken() -> None:
    class Broken(PreforkTCPServer):
        processes = 1
        gone = 0

        def _be_worker(self, channel: Any, poll_interval: float | None) -> int:
            if self.gone == 2:
                sys.exit(5)
            raise LookupError("nothing to serve")

        def _worker_left(self, worker: Any, fate: Any) -> None:
            super()._worker_left(worker, fate)
            assert worker.state is WorkerState.GONE
            self.gone += 1
            if self.gone == 3:
                self.shutdown()

    logging.basicConfig(format="%(message)s")
    with Broken(HERE, Who) as server:
        server.serve_forever()
    say("gone", server.gone)


def test_a_stop_from_another_thread_waits_for_the_loop() -> None:
    with Program(stopped_by_a_thread) as program:
        address = program.hear_address()
        assert int(visit_to_end(address)) != program.pid
        program.tell()
        assert program.end() == ["stopped", "1"]


def stopped_by_a_thread() -> None:
    def stop() -> None:
        hear()
        server.shutdown()
        say("stopped")

    server = make(PreforkTCPServer, processes=1)
    with server:
        say(server.server_address[1])
        # The worker is there before the thread is: forks and threads do not go together.
        beginning = threading.Thread(target=stop)
        server.service_actions = lambda: (
            None if beginning.ident or server.active_children is None else beginning.start()
        )
        server.serve_forever()
        beginning.join()
    say(server.counters.accepted)


def test_nobody_is_lost_while_workers_come_and_go() -> None:
    """The same at length is in `benchmarks/workers.py`."""
    with served(plain, "processes=2", "max_requests=20", "max_requests_jitter=10") as server:
        lost = 0
        for number in range(300):
            if number % 100 == 50:
                server.signal(signal.SIGHUP)
            lost += not visit_to_end(server.address)
        assert lost == 0
        server.stop()
