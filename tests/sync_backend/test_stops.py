"""A stop, wherever it comes from and whenever: nothing hangs, and the stop is never lost.

Real sockets, threads and signals: what is tested is that whatever a loop waits in is woken.
"""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from sansio_server.lifecycle import State
from sansio_server.trace import TraceEvent, TraceKind
from sync_backend import (
    BaseRequestHandler,
    ForkingTCPServer,
    PoolTCPServer,
    StreamRequestHandler,
    TCPServer,
    ThreadingTCPServer,
    UDPServer,
)
from tests.sync_backend import programs
from tests.sync_backend.interruptions import Interruption, run_interrupted
from tests.sync_backend.support import (
    HERE,
    PATIENCE,
    Program,
    Thread,
    Watcher,
    connect,
    in_thread,
    read_to_end,
    visit,
)

KINDS = pytest.mark.parametrize("kind", [TCPServer, ThreadingTCPServer, PoolTCPServer, UDPServer])
ENTRIES = pytest.mark.parametrize("entry", ["serve_forever", "handle_request"])
WAYS = pytest.mark.parametrize("way", list(programs.WAYS))


class Greet(BaseRequestHandler):
    def handle(self) -> None:
        self.request.sendall(b"hello")


@pytest.fixture
def server() -> Iterator[TCPServer]:
    with TCPServer(HERE, Greet) as server:
        yield server


def serves(server: TCPServer) -> bool:
    """Say whether no stop was kept: whether the server serves when it is asked to."""
    with in_thread(server.serve_forever):
        answer = visit(server)
        server.shutdown()
    return answer == b"hello"


# From where.


@KINDS
def test_another_thread_stops_an_idle_server(kind: type[TCPServer]) -> None:
    with kind(HERE, Greet) as server:
        server.trace = watcher = Watcher()
        with in_thread(server.serve_forever) as loop:
            watcher.wait_until_serving()
            server.shutdown()
            assert server._lifecycle.loop is State.IDLE
        assert not loop.is_alive()


@pytest.mark.parametrize("kind", [TCPServer, ThreadingTCPServer, PoolTCPServer])
def test_a_handler_stops_its_server(kind: type[TCPServer]) -> None:
    class Last(Greet):
        def finish(self) -> None:
            self.server.shutdown()

    with kind(HERE, Last) as server:
        with in_thread(server.serve_forever):
            assert visit(server) == b"hello"
        server.RequestHandlerClass = Greet
        assert serves(server)


def test_a_handler_in_a_child_stops_nothing_but_the_child() -> None:
    def stop(request: Any, _address: Any, server: Any) -> None:
        server.shutdown()
        server.shutdown()
        request.sendall(b"stopped")

    with ForkingTCPServer(HERE, stop) as server:
        clients = [connect(server) for _ in range(2)]
        for _ in clients:
            server.handle_request()
        assert [read_to_end(client) for client in clients] == [b"stopped"] * 2


@pytest.mark.parametrize("hook", ["service_actions", "verify_request", "handle_error"])
def test_a_hook_stops_its_server(hook: str) -> None:
    with TCPServer(HERE, lambda *_: 1 / 0) as server:

        def stop(*_: Any) -> None:
            server.shutdown()
            server.shutdown()

        setattr(server, hook, stop)
        with connect(server):
            server.serve_forever(poll_interval=0.001)
        assert server._lifecycle.loop is State.IDLE


def test_a_trace_stops_its_server(server: TCPServer) -> None:
    def stop(event: TraceEvent) -> None:
        if event.what == "SERVE":
            server.shutdown()

    server.trace = stop
    server.serve_forever()
    server.trace = None
    assert serves(server)


def test_a_signal_handler_in_the_loops_thread_stops_the_server(server: TCPServer) -> None:
    former = signal.signal(signal.SIGUSR1, lambda *_: server.shutdown())
    server.trace = watcher = Watcher()

    def send() -> None:
        watcher.wait_until_serving()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    try:
        with in_thread(send):
            server.serve_forever()
    finally:
        signal.signal(signal.SIGUSR1, former)


def test_a_signal_handler_beside_the_loops_thread_stops_the_server(server: TCPServer) -> None:
    former = signal.signal(signal.SIGUSR1, lambda *_: server.shutdown())
    server.trace = watcher = Watcher()
    try:
        with in_thread(server.serve_forever):
            watcher.wait_until_serving()
            signal.raise_signal(signal.SIGUSR1)
            assert server._lifecycle.loop is State.IDLE
    finally:
        signal.signal(signal.SIGUSR1, former)


@WAYS
def test_sigterm_ends_a_program_that_stops_its_server_then(way: str) -> None:
    with Program(programs.stopped_by_signal, way) as program:
        address = program.hear_address()
        assert program.hear() == "serving"
        with connect(address) as client:
            assert client.recv(5) == b"here\n"
            if way in programs.GIVING:
                assert program.hear() == "given"
            program.process.send_signal(signal.SIGTERM)
            if way != "inline":  # there the handler is in the loop's thread, and goes on
                assert program.hear() == "stopped"
        assert program.end()[-1] == "closed"
        assert program.errors == ""


@WAYS
def test_ctrl_c_ends_a_program(way: str) -> None:
    with Program(programs.ended_by_ctrl_c, way) as program:
        address = program.hear_address()
        assert program.hear() == "serving"
        with connect(address) as client:
            assert client.recv(5) == b"here\n"
            if way in programs.GIVING:
                # The interpreter loses an exception that comes amid what it does after a fork.
                assert program.hear() == "given"
            program.process.send_signal(signal.SIGINT)
            assert program.end()[-1] == "closed"
            assert "Traceback" not in program.errors


@pytest.mark.parametrize("color", ["blocking", "asynchronous"])
def test_a_handler_may_see_the_end_of_its_input_at_a_stop(color: str) -> None:
    class Blocking(StreamRequestHandler):
        stop_ends_input = True

        def handle(self) -> None:
            for line in self.rfile:
                self.wfile.write(line)
            self.wfile.write(b"goodbye")

    class Asynchronous(StreamRequestHandler):
        stop_ends_input = True

        async def handle(self) -> None:
            async for line in self.rfile:
                await self.wfile.write(line)
            await self.wfile.write(b"goodbye")

    handler = Blocking if color == "blocking" else Asynchronous
    with ThreadingTCPServer(HERE, handler) as server, in_thread(server.serve_forever):
        client = connect(server)
        client.sendall(b"hello\n")
        assert client.recv(6, socket.MSG_WAITALL) == b"hello\n"
        server.shutdown()
        assert read_to_end(client) == b"goodbye"


# When.


def test_a_stop_before_serving_returns_at_once_and_is_kept(server: TCPServer) -> None:
    server.shutdown()
    server.serve_forever()
    assert serves(server)


def test_a_stop_after_serving_is_kept_likewise(server: TCPServer) -> None:
    assert serves(server)
    server.shutdown()
    server.shutdown()
    server.serve_forever()
    assert serves(server)


def test_a_stop_is_kept_even_when_the_server_is_closed(server: TCPServer) -> None:
    server.shutdown()
    server.server_close()
    server.serve_forever()
    assert server._lifecycle.loop is State.IDLE


def test_a_stop_is_kept_for_one_request_too(server: TCPServer) -> None:
    server.shutdown()
    client = connect(server)
    server.handle_request()
    assert server.counters.accepted == 0
    server.handle_request()
    assert read_to_end(client) == b"hello"


def test_one_stop_ends_several_loops(server: TCPServer) -> None:
    server.trace = watcher = Watcher()
    with in_thread(server.serve_forever), in_thread(server.serve_forever):
        watcher.wait_for(TraceKind.STATE, "SERVE", 2)
        server.shutdown()
    assert server._lifecycle.loop is State.IDLE


def test_many_may_stop_at_once(server: TCPServer) -> None:
    for _ in range(20):
        server.trace = watcher = Watcher()
        with in_thread(server.serve_forever):
            watcher.wait_until_serving()
            threads = [Thread(server.shutdown) for _ in range(5)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.end()
        if server._lifecycle.loop is State.STOP_KEPT:  # one of them came when all was over
            server.serve_forever()
        assert server._lifecycle.loop is State.IDLE


def test_nobody_is_let_in_after_a_stop(server: TCPServer) -> None:
    class Last(Greet):
        def handle(self) -> None:
            super().handle()
            self.server.shutdown()

    server.RequestHandlerClass = Last
    clients = [connect(server) for _ in range(3)]
    server.serve_forever()
    assert server.counters.accepted == 1
    for client in clients:
        client.close()


# In a race.


@ENTRIES
@KINDS
def test_a_stop_races_with_the_start(kind: type[TCPServer], entry: str) -> None:
    with kind(HERE, Greet) as server:
        for _ in range(300):
            barrier = threading.Barrier(2)

            def serve(barrier: threading.Barrier = barrier) -> None:
                barrier.wait(PATIENCE)
                getattr(server, entry)()

            with in_thread(serve):
                barrier.wait(PATIENCE)
                server.shutdown()
            # It has stopped the one loop there was, whichever was first.
            assert server._lifecycle.loop is State.IDLE


def test_a_stop_races_with_a_client(server: TCPServer) -> None:
    for _ in range(300):
        client = connect(server)
        with in_thread(server.handle_request):
            server.shutdown()
        client.close()
        if server._lifecycle.loop is State.STOP_KEPT:  # the client was first
            server.handle_request()
        assert server._lifecycle.loop is State.IDLE


def test_a_close_races_with_the_start() -> None:
    for _ in range(100):
        server = TCPServer(HERE, Greet)
        barrier = threading.Barrier(2)

        def serve(server: TCPServer = server, barrier: threading.Barrier = barrier) -> None:
            barrier.wait(PATIENCE)
            with suppress(ValueError):  # there may be nothing left to serve on
                server.serve_forever()

        with in_thread(serve):
            barrier.wait(PATIENCE)
            server.server_close()
            server.shutdown()


# Amid all that a loop does, as in a signal handler; the tests of Control leave no instruction out.


class SleepyServer(TCPServer):
    """Is interrupted by a stop at some instruction, at the latest when it goes to sleep."""

    interruption: Interruption
    asleep = False

    def _sleep(self, *args: Any) -> bool:
        if not self.interruption.done:
            self.asleep = True
            self.interruption.happen()
        return super()._sleep(*args)


@ENTRIES
def test_a_stop_amid_the_start_counts(entry: str) -> None:
    with SleepyServer(HERE, Greet) as server:
        number = 0
        while not server.asleep:
            server.interruption = Interruption(number, server.shutdown)
            run_interrupted(getattr(server, entry), server.interruption)
            assert server._lifecycle.loop is State.IDLE
            number += 7
        assert number > 200


def test_a_stop_amid_a_request_counts(server: TCPServer) -> None:
    done, number = True, 0
    while done:
        with connect(server) as client:
            accepted = server.counters.accepted
            interruption = Interruption(number, server.shutdown)
            run_interrupted(server.handle_request, interruption)
            done = interruption.done
            if server.counters.accepted == accepted:  # the stop was first
                server.handle_request()
            assert client.recv(5) == b"hello"
            if server._lifecycle.loop is State.STOP_KEPT:  # the request was
                server.handle_request()
            assert server._lifecycle.loop is State.IDLE
        number += 13
    assert number > 500
