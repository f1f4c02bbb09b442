"""What happens for real when the machine has no descriptor, thread or process left.

Real processes under real limits: it is the kernel that has nothing left. The errnos that it gives,
one by one and at each place, are in tests/testing/test_each_fault.py.
"""

from __future__ import annotations

import select
import signal
import socket
from contextlib import closing

import pytest

from tests.sync_backend import programs
from tests.sync_backend.support import PATIENCE, Program, connect, read_to_end


class Starving:
    """A server that runs out of descriptors, and its clients."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.address = program.hear_address()
        self.log: list[str] = []
        self.served: list[socket.socket] = []

    def close(self) -> None:
        """Let all clients go."""
        while self.served:
            self.served.pop().close()

    def hear(self) -> tuple[float, float] | None:
        """Hear of a failure to accept: when it was, and the CPU time of the server until then."""
        kind, _, rest = self.program.hear().partition(" ")
        if kind == "starved":
            time, cpu_time = map(float, rest.split())
            return time, cpu_time
        self.log.append(rest)
        return None

    def hear_failure(self) -> tuple[float, float]:
        """Wait for the next failure to accept."""
        while (failure := self.hear()) is None:
            pass
        return failure

    def fill(self) -> tuple[socket.socket, tuple[float, float]]:
        """Connect until the server cannot accept; return a client it cannot, and that failure."""
        while True:
            client = connect(self.address)
            self.served.append(client)
            while not self._is_served(client):
                if (failure := self.hear()) is not None:
                    # Whether this client was still accepted or not, another one cannot be.
                    return connect(self.address), failure

    def _is_served(self, client: socket.socket) -> bool:
        """Wait until a client is served, or the program says something."""
        assert self.program.process.stdout is not None
        said = self.program.process.stdout.fileno()
        ready, _, _ = select.select([client.fileno(), said], [], [], PATIENCE)
        assert ready
        return client.fileno() in ready and client.recv(5) == b"here\n"


def test_a_server_without_descriptors_waits_and_comes_back_by_itself() -> None:
    with Program(programs.starving) as program, closing(Starving(program)) as starving:
        waiting, (begun, cpu_begun) = starving.fill()
        assert len(starving.served) >= 2
        ended, cpu_ended = begun, cpu_begun
        while ended - begun < 1.5:
            ended, cpu_ended = starving.hear_failure()
        assert (cpu_ended - cpu_begun) / (ended - begun) < 0.05

        starving.close()
        with waiting:
            assert waiting.recv(5) == b"here\n"

        waiting, _ = starving.fill()
        starving.close()
        with waiting:
            assert waiting.recv(5) == b"here\n"

        program.process.send_signal(signal.SIGTERM)
        rest = [line.removeprefix("log ") for line in program.end() if line.startswith("log ")]
    log = starving.log + rest
    # A line at the beginning and one at the end of each episode. There may be more than these two:
    # when a client has gone its thread keeps the descriptor for a moment.
    said = ["cannot accept", "accepts again"] * len(log)
    assert len(log) >= 4
    assert all(what in line for what, line in zip(said, log, strict=False)), log


def test_a_loop_that_cannot_be_woken_does_not_begin() -> None:
    with Program(programs.without_a_descriptor) as program:
        assert program.hear() == "EMFILE IDLE"
        assert program.hear() == "EMFILE IDLE"
        with connect(program.hear_address()) as client:
            assert client.recv(5) == b"here\n"
        assert program.end() == []


@pytest.mark.parametrize(
    ("way", "reuse", "reason"),
    [
        ("threads", "", "can't start new thread"),
        ("threads", "reuse", "can't start new thread"),
        ("forks", "", "temporarily unavailable"),
    ],
)
def test_a_request_that_nobody_can_be_started_for_is_closed(
    way: str, reuse: str, reason: str
) -> None:
    with Program(programs.unable_to_start, way, reuse) as program:
        address = program.hear_address()
        program.tell("forbid")
        for _ in range(2):
            client = connect(address)
            program.tell("serve")
            assert read_to_end(client) == b""
            assert program.hear() == "served"
        program.tell("allow")
        with connect(address) as client:
            program.tell("serve")
            assert client.recv(5) == b"here\n"
        program.tell("")
        assert program.end() == ["served", "0 1 2"]
    assert program.errors.count(reason) == 2
    assert program.errors.count("Traceback") == 2
