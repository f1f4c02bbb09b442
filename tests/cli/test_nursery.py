"""Serving on trio: what is different from others."""

from __future__ import annotations

import sys
import time
from contextlib import closing

import pytest

import trio_backend
from sansio_server.cli import main
from sansio_server.cli.addresses import Address
from sansio_server.cli.backends import Plan
from sansio_server.cli.events import Events
from sansio_server.cli.nursery import _Served, server_class
from sansio_server.cli.running import CLOSED, ENDED
from sansio_server.limits import Limits
from tests.cli.commands import PATIENCE, serving
from tests.cli.handlers import Upper

HERE = "tcp:127.0.0.1:0"
BOTH = pytest.mark.parametrize("backend", ["trio", "trio-greenlets"])


@BOTH
def test_handlers_are_in_trio(backend: str) -> None:
    with serving("waits_a_moment", "--bind", HERE, "--backend", backend) as server:
        assert server.ask() == b"HELLO"
        assert server.stop().status == 0


@pytest.mark.parametrize(("backend", "threads"), [("trio", b"4"), ("trio-greenlets", b"1")])
def test_blocking_handlers_are_where_they_are_asked_to_be(backend: str, threads: bytes) -> None:
    with serving("Threads", "--bind", HERE, "--backend", backend) as server:
        clients = [server.connect() for _ in range(4)]
        for client in clients[:3]:
            client.sendall(b"wait")
            assert client.recv(1024) == b"waiting"
        clients[3].sendall(b"count")
        assert clients[3].recv(1024) == threads
        for client in clients:
            client.close()
        assert server.stop().status == 0


def test_all_addresses_are_served_in_one_run() -> None:
    options = ["--bind", HERE, "--bind", HERE, "--backend", "trio"]
    with serving("which_run", *options) as server:
        assert server.ask(number=0) == server.ask(number=1)
        assert server.stop().status == 0


def test_a_group_is_told_of_whole(tmp_path: object) -> None:
    options = ["--bind", HERE, "--backend", "trio"]
    with serving("leaves_twice", *options) as server:
        assert server.ask() == b""
        ended = server.end()
    assert ended.status == 1
    assert "failed: BaseExceptionGroup" in ended.err
    assert "SystemExit('one')" in ended.err
    assert "SystemExit('two')" in ended.err


def test_greenlets_need_their_package(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "greenlet", None)
    monkeypatch.delitem(sys.modules, "trio_backend.greenlets", raising=False)
    monkeypatch.delattr(trio_backend, "greenlets", raising=False)
    words = ["serve", "tests.cli.handlers:Upper", "--bind", HERE, "--backend", "trio-greenlets"]
    assert main(words) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("sansio-server serve: error: blocking handlers in greenlets need ")
    assert err.count("\n") == 1


def test_server_classes_have_the_names_that_people_know() -> None:
    made = server_class("tcp", "trio", max_connections=7)
    assert (made.__name__, made.blocking_handlers, made.max_connections) == (
        "TCPServer",
        "threads",
        7,
    )
    made = server_class("unixgram", "trio-greenlets")
    assert (made.__name__, made.blocking_handlers) == ("UnixDatagramServer", "greenlets")
    assert issubclass(made, trio_backend.UnixDatagramServer)


def test_a_stop_before_the_task_has_begun_is_no_failure() -> None:
    events = Events()
    plan = Plan(Upper, (Address("tcp", "127.0.0.1"),), "trio", Limits())
    served = _Served.open(plan, plan.addresses[0], events)
    with closing(events):
        served.stop()
        _Served.start([served])
        assert {events.get(time.monotonic() + PATIENCE) for _ in range(2)} == {ENDED, CLOSED}
    assert served.failure is None
