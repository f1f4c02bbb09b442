"""What the strategies draw: scripts that are well-formed, and all that was asked for."""

from __future__ import annotations

import pytest
from hypothesis import find, given
from hypothesis import strategies as st

from sansio_server.testing.scripts.actions import (
    ClientScript,
    Close,
    Connect,
    HalfClose,
    ReceiveDatagram,
    ReceiveToEnd,
    Reset,
    Send,
    SendDatagram,
    Wait,
)
from sansio_server.testing.scripts.faults import FAULT_KINDS, Fault
from sansio_server.testing.scripts.script import Script, script_from_json, script_to_json
from sansio_server.testing.strategies import (
    DATAGRAM_POINTS,
    STREAM_POINTS,
    datagram_clients,
    faults,
    scripts,
    stream_clients,
)

LINES = st.sampled_from([b"one\n", b"two and three\n"])


@given(scripts())
def test_scripts_can_be_kept_in_a_file(script: Script) -> None:
    assert script_from_json(script_to_json(script)) == script


@given(stream_clients(LINES, cuts=False, departures=False))
def test_a_client_that_sends_whole_messages_and_stays(client: ClientScript) -> None:
    first, *sends, half_close, receive, close = client.actions
    assert (first, half_close, receive, close) == (Connect(), HalfClose(), ReceiveToEnd(), Close())
    assert {type(action) for action in sends} <= {Send}
    assert len(sends) <= 5
    assert set(client.sent.splitlines(keepends=True)) <= {b"one\n", b"two and three\n"}


@given(stream_clients(st.just(b"abcdef"), most=1, departures=False))
def test_pieces_make_up_the_message(client: ClientScript) -> None:
    assert client.sent in (b"", b"abcdef")
    assert all(action.data for action in client.actions if isinstance(action, Send))


@pytest.mark.parametrize("end", [Close(), Reset(), HalfClose()])
def test_a_client_may_depart(end: object) -> None:
    simplest = find(
        stream_clients(), lambda client: client.actions[-1] == end or end in client.actions[-3:-1]
    )
    assert simplest.actions[0] == Connect()


def test_a_client_may_pause_between_pieces() -> None:
    clients = stream_clients(st.just(b"ab"), departures=False)
    paused = find(clients, lambda client: any(isinstance(each, Wait) for each in client.actions))
    assert paused.actions[1:4] == (Send(b"a"), Wait(0.001), Send(b"b"))


def test_the_simplest_script_is_one_quiet_client() -> None:
    simplest = find(scripts(), lambda _: True)
    assert simplest == Script([ClientScript([Connect(), HalfClose(), ReceiveToEnd(), Close()])])


@given(scripts(stream_clients(LINES), most=2))
def test_no_more_clients_than_asked_for(script: Script) -> None:
    assert 1 <= len(script.clients) <= 2


@given(scripts(most_faults=0))
def test_no_faults_if_none_are_wanted(script: Script) -> None:
    assert script.faults == ()


def test_several_clients_with_faults_are_drawn() -> None:
    find(scripts(), lambda script: len(script.clients) == 3 and len(script.faults) == 3)


@given(datagram_clients(st.binary(max_size=3), most=2, timeout=0.5))
def test_datagrams_are_each_waited_for(client: ClientScript) -> None:
    assert client.actions
    for sent, received in zip(client.actions[::2], client.actions[1::2], strict=True):
        assert isinstance(sent, SendDatagram)
        assert received == ReceiveDatagram(timeout=0.5)


@given(scripts(datagram_clients(), happening=faults(DATAGRAM_POINTS)))
def test_scripts_of_datagrams(script: Script) -> None:
    assert {fault.point for fault in script.faults} <= set(DATAGRAM_POINTS)


@pytest.mark.parametrize("point", sorted(FAULT_KINDS))
def test_each_kind_of_fault_is_drawn(point: str) -> None:
    for kind in FAULT_KINDS[point]:
        assert find(faults([point]), lambda fault, kind=kind: fault.kind == kind) == Fault(  # type: ignore[misc]
            point, kind
        )


def test_faults_come_as_late_as_asked_for() -> None:
    assert find(faults(latest=30), lambda fault: fault.nth == 30).point in STREAM_POINTS


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: faults(["accept", "reboot"]), "points must be of accept, .*, not 'reboot'"),
        (lambda: faults([]), "points must name at least one point"),
        (lambda: faults(latest=0), "latest must be 1 or more, not 0"),
        (lambda: scripts(most=0), "most must be 1 or more, not 0"),
        (lambda: scripts(most_faults=-1), "most_faults must be 0 or more, not -1"),
    ],
)
def test_what_cannot_be_drawn(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match=message):
        make()
