"""``BaseServer`` in memory: its loop, the ways to stop it, and where it has to be."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from sansio_server import BaseRequestHandler, DatagramRequestHandler, Event, TraceKind
from sansio_server.testing import (
    BaseServer,
    Client,
    Deadlock,
    ScriptedServer,
    TCPServer,
    ThreadingTCPServer,
    ThreadingUDPServer,
    World,
)
from sansio_server.testing.sockets.stream import StreamSocket


class Echo(BaseRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(100):
            self.request.sendall(data)


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        yield world


def connected(world: World, server: Any, name: str = "client 1") -> Client:
    client = Client(world, name)
    client.connect(server.server_address)
    return client


def test_it_needs_a_world() -> None:
    with pytest.raises(RuntimeError, match="no world is running here"):
        TCPServer(("", 0), Echo)


def test_a_subclass_brings_where_requests_come_from(world: World) -> None:
    """As programs do that derive from ``BaseServer`` itself."""

    class Own(BaseServer):
        def __init__(self, listener: StreamSocket) -> None:
            super().__init__(listener.getsockname(), Echo)
            self.listener = listener
            self.server_activate()

        def fileno(self) -> int:
            return self.listener.fileno()

        def get_request(self) -> Any:
            return self.listener.accept()

        def close_request(self, request: Any) -> Any:
            request.close()
            return super().close_request(request)

    listener = StreamSocket(world)
    listener.bind(("", 0))
    listener.listen()
    server = Own(listener)
    loop = world.spawn("loop", server.serve_forever)
    client = connected(world, server)
    client.send(b"hello")
    assert client.recv() == b"hello"
    client.close()
    server.shutdown()
    server.server_close()
    world.join(loop)
    assert loop.failure is None
    assert server.counters.closed == 1
    listener.close()


def test_what_it_listens_to_must_be_of_the_world(world: World) -> None:
    class Elsewhere(TCPServer):
        def fileno(self) -> int:
            return 3

    server = Elsewhere(("", 0), Echo)
    with pytest.raises(ValueError, match="3 is not the descriptor of an open socket of the world"):
        server.serve_forever()
    server.server_close()


def test_a_stop_before_serving_is_kept(world: World) -> None:
    with TCPServer(("", 0), Echo) as server:
        server.shutdown()
        server.serve_forever()
        server.shutdown()
        assert server.handle_request() is None


def test_shutdown_waits_for_the_loop(world: World) -> None:
    class Sleeps(BaseRequestHandler):
        def handle(self) -> None:
            time.sleep(3.0)

    with TCPServer(("", 0), Sleeps) as server:
        loop = world.spawn("loop", server.serve_forever)
        client = connected(world, server)
        world.settle()
        world.jumps = True
        server.shutdown()
        assert world.now == 3.0
        world.join(loop)
        client.close()


def test_a_loop_that_is_asked_to_stop_by_its_own_handler_goes_on_to_the_end(world: World) -> None:
    class Stops(BaseRequestHandler):
        def handle(self) -> None:
            self.server.shutdown()
            self.request.sendall(b"stopped")

    with TCPServer(("", 0), Stops) as server:
        loop = world.spawn("loop", server.serve_forever)
        client = connected(world, server)
        assert client.read_to_end() == b"stopped"
        world.join(loop)
        client.close()


def test_one_loop_after_the_other(world: World) -> None:
    with TCPServer(("", 0), Echo) as server:
        for _ in range(3):
            loop = world.spawn("loop", server.serve_forever)
            with connected(world, server) as client:
                client.send(b"x")
                assert client.recv() == b"x"
            server.shutdown()
            world.join(loop)
        assert server.counters.accepted == 3


def test_two_loops_at_once_share_the_clients(world: World) -> None:
    with TCPServer(("", 0), Echo) as server:
        loops = [world.spawn(f"loop {n}", server.serve_forever) for n in (1, 2)]
        clients = [connected(world, server, f"client {n}") for n in (1, 2)]
        for client in clients:  # each in a loop of its own, or one would wait for the other
            client.send(b"x")
            assert client.recv() == b"x"
        for client in clients:
            client.close()
        server.shutdown()
        for loop in loops:
            world.join(loop)
        assert [loop.failure for loop in loops] == [None, None]


def test_closing_ends_the_loop(world: World) -> None:
    server = TCPServer(("", 0), Echo)
    loop = world.spawn("loop", server.serve_forever)
    world.settle()
    server.server_close()
    world.join(loop)
    assert loop.failure is None
    with pytest.raises(ValueError, match="-1 is not the descriptor"):
        server.serve_forever()


@pytest.mark.parametrize("server_class", [TCPServer, ThreadingTCPServer])
def test_draining_does_not_wait_for_who_asks(server_class: Any) -> None:
    reports: list[Any] = []

    class Drains(BaseRequestHandler):
        def handle(self) -> None:
            reports.append(self.server.drain(5.0))

    with ScriptedServer(Drains, server_class) as server:
        assert server.connect().read_to_end() == b""
        assert reports[0].seconds == 0.0
        assert server.now == 0.0


def test_who_ends_while_draining_can_reply_by_the_servers_socket() -> None:
    class Late(DatagramRequestHandler):
        def handle(self) -> None:
            time.sleep(3)
            self.wfile.write(b"late")

    with ScriptedServer(Late, ThreadingUDPServer, drain_timeout=5.0) as server:
        client = server.datagram_client()
        client.send(b"hello")
        server.run()
        server.server.server_close()
        assert client.recv() == b"late"
        assert (server.server.fileno(), server.errors) == (-1, [])


def test_draining_takes_no_negative_time(world: World) -> None:
    with TCPServer(("", 0), Echo) as server, pytest.raises(ValueError, match="-1"):
        server.drain(-1.0)


@pytest.mark.parametrize("limit", ["max_connections", "request_timeout"])
def test_limits_are_looked_at_before_serving(world: World, limit: str) -> None:
    with TCPServer(("", 0), Echo) as server:
        setattr(server, limit, -1)
        for serve in (server.serve_forever, server.handle_request):
            with pytest.raises(ValueError, match=limit):
                serve()


def test_who_is_served_in_place_is_cut_in_time() -> None:
    with ScriptedServer(Echo, request_timeout=4.0) as server:
        slow, quick = server.connect(), server.connect()
        closed = []
        for seconds in (3.0, 1.0):
            server.advance(seconds)
            closed.append(slow.closed_by_server)
        assert closed == [False, True]
        # The clock of the next begins when it is let in.
        quick.send(b"x")
        assert quick.recv() == b"x"
        server.advance(3.5)
        assert not quick.closed_by_server


def test_asynchronous_hooks_are_run_to_their_end() -> None:
    class Awaits(TCPServer):
        async def get_request(self) -> Any:
            return super().get_request()

        async def verify_request(self, request: Any, client_address: Any) -> bool:
            return bool(super().verify_request(request, client_address))

        async def process_request(self, request: Any, client_address: Any) -> None:
            await super().process_request(request, client_address)

    with ScriptedServer(Echo, Awaits) as server:
        client = server.connect()
        client.send(b"x")
        assert client.recv() == b"x"
        assert server.errors == []


def test_its_life_is_told(world: World) -> None:
    told: list[str] = []

    class Tells(TCPServer):
        @staticmethod
        def trace(event: Any) -> None:
            if event.kind is TraceKind.STATE:
                told.append(event.what)

    with Tells(("", 0), Echo) as server:
        loop = world.spawn("loop", server.serve_forever)
        world.settle()
        server.shutdown()
        world.join(loop)
    assert told == [
        event.name
        for event in (Event.BIND, Event.ACTIVATE, Event.SERVE, Event.SHUTDOWN, Event.LEAVE)
    ] + ["CLOSE"]


def test_a_suspended_server_waits_to_be_told() -> None:
    with ScriptedServer(Echo) as server:
        server.suspend()
        client = server.connect()
        client.send(b"x")
        with pytest.raises(Deadlock, match="loop waits for something to do"):
            client.recv()
        server.resume()
        assert client.recv() == b"x"
