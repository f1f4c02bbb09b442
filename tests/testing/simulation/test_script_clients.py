"""A client of a script, in a world: its time, its addresses, and what is told of its errors."""

from __future__ import annotations

import socket
from typing import Any

import attrs
import pytest

from sansio_server import BaseRequestHandler
from sansio_server.testing import (
    Action,
    ClientScript,
    Close,
    Connect,
    ReceiveDatagram,
    ReceiveLine,
    ReceiveToEnd,
    Reset,
    ScriptedServer,
    Seen,
    Send,
    SendDatagram,
    Shutdown,
    TCPServer,
    ThreadingTCPServer,
    UDPServer,
    UnixDatagramServer,
    UnixStreamServer,
    Wait,
)
from sansio_server.testing.simulation.script_clients import MemoryClient
from tests.testing.replayed import Mute, Upper, UpperDatagram


@attrs.define
class Told:
    """What clients tell whoever they play for."""

    server: Any
    asked: list[str] = attrs.Factory(list)
    addresses: list[Any] = attrs.Factory(list)

    def shutdown(self) -> None:
        self.asked.append("shutdown")

    def close(self) -> None:
        self.asked.append("close")

    def address_of(self, number: int, address: Any) -> None:
        self.addresses.append((number, address))


def play(
    server: ScriptedServer, *actions: Action, number: int = 1, start: float = 0.0
) -> tuple[Seen, Told]:
    told = Told(server.server)
    return MemoryClient(ClientScript(actions, start=start), told, number).play(), told


def test_an_error_ends_it() -> None:
    class Leaves(BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(1)
            self.request.close()  # with bytes unread, and so by a reset

    with ScriptedServer(Leaves) as server:
        seen, told = play(server, Connect(), Send(b"xyz"), ReceiveToEnd(), Shutdown())
        assert seen == Seen((), "ConnectionResetError")
        assert told.asked == []
        errors = [moment for moment in server.timeline if moment.what == "error"]
        assert [(each.actor, each.detail) for each in errors] == [
            ("client 1", "ConnectionResetError")
        ]


def test_a_timeout_is_on_the_worlds_clock() -> None:
    with ScriptedServer(Mute) as server:
        seen, _ = play(server, Connect(), ReceiveLine(timeout=7.0), Send(b"never"))
        assert seen == Seen((), "TimeoutError")
        assert server.now == 7.0


def test_it_begins_and_waits_when_it_says() -> None:
    with ScriptedServer(Upper) as server:
        play(server, Connect(), Wait(2.0), Close(), start=3.0)
        moments = {moment.what: moment.time for moment in server.timeline}
        assert (moments["connect"], moments["close"]) == (3.0, 5.0)


@pytest.mark.parametrize("last", [Close(), Reset()])
def test_one_connection_after_the_other(last: Action) -> None:
    with ScriptedServer(Upper, ThreadingTCPServer) as server:
        seen, told = play(
            server, Connect(), Send(b"a\n"), ReceiveLine(), last, Connect(), Send(b"b\n"),
            ReceiveLine(), number=3,
        )  # fmt: skip
        assert seen.replies == (b"A\n", b"B\n")
        # Ports of its own, whoever came before.
        assert told.addresses == [(3, ("127.0.0.1", 41_060)), (3, ("127.0.0.1", 41_061))]


def test_it_lets_go_of_its_connection_at_the_end() -> None:
    with ScriptedServer(Upper) as server:
        play(server, Connect(), Send(b"a\n"))
        server.run()
        assert server.server.counters.closed == 1


def test_what_is_asked_of_the_server_is_passed_on() -> None:
    with ScriptedServer(Upper) as server:
        assert play(server, Shutdown())[1].asked == ["shutdown"]


class V6(TCPServer):
    address_family = socket.AF_INET6


@pytest.mark.parametrize(
    ("server_class", "addresses"),
    [(V6, [(1, ("::1", 41_020, 0, 0))]), (UnixStreamServer, [])],
)
def test_other_families(server_class: Any, addresses: list[Any]) -> None:
    with ScriptedServer(Upper, server_class) as server:
        seen, told = play(server, Connect(), Send(b"a\n"), ReceiveLine())
        assert seen.replies == (b"A\n",)
        assert told.addresses == addresses


@pytest.mark.parametrize(
    ("server_class", "address"),
    [(UDPServer, ("127.0.0.1", 41_020)), (UnixDatagramServer, "\0client 1")],
)
def test_datagrams(server_class: Any, address: Any) -> None:
    with ScriptedServer(UpperDatagram, server_class) as server:
        seen, told = play(
            server,
            SendDatagram(b"a"),
            SendDatagram(b"b"),
            ReceiveDatagram(),
            ReceiveDatagram(),
            ReceiveDatagram(timeout=1.0),
        )
        assert seen.error == "TimeoutError"
        assert seen.replies == (b"A", b"B")
        assert told.addresses == [(1, address)]
