"""The classes of ``socketserver`` in memory: their kinds, and what threads are there."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest

from sansio_server import BaseRequestHandler, StreamRequestHandler, TraceKind
from sansio_server.testing import (
    Fault,
    ScriptedServer,
    TCPServer,
    ThreadingTCPServer,
    ThreadingUDPServer,
    UDPServer,
    UnixDatagramServer,
    UnixStreamServer,
    World,
)
from sansio_server.testing.servers import classes
from sansio_server.testing.sockets.base import AF_UNIX


class Upper(StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line.upper())


class Sleeps(BaseRequestHandler):
    def handle(self) -> None:
        time.sleep(5.0)


def names_of(server_class: type) -> list[str]:
    """Return the names of the classes of ``socketserver`` that it is derived from, in order."""
    names = [base.__name__ for base in server_class.__mro__]
    return list(dict.fromkeys(name for name in names if name in classes.__all__))


@pytest.mark.parametrize("name", classes.__all__)
def test_they_are_built_as_in_the_standard_library(name: str) -> None:
    """``sync_backend`` has all of them on every Python; some of ``socketserver`` came later."""
    import sync_backend

    theirs, ours = getattr(sync_backend, name), getattr(classes, name)
    assert names_of(ours) == names_of(theirs)
    for attribute in ("address_family", "socket_type", "max_packet_size", "daemon_threads"):
        assert getattr(ours, attribute, None) == getattr(theirs, attribute, None)


@pytest.mark.parametrize(
    ("server_class", "family", "kind"),
    [
        (TCPServer, socket.AF_INET, socket.SOCK_STREAM),
        (UDPServer, socket.AF_INET, socket.SOCK_DGRAM),
        (UnixStreamServer, AF_UNIX, socket.SOCK_STREAM),
        (UnixDatagramServer, AF_UNIX, socket.SOCK_DGRAM),
    ],
)
def test_each_has_a_socket_of_its_kind(server_class: Any, family: int, kind: int) -> None:
    with ScriptedServer(Upper, server_class, serve=False) as server:
        assert (server.server.socket.family, server.server.socket.type) == (family, kind)


def test_a_subclass_may_choose_another_kind_of_socket() -> None:
    class Datagrams(UDPServer):
        address_family = socket.AF_INET6

    with ScriptedServer(Sleeps, Datagrams, serve=False) as server:
        assert server.server.server_address[:2] == ("::1", 50_001)


def test_an_address_is_taken_once() -> None:
    with World(), TCPServer(("", 80), Upper) as server:
        with pytest.raises(OSError, match="cannot bind to"):
            TCPServer(("", 80), Upper)
        assert server.server_address == ("0.0.0.0", 80)


def test_a_thread_that_cannot_be_started(capsys: pytest.CaptureFixture[str]) -> None:
    faults = [Fault("thread", "fail")]
    with ScriptedServer(Upper, ThreadingTCPServer, faults=faults) as server:
        refused, served = server.connect(), server.connect()
        assert refused.read_to_end() == b""
        served.send(b"x\n")
        assert served.readline() == b"X\n"
        served.close()
        server.run()
        assert server.server.counters.closed == 2
        assert [repr(error) for error in server.errors] == [
            """RuntimeError("can't start new thread")"""
        ]
    assert "can't start new thread" in capsys.readouterr().err


def test_closing_waits_for_threads() -> None:
    with ScriptedServer(Sleeps, ThreadingTCPServer) as server:
        server.connect()
        server.run()
    assert server.now == 5.0


@pytest.mark.parametrize("attribute", ["daemon_threads", "block_on_close"])
def test_closing_waits_for_no_thread_that_it_need_not(attribute: str) -> None:
    chosen: Any = {attribute: attribute == "daemon_threads"}
    with ScriptedServer(Sleeps, ThreadingTCPServer, **chosen) as server:
        server.connect()
        server.run()
        server.shutdown()
        server.server.server_close()
        assert server.now == 0.0
        server.advance(5.0)
        assert server.server.counters.closed == 1


def test_draining_is_for_all_threads() -> None:
    with ScriptedServer(Sleeps, ThreadingTCPServer, daemon_threads=True) as server:
        server.connect()
        server.run()
        report = server.drain(10.0)
        assert (len(report.finished), report.seconds) == (1, 5.0)


def test_what_a_thread_raises_beside_its_hooks_is_told_as_threads_tell_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Careless(ThreadingTCPServer):
        def process_request_thread(self, request: Any, client_address: Any) -> None:
            super().process_request_thread(request, client_address)
            raise KeyError("afterwards")

    told: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: told.append(args.exc_value))
    with ScriptedServer(Upper, Careless) as server:
        server.connect().close()
        server.run()
        assert [repr(error) for error in told] == ["KeyError('afterwards')"]
        assert server.world.unhandled == told
        assert server.server.counters.closed == 1


def test_each_thread_has_its_own_locals() -> None:
    local = threading.local()
    seen: list[Any] = []

    class Keeps(BaseRequestHandler):
        def handle(self) -> None:
            seen.append(getattr(local, "name", None))
            local.name = self.client_address

    with ScriptedServer(Keeps, ThreadingTCPServer) as server:
        for _ in range(3):
            server.connect().read_to_end()
        assert seen == [None, None, None]


@pytest.mark.parametrize("server_class", [UDPServer, ThreadingUDPServer])
def test_moved_bytes_of_datagrams_are_told(server_class: Any) -> None:
    class Twice(BaseRequestHandler):
        def handle(self) -> None:
            data, sock = self.request
            sock.sendto(2 * data, self.client_address)

    with ScriptedServer(Twice, server_class) as server:
        client = server.datagram_client()
        client.send(b"abc")
        assert client.recv() == b"abcabc"
    moved = [(e.what, e.detail) for e in server.trace if e.kind is TraceKind.BYTES]
    assert moved == [("in", 3), ("out", 6)]


def test_datagrams_are_cut_to_the_largest() -> None:
    class Echo(BaseRequestHandler):
        def handle(self) -> None:
            data, sock = self.request
            sock.sendto(data, self.client_address)

    with ScriptedServer(Echo, UDPServer, max_packet_size=4) as server:
        client = server.datagram_client()
        client.send(b"abcdef")
        assert client.recv() == b"abcd"


@pytest.mark.parametrize(
    ("server_class", "order"),
    [(UDPServer, [b"wait", b"go"]), (ThreadingUDPServer, [b"go", b"wait"])],
)
def test_one_at_a_time_or_side_by_side(server_class: Any, order: list[bytes]) -> None:
    class Waits(BaseRequestHandler):
        def handle(self) -> None:
            data, sock = self.request
            if data == b"wait":
                time.sleep(5.0)
            sock.sendto(data, self.client_address)

    with ScriptedServer(Waits, server_class) as server:
        client = server.datagram_client()
        client.send(b"wait")
        client.send(b"go")
        assert [client.recv(timeout=10.0), client.recv(timeout=10.0)] == order
        assert server.now == 5.0
