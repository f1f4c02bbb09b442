"""A pool of threads that accept by themselves."""

from __future__ import annotations

import contextvars
import errno
import socket
import threading
from typing import Any

import pytest

import sync_backend
from sansio_server.trace import TraceKind
from sync_backend import BaseRequestHandler, StreamRequestHandler
from tests.sync_backend.pooled import Server, Stay, Upper, caught_by_threads, queued, staying
from tests.sync_backend.support import (
    HERE,
    PATIENCE,
    ask,
    connect,
    in_thread,
    read_to_end,
    running,
    visit,
)


def test_all_hooks_run_in_the_thread_that_accepted() -> None:
    threads: dict[str, threading.Thread] = {}

    class Noting(Server):
        def verify_request(self, request: Any, client_address: Any) -> bool:
            threads["verify"] = threading.current_thread()
            return True

        def shutdown_request(self, request: Any) -> None:
            threads["shutdown"] = threading.current_thread()
            super().shutdown_request(request)

    server = Noting(Upper)
    with running(server) as loop:
        assert ask(server) == b"HELLO\n"
        server.watcher.wait_for(TraceKind.LEAVE, "shutdown_request")
        assert set(threads.values()) == set(server.served_by)
        assert loop not in threads.values()
    assert server.counters.accepted == server.counters.closed == 1


def test_as_many_are_served_at_once_as_there_are_threads() -> None:
    server = Server(Stay)
    with running(server):
        clients = [staying(server) for _ in range(3)]
        late = queued(server)
        assert len(set(server.served_by)) == 3
        clients.pop().close()
        assert late.recv(5, socket.MSG_WAITALL) == b"here\n"
        for client in (*clients, late):
            client.close()
    assert len(set(server.served_by)) == 3


def test_threads_are_started_as_they_are_needed() -> None:
    server = Server(Upper, pool_size=100)
    before = threading.active_count()
    with running(server):
        for _ in range(20):
            ask(server)
        # One that leads, one that may still be closing what it served, for each client.
        assert threading.active_count() - before < 20
    assert threading.active_count() == before


@pytest.mark.parametrize("kind", ["PoolUDPServer", "PoolUnixDatagramServer"])
def test_datagrams(kind: str, tmp_path: Any) -> None:
    class Datagrams(sync_backend.DatagramRequestHandler):
        def handle(self) -> None:
            self.wfile.write(self.rfile.read().upper())

    unix = "Unix" in kind
    server = getattr(sync_backend, kind)(str(tmp_path / "server") if unix else HERE, Datagrams)
    with running(server):
        with socket.socket(server.address_family, socket.SOCK_DGRAM) as client:
            client.settimeout(PATIENCE)
            client.bind(str(tmp_path / "client") if unix else HERE)
            for number in range(30):
                client.sendto(b"packet %d" % number, server.server_address)
                assert client.recv(100) == b"PACKET %d" % number


def test_unix_streams(tmp_path: Any) -> None:
    server = sync_backend.PoolUnixStreamServer(str(tmp_path / "server"), Upper)
    with running(server):
        assert ask(server) == b"HELLO\n"


def test_async_handlers() -> None:
    class AsyncUpper(StreamRequestHandler):
        async def handle(self) -> None:
            await self.wfile.write((await self.rfile.readline()).upper())

    server = Server(AsyncUpper)
    with running(server):
        assert ask(server) == b"HELLO\n"


def test_a_server_without_a_socket_is_led_too() -> None:
    here, there = socket.socketpair()
    answers: list[tuple[str, str]] = []

    class Pairs(sync_backend.PoolMixIn, sync_backend.BaseServer):
        def fileno(self) -> int:
            return here.fileno()

        def get_request(self) -> tuple[str, str]:
            return here.recv(1).decode(), "somebody"

        def finish_request(self, request: Any, client_address: Any) -> None:
            answers.append((request, client_address))
            if len(answers) == 3:
                self.shutdown()

    with here, there, Pairs("nowhere", None) as server:
        there.sendall(b"abc")
        server.serve_forever()
    assert sorted(answers) == [(letter, "somebody") for letter in "abc"]


def test_one_request_can_be_served_in_place() -> None:
    with Server(Upper) as server:
        client = connect(server)
        client.sendall(b"hello\n")
        server.handle_request()
        assert read_to_end(client) == b"HELLO\n"
        assert server.served_by == [threading.current_thread()]


def test_context_variables_do_not_outlive_a_request() -> None:
    seen = contextvars.ContextVar[str]("seen", default="nothing")

    def handler(request: Any, _address: Any, _server: Any) -> None:
        request.sendall(seen.get().encode())
        seen.set("something")

    server = Server(handler, pool_size=1)
    with running(server):
        assert [visit(server) for _ in range(3)] == [b"nothing"] * 3
    assert len(set(server.served_by)) == 1


# What hooks raise.


def test_an_error_is_reported_and_the_thread_goes_on() -> None:
    server = Server(lambda *_: 1 / 0, pool_size=1)
    with running(server):
        for _ in range(3):
            assert visit(server) == b""
    assert [type(error) for error in server.errors] == [ZeroDivisionError] * 3
    assert len(set(server.served_by)) == 1


def test_an_override_of_process_request_has_the_whole_request_inside() -> None:
    caught: list[Exception] = []

    class Guarding(Server):
        def process_request(self, request: Any, client_address: Any) -> None:
            try:
                super().process_request(request, client_address)
            except ZeroDivisionError as error:
                caught.append(error)
                self.shutdown_request(request)

    server = Guarding(lambda *_: 1 / 0)
    with running(server):
        assert visit(server) == b""
    assert len(caught) == 1
    assert server.errors == []


@pytest.mark.parametrize("size", [1, 3])
def test_what_no_hook_dealt_with_ends_the_thread_and_another_takes_its_place(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stubborn(Server):
        def handle_error(self, request: Any, client_address: Any) -> None:
            raise  # noqa: PLE0704 - what is being handled

    server = Stubborn(lambda *_: 1 / 0, pool_size=size)
    with caught_by_threads(monkeypatch) as caught, running(server):
        for _ in range(3):
            assert visit(server) == b""
        server.watcher.wait_for(TraceKind.ACCEPT, count=3)
    assert caught == [ZeroDivisionError] * 3
    assert len(set(server.served_by)) == 3


def test_a_dead_listener_ends_the_loop_with_the_error() -> None:
    server = Server(Upper)
    with server, in_thread(server.serve_forever) as loop:
        assert ask(server) == b"HELLO\n"
        server.socket.shutdown(socket.SHUT_RDWR)  # listens no more
        with pytest.raises(OSError, match=r"\[Errno 22\]"):
            loop.end()
        loop.error = None
    assert not server._members


def test_anything_else_from_get_request_ends_the_loop_with_it() -> None:
    class Failing(Server):
        def get_request(self) -> Any:
            super().get_request()[0].close()
            raise LookupError("no such client")

    server = Failing(Upper)
    with server, in_thread(server.serve_forever) as loop:
        with connect(server), pytest.raises(LookupError, match="no such client"):
            loop.end()
        loop.error = None


def test_a_full_machine_is_left_alone_for_a_while(caplog: pytest.LogCaptureFixture) -> None:
    class Full(Server):
        failures = 3

        def get_request(self) -> Any:
            if self.failures:
                self.failures -= 1
                raise OSError(errno.EMFILE, "no descriptors")
            return super().get_request()

    server = Full(Upper)
    with running(server):
        assert ask(server) == b"HELLO\n"
    assert server.counters.capacity_errors == 3
    begun, over = [record.getMessage() for record in caplog.records]
    assert "cannot accept, and waits" in begun
    assert over.endswith("accepts again")


def test_fewer_threads_will_do(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    start = threading.Thread.start

    def fail(self: threading.Thread) -> None:
        if self.name.startswith("sansio-pool"):
            raise RuntimeError("can't start new thread")
        start(self)

    server = Server(Stay)
    with running(server):
        server.watcher.wait_until_serving()
        first = staying(server)  # the second thread is there by now
        monkeypatch.setattr(threading.Thread, "start", fail)
        second = staying(server)
        late = queued(server)
        first.close()
        assert late.recv(5, socket.MSG_WAITALL) == b"here\n"
        [record] = caplog.records
        assert "makes do with fewer threads" in record.getMessage()
        monkeypatch.undo()
        second.close()
        last = staying(server)
        third = staying(server)
        assert len(set(server.served_by)) == 3
        for client in (late, last, third):
            client.close()


def test_a_server_needs_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with Server(Upper) as server:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", fail)
            with pytest.raises(RuntimeError, match="can't start"):
                server.serve_forever()
        assert not server._members


@pytest.mark.parametrize(
    ("size", "error"), [(0, ValueError), (-1, ValueError), (2.5, TypeError), (None, TypeError)]
)
def test_a_wrong_size(size: Any, error: type[Exception]) -> None:
    with Server(Upper, pool_size=size) as server:
        with pytest.raises(error, match="pool_size must be"):
            server.serve_forever()


# Limits.


def test_no_more_are_let_in_than_may_be_open() -> None:
    server = Server(Stay, max_connections=2)
    with running(server):
        clients = [staying(server), staying(server)]
        late = queued(server)
        assert server.counters.accepted == 2
        clients.pop().close()
        assert late.recv(5, socket.MSG_WAITALL) == b"here\n"
        for client in (*clients, late):
            client.close()


def test_requests_that_an_override_keeps_count() -> None:
    kept: list[Any] = []

    class Keeping(Server):
        def process_request(self, request: Any, client_address: Any) -> None:
            kept.append(request)

    server = Keeping(Upper, max_connections=2)
    with running(server):
        clients = [connect(server), connect(server)]
        server.watcher.wait_for(TraceKind.LEAVE, "process_request", count=2)
        late = queued(server)
        assert len(kept) == 2
        server.shutdown_request(kept[0])
        server.watcher.wait_for(TraceKind.LEAVE, "process_request", count=3)
        for request in kept:
            server.shutdown_request(request)
        for client in (*clients, late):
            client.close()


@pytest.mark.parametrize("limit", [None, 2])
def test_those_beyond_are_shed_if_that_is_asked_for(limit: int | None) -> None:
    server = Server(Stay, when_full="shed", max_connections=limit, pool_size=2)
    with running(server):
        clients = [staying(server), staying(server)]
        assert visit(server) == b""
        assert visit(server) == b""
        assert server.counters.shed == 2
        for client in clients:
            client.close()
        server.watcher.wait_for(TraceKind.CLOSE, count=4)
        staying(server).close()


class Mute(BaseRequestHandler):
    """Stays until the client goes; what it said could be too late."""

    def handle(self) -> None:
        self.request.recv(1)


def test_what_is_overdue_is_cut() -> None:
    server = Server(Mute, request_timeout=0.01, pool_size=1)
    with running(server):
        for _ in range(3):
            assert read_to_end(connect(server)) == b""
    assert server.counters.cut == 3


def test_a_deadline_that_is_set_later_is_kept_too() -> None:
    server = Server(Mute)
    with running(server):
        connect(server).close()
        server.watcher.wait_for(TraceKind.CLOSE)
        server.request_timeout = 0.01
        assert read_to_end(connect(server)) == b""
    assert server.counters.cut == 1


def test_one_in_place_is_cut_too() -> None:
    with Server(Mute, request_timeout=0.01) as server:
        client = connect(server)
        server.handle_request()
        assert read_to_end(client) == b""
        assert server.counters.cut == 1


def test_a_server_may_pause() -> None:
    server = Server(Upper)
    with running(server):
        assert ask(server) == b"HELLO\n"
        server.suspend()
        client = queued(server)
        server.resume()
        client.sendall(b"hello\n")
        assert read_to_end(client) == b"HELLO\n"


def test_service_actions_are_called_by_the_loop() -> None:
    class Acting(Server):
        threads: set[threading.Thread]

        def service_actions(self) -> None:
            self.threads.add(threading.current_thread())
            self.shutdown()

    server = Acting(Upper, threads=set())
    with server, in_thread(server.serve_forever, 0.001) as loop:
        loop.end()
    assert server.threads == {loop}
