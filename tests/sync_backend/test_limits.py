"""How much a server takes on, and when it takes on nothing.

Real sockets and threads: what is tested is how loops that sleep in the kernel learn of room. The
decisions themselves are the core's, and tested there.
"""

from __future__ import annotations

import socket
from typing import Any

import pytest

from sansio_server import serving
from sansio_server.lifecycle import State
from sansio_server.trace import TraceKind
from sync_backend import (
    TCPServer,
    ThreadingTCPServer,
)
from tests.sync_backend.servers import PatientServer, Sleeps, Stay, Upper
from tests.sync_backend.support import (
    HERE,
    Watcher,
    connect,
    in_thread,
    read_to_end,
    running,
    visit,
)


def connected_and_served(server: TCPServer, watcher: Watcher) -> socket.socket:
    served = watcher.count(TraceKind.ENTER, "finish_request")
    client = connect(server)
    watcher.wait_for(TraceKind.ENTER, "finish_request", served + 1)
    return client


def test_a_full_server_leaves_clients_waiting(sleeps: Sleeps) -> None:
    server = ThreadingTCPServer(HERE, Stay)
    server.max_connections = 1
    server.trace = watcher = Watcher()
    with running(server):
        first = connected_and_served(server, watcher)
        second = connect(server)
        first.close()
        second.close()
        watcher.wait_for(TraceKind.CLOSE, count=2)
    # The thread tells of CLOSE when the loop may have let in the next.
    begun = [e.what for e in watcher.events if e.kind in {TraceKind.ACCEPT, TraceKind.ENTER}]
    order = [what for what in begun if what in {"accept", "shutdown_request"}]
    assert order == ["accept", "shutdown_request"] * 2
    assert set(sleeps.timeouts) <= {None}  # none, if there was always something to do


def test_a_full_server_lets_nobody_in_who_asks_for_one_request() -> None:
    server = ThreadingTCPServer(HERE, Stay)
    server.max_connections = 1
    server.trace = watcher = Watcher()
    with server:
        with connect(server):
            server.handle_request()
            server.timeout = 0
            with connect(server):
                server.handle_request()
                assert server.counters.accepted == 1
        watcher.wait_for(TraceKind.CLOSE)
        server.handle_request()
        assert server.counters.accepted == 2


def test_room_made_by_another_loop_is_seen() -> None:
    # Two loops: the one that is full sleeps, while the other ends its own.
    server = ThreadingTCPServer(HERE, Stay)
    server.max_connections = 1
    server.trace = watcher = Watcher()
    with server, in_thread(server.handle_request):
        first = connected_and_served(server, watcher)
        with in_thread(server.handle_request):
            watcher.wait_for(TraceKind.STATE, "WAIT", 2)
            first.close()
            connected_and_served(server, watcher).close()
            server.shutdown()


def test_a_shedding_server_tells_clients_that_it_is_full() -> None:
    class Server(ThreadingTCPServer):
        max_connections = 1
        when_full = "shed"

        def shed_request(self, request: socket.socket, client_address: Any) -> None:
            request.sendall(b"full\n")

    server = Server(HERE, Stay)
    server.trace = watcher = Watcher()
    with running(server):
        first = connected_and_served(server, watcher)
        assert visit(server) == b"full\n"
        assert visit(server) == b"full\n"
        first.close()
        watcher.wait_for(TraceKind.CLOSE, count=3)
        connected_and_served(server, watcher).close()
    assert server.counters.shed == watcher.count(TraceKind.OVERLOAD, "shed") == 2
    assert server.counters.accepted == 4


def test_by_default_what_is_shed_is_just_closed() -> None:
    server = ThreadingTCPServer(HERE, Stay)
    server.max_connections, server.when_full = 1, "shed"
    server.trace = watcher = Watcher()
    with running(server), connected_and_served(server, watcher):
        assert visit(server) == b""


def test_requests_closed_behind_the_servers_back_make_room_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serving, "SWEEP_INTERVAL", 0.01)

    class Server(TCPServer):
        max_connections = 1
        kept: Any = None

        def process_request(self, request: Any, client_address: Any) -> Any:
            if self.kept is not None:
                return super().process_request(request, client_address)
            self.kept = request
            return None

    server = Server(HERE, Upper)
    server.trace = watcher = Watcher()
    with running(server):
        with connect(server):
            watcher.wait_for(TraceKind.LEAVE, "process_request")
            second = connect(server)
            second.sendall(b"hello\n")
            server.kept.close()
            assert read_to_end(second) == b"HELLO\n"
    assert server.counters.closed == 2


def test_a_suspended_server_lets_nobody_in(server: PatientServer) -> None:
    server.suspend()
    server.timeout = 0
    client = connect(server)
    client.sendall(b"hello\n")
    assert server.handle_request() == "timed out"
    server.resume()
    assert server.handle_request() is None
    assert read_to_end(client) == b"HELLO\n"


def test_a_loop_is_suspended_and_resumed_at_once(server: PatientServer, sleeps: Sleeps) -> None:
    server.trace = watcher = Watcher()
    server.suspend()
    with running(server):
        watcher.wait_until_serving()
        client = connect(server)
        client.sendall(b"hello\n")
        server.resume()
        assert read_to_end(client) == b"HELLO\n"
        server.suspend()
        with connect(server):
            server.shutdown()
    assert server.counters.accepted == 1
    assert set(sleeps.timeouts) <= {None}  # none, if there was always something to do


@pytest.mark.parametrize("name", ["serve_forever", "handle_request"])
def test_limits_are_checked_before_serving(server: PatientServer, name: str) -> None:
    server.max_connections = -1
    with pytest.raises(ValueError, match=r"max_connections must be 1 or more, .* not -1"):
        getattr(server, name)()
    assert server._lifecycle.loop is State.IDLE
