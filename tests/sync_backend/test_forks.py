"""Children with no threads beside them: the loop, or the client, is all there is here."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sansio_server.request import Step
from sansio_server.trace import TraceEvent, TraceKind
from sync_backend import (
    BaseRequestHandler,
    ForkingMixIn,
    ForkingTCPServer,
    ForkingUDPServer,
    ForkingUnixStreamServer,
    StreamRequestHandler,
    TCPServer,
)
from tests.sync_backend import programs
from tests.sync_backend.support import (
    HERE,
    PATIENCE,
    Program,
    Thread,
    connect,
    descriptors,
    in_thread,
    read_to_end,
)


class Upper(StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(self.rfile.readline().upper())


class Stay(BaseRequestHandler):
    """Stays until the client goes, or the child is ended."""

    def handle(self) -> None:
        self.request.sendall(b"here\n")
        self.request.recv(1)


class Deaf(BaseRequestHandler):
    """Does not even go when it is asked to."""

    def handle(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self.request.sendall(b"here\n")
        while True:
            signal.pause()


class Server(ForkingTCPServer):
    """Waits for a client, not for ever."""

    timeout = PATIENCE
    cut_timeout = 0.01

    def __init__(self, handler: Callable[..., Any], **attributes: Any) -> None:
        self.__dict__.update(attributes)
        super().__init__(HERE, handler)


def served(server: Any, data: bytes = b"") -> socket.socket:
    """Let a child serve a client; return the client."""
    client = connect(server)
    client.sendall(data)
    server.handle_request()
    return client


def staying(server: Any) -> socket.socket:
    """Return a client whom a child serves for long."""
    client = served(server)
    assert client.recv(5, socket.MSG_WAITALL) == b"here\n"
    return client


def exited(pid: int) -> int:
    """Wait for the end of a child, without reaping it; return its status."""
    result = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert result is not None
    return result.si_status


def only_child(server: ForkingMixIn) -> int:
    assert server.active_children is not None
    [pid] = server.active_children
    return pid


def tell(function: Callable[[Any], object]) -> Callable[..., None]:
    """Return a handler that answers with what a function of the server returns."""

    def handle(request: socket.socket, _address: Any, server: Any) -> None:
        request.sendall(str(function(server)).encode())

    return handle


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


# Serving.


def test_a_child_serves() -> None:
    with Server(tell(lambda _: os.getpid())) as server:
        with served(server) as client:
            pid = only_child(server)
            assert client.recv(20) == str(pid).encode()
        assert pid != os.getpid()


def test_a_datagram_is_served_by_a_child() -> None:
    def answer(request: Any, client_address: Any, _server: Any) -> None:
        data, sock = request
        sock.sendto(data.upper(), client_address)

    with ForkingUDPServer(HERE, answer) as server, connect(server) as client:
        client.send(b"hello")
        server.handle_request()
        assert client.recv(10) == b"HELLO"


def test_a_unix_server_forks_too(tmp_path: Path) -> None:
    with ForkingUnixStreamServer(str(tmp_path / "socket"), Upper) as server:
        with served(server, b"hello\n") as client:
            assert client.recv(10) == b"HELLO\n"


def test_the_loop_serves_and_reaps() -> None:
    events: list[TraceEvent] = []

    def stop_when_over(event: TraceEvent) -> None:
        if event.kind is TraceKind.CLOSE:
            events.append(event)
            if len(events) == 3:
                server.shutdown()

    with Server(Upper) as server:
        server.trace = stop_when_over
        clients = [connect(server) for _ in range(3)]
        for client in clients:
            client.sendall(b"hello\n")
        # Ends once three children have been reaped, though nobody comes and no time passes.
        server.serve_forever(poll_interval=None)
        assert [read_to_end(client) for client in clients] == [b"HELLO\n"] * 3
        assert server.active_children == set()
        assert len(server._ledger) == 0


def test_children_that_cannot_be_watched_are_reaped_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "pidfd_open")

    class Polling(Server):
        def service_actions(self) -> None:
            super().service_actions()
            if not self.active_children:
                self.shutdown()

    with Polling(Upper) as server:
        with served(server, b"hello\n"):
            server.serve_forever(poll_interval=0.001)
        assert server.counters.closed == 1


def test_the_mixin_comes_first_and_has_no_constructor() -> None:
    assert ForkingTCPServer.__mro__[1] is ForkingMixIn
    assert "__init__" not in vars(ForkingMixIn)
    assert ForkingMixIn.__mro__ == (ForkingMixIn, object)
    assert (ForkingMixIn.timeout, ForkingMixIn.max_children) == (300, 40)
    assert (ForkingMixIn.active_children, ForkingMixIn.block_on_close) == (None, True)


# Exit statuses.


@pytest.mark.parametrize(
    ("error", "status", "reported"),
    [
        (None, 0, False),
        (ValueError, 1, True),
        (SystemExit, 1, False),
        (KeyboardInterrupt, 1, False),
    ],
)
def test_a_childs_status_says_whether_all_went_well(
    error: type[BaseException] | None, status: int, reported: bool, tmp_path: Path
) -> None:
    class Told(Server):
        def handle_error(self, request: Any, client_address: Any) -> None:
            (tmp_path / "reported").touch()

    def handle(*_: Any) -> None:
        if error is not None:
            raise error

    with Told(handle) as server:
        assert read_to_end(served(server)) == b""
        assert exited(only_child(server)) == status
    assert (tmp_path / "reported").exists() is reported


# What a child has of its parent.


def test_a_child_has_no_listener() -> None:
    with Server(tell(lambda server: is_open(listener))) as server:
        listener = server.fileno()
        with served(server) as client:
            assert client.recv(10) == b"False"


def test_an_address_is_free_once_the_parent_has_closed_though_a_child_lives() -> None:
    server = Server(Stay, allow_reuse_address=True, block_on_close=False)
    with staying(server):
        server.server_close()
        again = TCPServer(server.server_address, Upper, bind_and_activate=False)
        again.allow_reuse_address = True
        with again:
            again.server_bind()
            again.server_activate()
    server.collect_children(blocking=True)


def test_a_child_of_a_datagram_server_keeps_the_socket_to_answer() -> None:
    def answer(request: Any, client_address: Any, server: Any) -> None:
        server.socket.sendto(b"answer", client_address)

    with ForkingUDPServer(HERE, answer) as server, connect(server) as client:
        client.send(b"hello")
        server.handle_request()
        assert client.recv(10) == b"answer"


def test_a_stop_in_a_child_is_the_childs_own() -> None:
    def stop(request: socket.socket, _address: Any, server: Any) -> None:
        server.shutdown()
        request.sendall(server._lifecycle.loop.name.encode())

    with Server(stop) as server:
        for _ in range(2):
            assert read_to_end(served(server)) == b"STOP_KEPT"
        assert server.counters.accepted == 2


def test_closing_in_a_child_does_no_harm_to_its_siblings() -> None:
    def close(request: socket.socket, _address: Any, server: Any) -> None:
        server.drain_timeout = 0
        server.server_close()
        request.sendall(b"closed")

    with Server(Stay) as server:
        with staying(server) as sibling:
            server.RequestHandlerClass = close
            assert read_to_end(served(server)) == b"closed"
            sibling.sendall(b"!")
            assert sibling.recv(1) == b""  # it went by itself, and was not reset
        assert [exited(pid) for pid in server.active_children or ()] == [0, 0]


def test_a_child_knows_of_no_other_request() -> None:
    with Server(Stay) as server, staying(server):
        server.RequestHandlerClass = tell(lambda server: len(server._ledger))
        assert read_to_end(served(server)) == b"1"


def test_a_childs_signals_wake_nobody() -> None:
    with Server(tell(lambda _: signal.set_wakeup_fd(-1))) as server:
        assert read_to_end(served(server)) == b"-1"


# Reaping.


def test_one_request_after_the_other_leaves_no_zombies() -> None:
    with Server(Upper) as server:
        before: set[int] = set()
        for _ in range(5):
            with served(server, b"hello\n") as client:
                assert client.recv(10) == b"HELLO\n"
            assert server.active_children is not None
            # Those that had exited before this request have been reaped.
            assert not before & server.active_children
            before = set(server.active_children)
            exited(only_child(server))


def test_a_timeout_reaps() -> None:
    with Server(Upper) as server:
        with served(server, b"hello\n"):
            exited(only_child(server))
        server.timeout = 0
        server.handle_request()
        assert server.active_children == set()


def test_the_children_of_others_are_left_to_them() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as stranger:
        exited(stranger.pid)
        with Server(Upper, max_children=1) as server:
            for _ in range(3):
                served(server, b"hello\n").close()
        assert stranger.wait(PATIENCE) == 0


def test_a_child_that_somebody_else_has_reaped_is_no_trouble() -> None:
    with Server(Upper) as server:
        served(server, b"hello\n").close()
        os.waitpid(only_child(server), 0)
        server.collect_children()
        assert server.active_children == set()
        assert server.counters.closed == 1


def test_collecting_before_the_first_child_does_nothing() -> None:
    with Server(Upper) as server:
        server.collect_children()
        server.collect_children(blocking=True)
        assert server.active_children is None


def test_the_set_of_children_is_the_programs_to_change() -> None:
    with Server(Upper) as server:
        served(server, b"hello\n").close()
        pid = only_child(server)
        server.active_children = None
        server.collect_children()
        server.active_children = {pid}
        server.collect_children(blocking=True)
        assert server.active_children == set()


def test_children_may_be_collected_by_hand_after_the_close() -> None:
    before = descriptors()
    server = Server(Stay, block_on_close=False)
    with staying(server):
        server.server_close()
        assert descriptors() == before + 1  # the client's
        server.collect_children()
        assert only_child(server)
    server.collect_children(blocking=True)
    assert server.active_children == set()


def test_at_most_so_many_children_live_at_once() -> None:
    with Server(Stay, max_children=2) as server:
        with staying(server) as first, staying(server):
            server.timeout = 0
            with connect(server) as third:
                server.handle_request()
                assert len(server.active_children or ()) == 2
                first.close()
                server.timeout = PATIENCE
                server.handle_request()
                assert third.recv(5, socket.MSG_WAITALL) == b"here\n"
                assert server.counters.accepted == 3


def test_the_lesser_of_both_limits_counts() -> None:
    with Server(Stay, max_children=2, max_connections=1) as server, staying(server):
        server.timeout = 0
        with connect(server):
            server.handle_request()
        assert server.counters.accepted == 1


def test_a_server_that_sheds_does_so_at_max_children(tmp_path: Path) -> None:
    with Server(Stay, max_children=1, when_full="shed") as server, staying(server):
        assert read_to_end(served(server)) == b""
        assert server.counters.shed == 1


# Ending.


def test_closing_waits_for_children() -> None:
    server = Server(Upper)
    client = served(server, b"hello\n")
    pid = only_child(server)
    server.server_close()
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, 0)
    assert read_to_end(client) == b"HELLO\n"


def test_a_mute_client_is_cut_and_reported_with_the_pid_of_its_child() -> None:
    server = Server(Stay, drain_timeout=0.01, cut_timeout=PATIENCE)
    client = staying(server)
    name = client.getsockname()
    pid = only_child(server)
    server.server_close()
    assert read_to_end(client) == b""
    report = server.drain_report
    assert report is not None
    [straggler] = report.cut
    assert straggler.where == f"child process {pid}"
    assert (straggler.client_address, straggler.ended) == (name, True)
    assert server.active_children == set()


def test_a_child_that_does_not_go_when_asked_is_killed() -> None:
    server = Server(Deaf, drain_timeout=0.01)
    with staying(server):
        pid = only_child(server)
        server.server_close()
        assert server.drain_report is not None
        [straggler] = server.drain_report.left
        assert straggler.where == f"child process {pid}"
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, 0)


def test_a_drain_waits_for_children_who_end_by_themselves() -> None:
    server = Server(Upper, drain_timeout=PATIENCE)
    client = served(server, b"hello\n")
    server.server_close()
    assert server.drain_report is not None
    assert server.drain_report.finished == (client.getsockname(),)
    assert read_to_end(client) == b"HELLO\n"


def test_a_drain_waits_for_children_that_cannot_be_watched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    server = Server(Upper, drain_timeout=PATIENCE)
    served(server, b"hello\n").close()
    server.server_close()
    assert server.drain_report is not None
    assert len(server.drain_report.finished) == 1


class PooledServer(Server):
    """Serves, against its name, in a thread of the program's own."""

    pool: Thread

    def __init__(self, handler: Callable[..., Any], **attributes: Any) -> None:
        self.gate = threading.Event()
        super().__init__(handler, **attributes)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.pool = Thread(self.continue_request, Step.FINISH, request, client_address)
        self.pool.start()


def test_a_drain_waits_for_what_an_override_serves_in_this_process() -> None:
    server = PooledServer(Stay, drain_timeout=PATIENCE)
    with staying(server) as client:
        with in_thread(server.server_close):
            client.sendall(b"!")
        server.pool.end()
    assert server.drain_report is None or server.drain_report.cut == ()


def test_what_an_override_serves_in_this_process_is_cut_and_left_as_threads_are() -> None:
    def stay(request: Any, _address: Any, server: Any) -> Any:
        return request.sendall(b"here\n") or server.gate.wait(PATIENCE)

    server = PooledServer(stay, drain_timeout=0)
    with staying(server):
        server.server_close()
        assert server.drain_report is not None
        [straggler] = server.drain_report.left
        assert "server.gate.wait" in straggler.where
        server.gate.set()
        server.pool.end()


def test_a_request_that_takes_too_long_is_cut() -> None:
    class UntilEmpty(Server):
        def service_actions(self) -> None:
            super().service_actions()
            if not self.active_children:
                self.shutdown()

    with UntilEmpty(Deaf, request_timeout=0.02) as server:
        with staying(server) as client:
            server.serve_forever(poll_interval=None)
            assert client.recv(1) == b""
        assert server.counters.cut == 1


def test_a_server_may_be_closed_while_it_serves_and_children_end() -> None:
    with Program(programs.closed_while_children_serve) as program:
        for _ in range(10):
            program.tell("serve")
            address = program.hear_address()
            for client in [connect(address) for _ in range(2)]:
                with client:
                    assert client.recv(5, socket.MSG_WAITALL) == b"here\n"
            assert program.hear() == "0 set() 0"
        program.tell("")
        assert program.end() == []


# When things go wrong.


def test_a_fork_that_fails_is_an_error_of_its_request_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    with Server(Upper) as server:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fork", fail)
            assert read_to_end(served(server)) == b""
        assert "temporarily unavailable" in capsys.readouterr().err
        assert not server.active_children
        with served(server, b"hello\n") as client:
            assert client.recv(10) == b"HELLO\n"
        assert server.counters.errors == 1


def test_an_override_may_serve_some_requests_in_place() -> None:
    class Mixed(Server):
        def process_request(self, request: Any, client_address: Any) -> Any:
            if self.counters.accepted % 2:
                return super().process_request(request, client_address)
            return TCPServer.process_request(self, request, client_address)

    with Mixed(tell(lambda _: os.getpid())) as server:
        answers = [read_to_end(served(server)) for _ in range(4)]
    assert [int(answer) == os.getpid() for answer in answers] == [False, True] * 2


def test_a_child_may_use_the_server_as_it_likes() -> None:
    # A server of its own, in the child of another: its own loop, wake-up and children.
    def serve(request: socket.socket, _address: Any, server: Any) -> None:
        with Server(Upper) as inner:
            with served(inner, b"hello\n") as client:
                request.sendall(client.recv(10))

    with Server(serve) as server:
        assert read_to_end(served(server)) == b"HELLO\n"
