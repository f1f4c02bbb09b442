"""The state machine: servers that hold, and the faults that it finds in others."""

from __future__ import annotations

import socketserver
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, rule, run_state_machine_as_test

import sync_backend
from sansio_server.testing import Client
from sansio_server.testing.machine import ServerMachine
from sansio_server.testing.runs.invariants import excuse_errors

QUICK = settings(
    max_examples=30,
    stateful_step_count=15,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.generate,),
)


def run(machine: type[ServerMachine], examples: int = 100) -> None:
    run_state_machine_as_test(machine, settings=settings(QUICK, max_examples=examples))


class Upper(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line.upper())


class UpperMachine(ServerMachine):
    handler = Upper
    messages = st.sampled_from([b"one\n", b"tw", b"o\nthree\n"])
    attributes: ClassVar[dict[str, Any]] = {"max_connections": 3, "request_timeout": 30.0}

    def received(self, client: Client, data: bytes) -> None:
        assert data == data.upper()


class TestUpper(UpperMachine.TestCase):  # type: ignore[misc, valid-type]
    settings = QUICK


def test_a_machine_may_have_rules_of_its_own() -> None:
    told: list[Client] = []

    class Machine(UpperMachine):
        @rule(client=ServerMachine.clients)
        def look_at(self, client: Client) -> None:
            told.append(client)

    run(Machine, 10)
    assert told


async def shout(request: Any, client_address: Any, server: Any) -> None:
    while data := await request.recv(100):
        await request.sendall(data.upper())


def test_a_function_that_is_asynchronous_on_a_server_of_another_backend() -> None:
    class Machine(ServerMachine):
        handler = shout
        server_class = sync_backend.TCPServer

    run(Machine, 10)


class Fails(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        if self.rfile.read(1) == b"!":
            raise LookupError("no such thing as !")


def test_it_finds_what_a_handler_raises() -> None:
    class Machine(ServerMachine):
        handler = Fails
        messages = st.sampled_from([b"a", b"b", b"!"])

    with pytest.raises(AssertionError, match=r"finish_request of request \d raised LookupError"):
        run(Machine)


def test_what_is_meant_is_excused() -> None:
    class Machine(ServerMachine):
        handler = Fails
        messages = st.sampled_from([b"a", b"!"])
        must_hold = (excuse_errors(LookupError),)

    run(Machine, 20)


def test_it_finds_a_request_that_is_kept() -> None:
    class Keeps(socketserver.TCPServer):
        def shutdown_request(self, request: Any) -> None:
            """Forget to close it."""

    class Machine(ServerMachine):
        handler = Upper
        server_class = Keeps

    with pytest.raises(AssertionError):
        run(Machine)


def test_it_finds_what_a_client_should_not_get() -> None:
    class Lower(UpperMachine):
        messages = st.just(b"a\n")

        def received(self, client: Client, data: bytes) -> None:
            assert data != b"A\n"

    with pytest.raises(AssertionError):
        run(Lower)


def test_one_that_has_not_begun_ends() -> None:
    ServerMachine().teardown()


def test_the_bundle_is_there_for_rules() -> None:
    assert isinstance(ServerMachine.clients, Bundle)
