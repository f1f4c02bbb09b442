"""The pytest plugin, in runs of pytest of its own."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from tests.preloaded import Preloaded

HANDLERS = """
import socketserver

class Upper(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line.upper())

class UpperDatagram(socketserver.DatagramRequestHandler):
    def handle(self):
        self.wfile.write(self.packet.upper())
"""


@attrs.frozen
class Result:
    """How a run of pytest went."""

    status: int
    out: str

    def having(self, outcome: str) -> list[str]:
        """Return the names of the tests with an outcome, in alphabetical order."""
        found = set()
        for line in self.out.splitlines():
            if outcome in line:
                found |= {word.rpartition("::")[2] for word in line.split() if "::" in word}
        return sorted(found)


Run = Callable[..., Result]


@pytest.fixture(scope="module")
def preloaded() -> Iterator[Preloaded]:
    with Preloaded("tests.testing.pytest_loaded") as preloaded:
        yield preloaded


@pytest.fixture
def run(preloaded: Preloaded, tmp_path: Path) -> Run:
    """Run tests in a folder of their own."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}

    def run(tests: str, *options: str) -> Result:
        (tmp_path / "handlers.py").write_text(HANDLERS)
        (tmp_path / "test_it.py").write_text(f"from handlers import *\nimport pytest\n{tests}")
        (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
        words = ("-v", "-p", "no:cacheprovider", *options)
        with preloaded.run("pytest", *words, folder=tmp_path, environment=environment) as process:
            out, err = process.communicate(50)
        assert process.returncode is not None
        return Result(process.returncode, (out + err).decode())

    return run


EVERYWHERE = """
def test_lines(serve):
    client = serve(Upper).connect()
    client.send(b"hello\\n")
    assert client.readline() == b"HELLO\\n"

@pytest.mark.backends("memory", "threads")
def test_datagrams(serve):
    client = serve(UpperDatagram, socketserver.UDPServer).datagram_client()
    client.send(b"hello")
    assert client.recv() == b"HELLO"

@pytest.mark.backends("trio-greenlets")
def test_name(server_backend, serve):
    assert server_backend == "trio-greenlets"
    with pytest.raises(TypeError, match="no attribute 'max_connection'"):
        serve(Upper, max_connection=1)
"""

LINES = [
    f"test_lines[{name}]"
    for name in ("forks", "inline", "memory", "threads", "trio", "trio-threads")
]


@pytest.mark.parametrize("options", [(), ("-n", "2")])
def test_one_suite_on_every_backend(run: Run, options: tuple[str, ...]) -> None:
    result = run(EVERYWHERE, *options)
    assert result.status == 0, result.out
    others = ["test_datagrams[memory]", "test_datagrams[threads]", "test_name[trio-greenlets]"]
    assert result.having("PASSED") == sorted([*LINES, *others])


SEEDS = """
def test_two(sim_seed, scripted_server):
    server = scripted_server(Upper, socketserver.ThreadingTCPServer)
    assert server.world.seed == sim_seed
    clients = [server.connect() for _ in range(2)]
    for client in clients:
        client.send(b"hello\\n")
    assert [client.readline() for client in clients] == [b"HELLO\\n"] * 2

def test_own_seed(sim_seed, scripted_server):
    assert scripted_server(Upper, seed=99).world.seed == 99
"""


def test_a_test_is_run_with_many_seeds(run: Run) -> None:
    result = run(SEEDS, "--sim-seeds", "3")
    assert result.status == 0, result.out
    assert result.having("PASSED") == [
        f"test_{name}[seed{seed}]" for name in ("own_seed", "two") for seed in range(3)
    ]
    assert len(run(SEEDS).having("PASSED")) == 2 * 100


def test_the_report_has_the_seed_and_the_timeline(run: Run) -> None:
    result = run(
        """
def test_it(scripted_server):
    client = scripted_server(Upper, seed=17).connect()
    client.send(b"hello\\n")
    assert client.readline() == b"hello\\n"

def test_long(scripted_server):
    client = scripted_server(Upper).connect()
    for _ in range(100):
        client.send(b"hello\\n")
        client.readline()
    raise ValueError
"""
    )
    assert result.status == 1
    assert result.having("FAILED") == ["test_it", "test_long"]
    first, _, second = result.out.partition("timeline, first come, first served")
    assert "timeline, seed 17" in first
    assert "send b'HELLO\\\\n'" in first.replace("\\n", "\\\\n")
    assert "moments before)" in second
    assert "moments before)" not in first


def test_a_simulation(run: Run) -> None:
    tests = """
class OneRecv(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(self.request.recv(100).upper())

def test_lines(simulate):
    assert simulate(Upper, send=[b"hello\\n"]).runs == 30

def test_chosen(simulate):
    assert simulate(Upper, send=[b"hello\\n"], seeds=[3, 4]).runs == 2

def test_one_recv(simulate):
    simulate(OneRecv, send=[b"hello\\n"])
"""
    result = run(tests, "--sim-seeds=30")
    assert result.status == 1
    assert result.having("PASSED") == ["test_chosen", "test_lines"]
    assert result.having("FAILED") == ["test_one_recv"]
    assert "A test to keep:" in result.out


def test_what_a_server_leaves_fails_the_test(run: Run) -> None:
    result = run(
        """
import threading

class Stays(socketserver.BaseRequestHandler):
    def handle(self):
        threading.Event().wait()

def test_it(scripted_server):
    server = scripted_server(Stays, socketserver.ThreadingTCPServer, block_on_close=False)
    server.connect()
    server.run()
"""
    )
    assert result.status == 1
    assert "left behind" in result.out
    assert "request 1" in result.out


def test_with_pytest_trio(run: Run) -> None:
    result = run(
        """
import trio

async def ask(server):
    client = await trio.to_thread.run_sync(server.connect)
    client.send(b"hello\\n")
    return await trio.to_thread.run_sync(client.readline)

@pytest.mark.trio
@pytest.mark.backends("threads", "trio")
async def test_lines(serve):
    assert await ask(serve(Upper)) == b"HELLO\\n"

@pytest.mark.trio
async def test_in_memory(scripted_server, autojump_clock):
    client = scripted_server(Upper).connect()
    client.send(b"hello\\n")
    await trio.sleep(1000)
    assert client.readline() == b"HELLO\\n"
"""
    )
    assert result.status == 0, result.out
    assert result.having("PASSED") == ["test_in_memory", "test_lines[threads]", "test_lines[trio]"]


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ('"memory", "smoke"', "backends must be of memory, .*, not 'smoke'"),
        ("", "backends takes names of backends"),
        ('"memory", only=True', "backends takes names of backends"),
    ],
)
def test_a_wrong_marker(run: Run, marker: str, message: str) -> None:
    result = run(f"@pytest.mark.backends({marker})\ndef test_it(serve):\n    pass\n")
    assert result.status != 0
    assert re.search(message, result.out), result.out


@pytest.mark.parametrize("seeds", ["0", "-1", "many"])
def test_a_wrong_number_of_seeds(run: Run, seeds: str) -> None:
    result = run(SEEDS, f"--sim-seeds={seeds}")
    assert result.status == 4
    assert f"must be a whole number, 1 or more, not '{seeds}'" in result.out


def test_others_are_left_alone(run: Run) -> None:
    result = run(
        """
@pytest.fixture
def serve():
    return 1

@pytest.fixture
def backend():
    return 2

def test_it(serve, backend):
    assert (serve, backend) == (1, 2)
"""
    )
    assert result.status == 0, result.out
