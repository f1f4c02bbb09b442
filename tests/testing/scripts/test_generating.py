"""What a seed draws: always the same, and all that is to be expected."""

from __future__ import annotations

import zlib

import pytest

from sansio_server.testing.scripts.actions import (
    ClientScript,
    Close,
    CloseServer,
    Connect,
    HalfClose,
    Receive,
    ReceiveDatagram,
    ReceiveLine,
    ReceiveToEnd,
    Reset,
    Send,
    SendDatagram,
    Suspend,
    Wait,
)
from sansio_server.testing.scripts.faults import Fault
from sansio_server.testing.scripts.generating import (
    Variety,
    alone,
    clients_that_send,
    generate,
    in_whole_messages,
    is_comparable,
)
from sansio_server.testing.scripts.script import Script, script_to_json

CLIENTS = clients_that_send([b"hello\n", b"good bye, and thanks\n"])
TALK = ClientScript((Connect(), Send(b"a\n"), ReceiveLine(), Send(b"b\n"), ReceiveLine()))
SCRIPTS = [generate(seed, (*CLIENTS, TALK)) for seed in range(300)]


def test_clients_that_send() -> None:
    assert clients_that_send([b"a", b"b"]) == (
        ClientScript((Connect(), Send(b"a"), Send(b"b"), HalfClose(), ReceiveToEnd(), Close())),
    )
    assert clients_that_send([b"a"], datagrams=True) == (
        ClientScript((SendDatagram(b"a"), ReceiveDatagram(timeout=1.0))),
    )


def test_the_same_seed_draws_the_same_on_every_python() -> None:
    # The digest was made on Python 3.11; every other must come to the same.
    text = "".join(script_to_json(script) for script in SCRIPTS)
    assert zlib.crc32(text.encode()) == 0x5038D8B8
    assert [generate(seed, (*CLIENTS, TALK)) for seed in range(300)] == SCRIPTS


def test_all_that_may_happen_happens() -> None:
    assert {script.schedule for script in SCRIPTS} == set(range(300))
    clients = [client for script in SCRIPTS for client in script.clients]
    kinds = {type(action) for client in clients for action in client.actions}
    assert {Connect, Send, HalfClose, Close, Reset, Wait, CloseServer, Suspend} <= kinds
    assert {len(script.clients) for script in SCRIPTS} == {1, 2, 3, 4}
    assert any(client.start for client in clients)
    assert any(not client.start for client in clients)
    assert any(
        len(action.data) == 1 for c in clients for action in c.actions if isinstance(action, Send)
    )


def test_a_client_that_does_not_break_off_sends_all_it_was_to_send() -> None:
    variety = Variety(departures=0, operators=0)
    for seed in range(100):
        for client in generate(seed, CLIENTS, variety).clients:
            assert client.sent == CLIENTS[0].sent
            assert in_whole_messages(client).actions == in_whole_messages(CLIENTS[0]).actions


def test_one_that_does_sends_a_part_of_it() -> None:
    variety = Variety(departures=1, operators=0, most=1)
    ends = set()
    for seed in range(200):
        (client,) = generate(seed, CLIENTS, variety).clients
        assert CLIENTS[0].sent.startswith(client.sent)
        ends.add(type(client.actions[-1]))
    assert ends == {ReceiveToEnd, Close, Reset}


def test_what_need_not_vary_does_not() -> None:
    variety = Variety(departures=0, operators=0, cuts=False, most=1)
    for seed in range(20):
        (client,) = generate(seed, CLIENTS, variety, handler="a:B", server="a:C").clients
        assert client.actions == CLIENTS[0].actions
    datagrams = clients_that_send([b"abc"], datagrams=True)
    for seed in range(20):
        for client in generate(seed, datagrams, Variety(operators=0)).clients:
            assert client.actions == datagrams[0].actions


def test_what_cannot_be_drawn_from() -> None:
    with pytest.raises(ValueError, match="clients must name at least one client"):
        generate(1, ())
    with pytest.raises(ValueError, match="most"):
        Variety(most=0)
    with pytest.raises(ValueError, match="departures"):
        Variety(departures=1.5)


def test_whole_messages() -> None:
    cut = ClientScript(
        (Connect(), Send(b"a"), Wait(1.0), Send(b"\n"), ReceiveLine(), Wait(2.0), Send(b"b")),
        start=1.0,
    )
    assert in_whole_messages(cut) == ClientScript(
        (Connect(), Send(b"a\n"), ReceiveLine(), Wait(2.0), Send(b"b")), start=1.0
    )


def test_alone() -> None:
    script = Script((TALK, TALK, TALK), faults=(Fault("recv", "short"),), schedule=3)
    assert alone(script, 2) == Script((ClientScript(()), TALK, ClientScript(())))


@pytest.mark.parametrize(
    ("client", "comparable"),
    [
        (TALK, True),
        (ClientScript(()), False),
        (ClientScript((CloseServer(),)), False),
        (ClientScript((Connect(), Receive())), False),
        (ClientScript((Connect(), ReceiveLine(timeout=1.0))), False),
        (ClientScript((Connect(), ReceiveLine(), Reset())), False),
    ],
)
def test_who_can_be_compared(client: ClientScript, comparable: bool) -> None:
    assert is_comparable(client) is comparable
