"""Serving from the first line printed to the last, which is the same for every backend."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sansio_server.cli import main
from sansio_server.cli.backends import BACKENDS
from tests.cli.commands import (
    COMMAND,
    PATIENCE,
    Serving,
    run_on_full_disk,
    serving,
    started_quickly,
    trace_pipe,
)

HERE = "tcp:127.0.0.1:0"
UPPER = "tests.cli.handlers:Upper"
ALL_BACKENDS = pytest.mark.parametrize("backend", BACKENDS)
BOTH_SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.fixture(scope="module", autouse=True)
def servers_start_quickly() -> Iterator[None]:
    with started_quickly():
        yield


# From start to end.


@ALL_BACKENDS
def test_one_handler_at_every_kind_of_address_at_once(backend: str, tmp_path: Path) -> None:
    addresses = [
        HERE,
        "tcp:localhost:0",
        "udp:127.0.0.1:0",
        f"unix:{tmp_path}/stream",
        f"unixgram:{tmp_path}/datagram",
        *(["tcp:[::1]:0", "udp:[::1]:0"] if has_ipv6() else []),
    ]
    options = [word for address in addresses for word in ("--bind", address)]
    with serving("Upper", *options, "--backend", backend, quickly=False) as server:
        for asked, got in zip(addresses, server.addresses, strict=True):
            assert re.fullmatch(re.escape(asked).replace("localhost", ".*")[:-1] + ".+", got)
            assert not got.endswith(":0")
        for number in range(len(addresses)):
            assert server.ask(b"hello", number) == b"HELLO"
        ended = server.stop()
    assert (ended.status, ended.err) == (0, "")
    for line, address in zip(ended.out, server.addresses, strict=True):
        counted = re.escape(f"served {address}: 1 accepted, 1 closed; drained in ")
        assert re.match(counted, line), line
    assert [path.name for path in tmp_path.iterdir()] == ["datagram.client"]


@pytest.mark.parametrize("handler", ["Lines", "StandardLines", "shout", "Namespace.Inner"])
@ALL_BACKENDS
def test_every_kind_of_handler(handler: str, backend: str) -> None:
    with serving(handler, "--bind", HERE, "--backend", backend) as server:
        assert server.ask(b"hello\n") == b"HELLO\n"
        assert server.stop().status == 0


@BOTH_SIGNALS
def test_a_signal_that_was_ignored_at_the_start_counts(number: signal.Signals) -> None:
    # As it is for what a shell script puts into the background.
    former = signal.signal(number, signal.SIG_IGN)
    try:
        with serving("Upper", "--bind", HERE, quickly=False) as server:
            signal.signal(number, former)
            assert server.stop(number).status == 0
    finally:
        signal.signal(number, former)


def test_what_is_printed_can_be_lost(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with serving("Upper", "--bind", f"unix:{path}") as server:
        assert server.process.stdout is not None
        server.process.stdout.close()
        server.send(signal.SIGINT)
        assert server.process.wait(PATIENCE) == 0
        assert server.process.stderr is not None
        assert server.process.stderr.read() == b""
    assert not path.exists()


@pytest.mark.parametrize("options", ["", "--backend trio", "--workers 2"])
def test_a_server_that_cannot_say_where_it_listens_ends(options: str, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    command = [*COMMAND, "serve", UPPER, "--bind", f"unix:{path}", *options.split()]
    ended = run_on_full_disk(command)
    assert ended.status == 1
    assert ended.err == (
        "sansio-server serve: error: cannot write to standard output: No space left on device\n"
    )
    assert not path.exists()


def test_errors_of_handlers_are_told_and_counted() -> None:
    with serving("Fails", "--bind", HERE) as server:
        assert server.ask() == b""
        ended = server.stop()
    assert ended.status == 0
    assert "1 accepted, 1 closed, 1 errors; drained in " in ended.out[0]
    assert ended.err.rstrip("-\n").endswith("ValueError: no")


# The end.


@contextmanager
def busy(handler: str, folder: Path, *options: str) -> Iterator[tuple[Serving, socket.socket]]:
    """A server that has been told to stop, and a client whose request is under way."""
    with trace_pipe(folder) as trace:
        options = ("--bind", HERE, "--trace", trace.path, *options)
        with serving(handler, *options) as server, server.connect() as client:
            client.sendall(b"first")
            client.recv(1024)
            server.send(signal.SIGINT)
            trace.wait_for("CLOSE")
            yield server, client


@ALL_BACKENDS
@pytest.mark.parametrize("timeout", ["30", "none"])
def test_a_request_under_way_may_end(backend: str, timeout: str, tmp_path: Path) -> None:
    options = ["--backend", backend, "--drain-timeout", timeout]
    with busy("Upper", tmp_path, *options) as (server, client):
        client.sendall(b"last")
        assert client.recv(1024) == b"LAST"
        client.close()
        ended = server.end()
    assert (ended.status, ended.err) == (0, "")
    assert "1 accepted, 1 closed" in ended.out[0]
    assert timeout == "none" or " 0 cut, 0 left behind" in ended.out[0]


@pytest.mark.parametrize("backend", ["inline", "threads", "pool", "forks", "trio"])
@pytest.mark.parametrize("timeout", ["30", "none"])
def test_so_may_one_that_a_datagram_asked_for(backend: str, timeout: str, tmp_path: Path) -> None:
    options = ["--bind", "udp:127.0.0.1:0", "--backend", backend, "--drain-timeout", timeout]
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with trace_pipe(tmp_path) as trace:
        with (
            serving("Delayed", *options, "--trace", trace.path) as server,
            server.connect() as client,
        ):
            client.sendall(bytes(pipe))
            trace.wait_for("finish_request")
            server.send(signal.SIGINT)
            trace.wait_for("SHUTDOWN")
            pipe.write_text("late")
            assert client.recv(1024) == b"late"
            ended = server.end()
    assert (ended.status, ended.err) == (0, "")


@ALL_BACKENDS
def test_a_client_who_stays_is_cut(backend: str, tmp_path: Path) -> None:
    options = ["--backend", backend, "--drain-timeout", "0"]
    with busy("Upper", tmp_path, *options) as (server, client):
        assert client.recv(1024) == b""
        ended = server.end()
    assert ended.status == 0
    assert ended.out[0].endswith("s: 0 finished, 1 cut, 0 left behind")
    assert "cut: request 1 from ('127.0.0.1', " in ended.err
    assert ("child process " if backend == "forks" else "in handle\n") in ended.err


@ALL_BACKENDS
def test_a_handler_that_never_ends_is_left_behind(backend: str, tmp_path: Path) -> None:
    options = ["--backend", backend, "--drain-timeout", "0", "--cut-timeout", "0"]
    with busy("Deaf", tmp_path, *options) as (server, client):
        assert client.recv(1024) == b""
        ended = server.end()
    assert ended.status == 0
    if backend == "trio-greenlets":  # whoever blocks all greenlets blocks the drain
        assert ended.out[0].endswith(": 1 accepted, 0 closed")
    else:
        assert "s: 0 finished, 1 cut, " in ended.out[0]


@ALL_BACKENDS
def test_the_time_of_a_request_may_be_limited(backend: str) -> None:
    options = ["--backend", backend, "--request-timeout", "0.05"]
    with serving("Upper", "--bind", HERE, *options) as server:
        with server.connect() as client:
            assert client.recv(1024) == b""
        ended = server.stop()
    assert ended.status == 0
    assert "1 accepted, 1 closed, 1 cut" in ended.out[0]


def test_clients_beyond_the_limit_may_be_shed() -> None:
    options = ["--max-connections", "1", "--when-full", "shed"]
    with serving("Upper", "--bind", HERE, *options) as server:
        with server.connect() as first, server.connect() as second:
            assert second.recv(1024) == b""
            first.sendall(b"hello")
            assert first.recv(1024) == b"HELLO"
        ended = server.stop()
    assert "2 accepted, 1 shed, 2 closed" in ended.out[0]


# A second signal.


@ALL_BACKENDS
def test_a_second_ctrl_c_ends_at_once(backend: str, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    options = ["--backend", backend, "--bind", f"unix:{path}"]
    with busy("Deaf", tmp_path, *options) as (server, client):
        ended = server.stop(signal.SIGINT)
        assert client.recv(1024) == b""  # no child is left that has it
    assert (ended.status, ended.out) == (130, [])
    reason = "SIGINT came again: requests under way were cut off"
    assert ended.err == f"sansio-server serve: error: {reason}\n"
    assert not path.exists()


def test_so_does_a_sigterm(tmp_path: Path) -> None:
    with busy("Deaf", tmp_path) as (server, _):
        assert server.stop(signal.SIGTERM).status == 128 + signal.SIGTERM


# What the system refuses.


@pytest.mark.parametrize("backend", ["inline", "trio", "trio-greenlets"])
def test_a_loop_that_ends_by_itself_ends_all(backend: str, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    options = ["--backend", backend, "--bind", f"unix:{path}", "--bind", HERE]
    options += ["--drain-timeout", "none"]  # it must end of itself, not since time is up
    with serving("Leaves", *options) as server:
        assert server.ask(number=1) == b""
        ended = server.end()
    assert ended.status == 1
    error = f"{server.addresses[1]} failed: SystemExit('enough')"
    assert ended.err == f"sansio-server serve: error: {error}\n"
    assert len(ended.out) == 2
    assert not path.exists()


def refused(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """Call the command, which must refuse; return why."""
    assert main(["serve", UPPER, *options]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("sansio-server serve: error: cannot ")
    assert err.count("\n") == 1
    return err.removeprefix("sansio-server serve: error: cannot ").rstrip("\n")


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_an_address_in_use(kind: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    socket_type = socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, socket_type) as other:
        # As another server of ours would have it.
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        if kind == "tcp":
            other.listen()
        address = f"{kind}:127.0.0.1:{other.getsockname()[1]}"
        first = f"unix:{tmp_path}/socket"
        why = refused(capsys, "--bind", first, "--bind", address)
    assert why == f"serve {address}: {os.strerror(errno.EADDRINUSE)}"
    assert list(tmp_path.iterdir()) == []


def test_an_address_of_another_machine(capsys: pytest.CaptureFixture[str]) -> None:
    address = "tcp:192.0.2.1:9999"  # RFC 5737: nobody's
    why = refused(capsys, "--bind", address)
    assert why == f"serve {address}: {os.strerror(errno.EADDRNOTAVAIL)}"


def test_a_host_that_is_not_known(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    why = refused(capsys, "--bind", "tcp:nobody:1")
    assert why == "serve tcp:nobody:1: Name or service not known"


def test_a_host_that_cannot_be_one(capsys: pytest.CaptureFixture[str]) -> None:
    host = "a" * 70
    assert refused(capsys, "--bind", f"tcp:{host}:1").startswith(f"serve tcp:{host}:1: ")


def test_a_path_that_is_too_long(capsys: pytest.CaptureFixture[str]) -> None:
    path = "/tmp/" + "a" * 200
    assert refused(capsys, "--bind", f"unix:{path}") == f"serve unix:{path}: AF_UNIX path too long"


def test_a_path_that_is_somebody_elses(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("precious")
    why = refused(capsys, "--bind", f"unix:{path}")
    assert why == f"serve unix:{path}: there is something that is no socket"
    assert path.read_text() == "precious"


def test_a_path_that_is_in_use(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)
        other.listen()
        why = refused(capsys, "--bind", f"unix:{path}")
    assert why == f"serve unix:{path}: a server answers there"


def test_a_trace_that_cannot_be_written(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    why = refused(capsys, "--bind", HERE, "--trace", str(tmp_path))
    assert why == f"write the trace {tmp_path}: Is a directory"


# What it is made of.


@ALL_BACKENDS
def test_a_trace_tells_what_happens_where(backend: str, tmp_path: Path) -> None:
    path = tmp_path / "trace"
    options = ["--backend", backend, "--trace", str(path)]
    with serving("Lines", "--bind", HERE, "--bind", HERE, *options) as server:
        assert server.ask(b"hello\n", number=1) == b"HELLO\n"
        server.stop()
    events = [json.loads(line) for line in path.read_text().splitlines()]
    assert {event["server"] for event in events} == set(server.addresses)
    happened = [event for event in events if event["server"] == server.addresses[1]]
    hooks = [event["what"] for event in happened if event["kind"] == "enter"]
    assert hooks == ["verify_request", "process_request", "finish_request", "shutdown_request"]
    moved = [(event["what"], event["detail"]) for event in happened if event["kind"] == "bytes"]
    assert ("in", 6) in moved
    assert ("out", 6) in moved
