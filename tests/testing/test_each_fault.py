"""One fault at a time, of each kind, at each place where it can happen: no server minds.

A run without faults shows how often each actor comes to each point; then it is played again with
one fault there, and what must hold of every run is looked at. So the points need no list, and no
luck with seeds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest

import sync_backend
from sansio_server.testing import (
    FAULT_KINDS,
    ClientScript,
    Close,
    Connect,
    Expect,
    Fault,
    HalfClose,
    ReceiveDatagram,
    ReceiveToEnd,
    Reset,
    Script,
    Send,
    SendDatagram,
    Simulation,
    World,
)
from tests.testing.replayed import Upper, UpperAsync, UpperDatagram

STREAM = Script(
    (
        ClientScript(
            (Connect(), Send(b"one\n"), Expect(b"ONE\n"), Send(b"two\n"), HalfClose(),
             ReceiveToEnd(), Close())
        ),
        ClientScript((Connect(), Send(b"three\n"), Expect(b"THREE\n")), start=0.5),
    )
)  # fmt: skip
PACKETS = Script(
    tuple(
        ClientScript((SendDatagram(data), ReceiveDatagram(timeout=3.0)), start=start)
        for start, data in enumerate((b"one", b"two"))
    )
)

Kind = tuple[Callable[..., Any], type]
KINDS: dict[str, Kind] = {
    f"{handler.__name__} on {server_class.__name__}": (handler, server_class)
    for handler, server_classes in (
        (
            Upper,
            (
                sync_backend.TCPServer,
                sync_backend.ThreadingTCPServer,
                sync_backend.ForkingTCPServer,
                sync_backend.ThreadingUnixStreamServer,
            ),
        ),
        (UpperAsync, (sync_backend.TCPServer, sync_backend.ThreadingTCPServer)),
        (
            UpperDatagram,
            (
                sync_backend.UDPServer,
                sync_backend.ThreadingUDPServer,
                sync_backend.ForkingUDPServer,
                sync_backend.UnixDatagramServer,
            ),
        ),
    )
    for server_class in server_classes
}


@pytest.fixture
def visits(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, str]]:
    """How often whom came to which point, from now on."""
    counted: Counter[tuple[str, str]] = Counter()
    ask = World.fault

    def count(self: World, point: str, actor: str | None = None, **context: Any) -> Fault | None:
        who = self.current.label if actor is None else actor
        counted[point, who] += 1
        return ask(self, point, actor, **context)

    monkeypatch.setattr(World, "fault", count)
    return counted


def each_fault(visits: Counter[tuple[str, str]]) -> Iterator[Fault]:
    for (point, actor), times in sorted(visits.items()):
        for kind in FAULT_KINDS[point]:
            if (point, kind) not in UNSEEN:
                for nth in range(1, times + 1):
                    yield Fault(point, kind, nth, actor)


#: After these a server waits before it accepts again.
CAPACITY = {"EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"}

#: What programs never see: after a signal Python calls again by itself (PEP 475).
UNSEEN = {("recv", "EINTR"), ("send", "EINTR")}


@pytest.mark.parametrize("name", KINDS)
def test_each_fault_at_each_visit(name: str, visits: Counter[tuple[str, str]]) -> None:
    handler, server_class = KINDS[name]
    script = PACKETS if handler is UpperDatagram else STREAM
    with Simulation(handler, server_class=server_class) as simulation:
        plain = simulation.play(script)
        faults = list(each_fault(Counter(visits)))
        assert all(seen.replies and not seen.error for seen in plain.clients)
        assert len(faults) > 10
        for fault in faults:
            run = simulation.examine(attrs.evolve(script, faults=(fault,)))
            assert run.faults == (fault,)
            assert run.findings == (), f"{fault}\n{run.report()}"
            assert run.counters.accepted == run.counters.closed, fault
            full = fault.point == "accept" and fault.kind in CAPACITY
            assert run.counters.capacity_errors == full, fault
            hurt = [
                number
                for number, (seen, wanted) in enumerate(
                    zip(run.clients, plain.clients, strict=True), 1
                )
                if (seen.received, seen.error) != (wanted.received, wanted.error)
            ]
            assert len(hurt) <= 1, f"{fault}\n{run.report()}"


@pytest.mark.parametrize("name", [name for name in KINDS if "Datagram" not in name])
def test_a_reset_by_the_client_at_each_step(name: str) -> None:
    handler, server_class = KINDS[name]
    actions = STREAM.clients[0].actions
    with Simulation(handler, server_class=server_class) as simulation:
        for length in range(1, len(actions)):
            for schedule in (None, 1, 2, 3):
                leaves = ClientScript((*actions[:length], Reset()))
                run = simulation.examine(Script((leaves, STREAM.clients[1]), schedule=schedule))
                assert run.findings == (), run.report()
                assert run.clients[1].received == b"THREE\n"
