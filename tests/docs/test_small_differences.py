"""Differences too small for the parity suite's scripts: what the page says of both is so."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import socketserver
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import sync_backend

HERE = ("127.0.0.1", 0)
PATIENCE = 30.0  # seconds for anything that is waited for

both = pytest.mark.parametrize(
    "module", [socketserver, sync_backend], ids=["stdlib", "here"]
)  # fmt: skip


def is_ours(module: Any) -> bool:
    return module is sync_backend


class Thread(threading.Thread):
    """A thread that may never end: the stdlib's deadlocks are to be seen, not suffered."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        super().__init__(target=function, args=args, daemon=True)
        self.start()


@contextlib.contextmanager
def client_of(server: Any) -> Iterator[socket.socket]:
    with socket.create_connection(server.server_address, timeout=PATIENCE) as client:
        yield client


def nothing(*_: object) -> None:
    pass


# A.


@both
def test_the_listening_descriptor(module: Any) -> None:
    with module.TCPServer(HERE, nothing) as server:
        assert os.get_blocking(server.fileno())
        with client_of(server):
            server.handle_request()
        assert os.get_blocking(server.fileno()) != is_ours(module)
        assert server.socket.gettimeout() is None
        with client_of(server):
            server.handle_request()


@both
def test_the_listening_descriptor_is_left_alone(module: Any) -> None:
    with module.UDPServer(HERE, nothing) as server:
        server.timeout = 0
        server.handle_request()
        assert os.get_blocking(server.fileno())
    with module.TCPServer(HERE, nothing) as server:
        server.socket.settimeout(0.001)
        server.handle_request()
        assert server.socket.gettimeout() == 0.001


# B.


class Waiting(threading.Event):
    """What the stdlib's shutdown() waits on; says that it waits, and lets it wait no more."""

    def __init__(self) -> None:
        super().__init__()
        self.would_wait = False

    def wait(self, timeout: float | None = None) -> bool:
        self.would_wait = not self.is_set()
        return True


@both
def test_handle_request_and_stops(module: Any) -> None:
    timeouts: list[str] = []

    class Server(module.TCPServer):  # type: ignore[misc]
        timeout = 0.0

        def handle_timeout(self) -> None:
            timeouts.append("timeout")

    with Server(HERE, nothing) as server:
        waiting = server._BaseServer__is_shut_down = Waiting()
        server.shutdown()
        server.handle_request()
        assert waiting.would_wait != is_ours(module)
        assert timeouts == ([] if is_ours(module) else ["timeout"])
        server.handle_request()
        assert timeouts[-1:] == ["timeout"]  # a stop that was kept ends one wait


def test_a_stop_ends_the_wait_of_handle_request() -> None:
    with sync_backend.TCPServer(HERE, nothing) as server:
        began = threading.Event()
        server.trace = lambda event: began.set() if event.what == "WAIT" else None
        waiting = Thread(server.handle_request)
        assert began.wait(PATIENCE)
        server.shutdown()
        waiting.join(PATIENCE)
        assert not waiting.is_alive()


# C.


@both
def test_closed_while_serving(module: Any) -> None:
    turns = threading.Semaphore(0)

    class Server(module.TCPServer):  # type: ignore[misc]
        def service_actions(self) -> None:
            turns.release()

    server = Server(HERE, nothing)
    loop = Thread(server.serve_forever, 0.001)
    assert turns.acquire(timeout=PATIENCE)
    server.server_close()
    if is_ours(module):
        loop.join(PATIENCE)
        assert not loop.is_alive()
    else:
        for _ in range(1000):
            assert turns.acquire(timeout=PATIENCE)
        server.shutdown()
        loop.join(PATIENCE)


# D.


@both
@pytest.mark.parametrize("handler", [None, "Handler", 7])
def test_a_handler_that_cannot_be_called(module: Any, handler: object) -> None:
    if is_ours(module) and handler is not None:
        with pytest.raises(TypeError, match=f"not {handler!r}"):
            module.TCPServer(HERE, handler)
    else:
        module.TCPServer(HERE, handler).server_close()


# E.


@both
def test_several_loops(module: Any) -> None:
    second: list[int] = []
    inside, go_on = threading.Semaphore(0), threading.Semaphore(0)

    class Server(module.TCPServer):  # type: ignore[misc]
        def service_actions(self) -> None:
            if threading.get_ident() in second:
                inside.release()
                assert go_on.acquire(timeout=PATIENCE)

    def serve() -> None:
        second.append(threading.get_ident())
        server.serve_forever(0.001)

    with Server(HERE, nothing) as server:
        loops = [Thread(server.serve_forever, 0.001), Thread(serve)]
        assert inside.acquire(timeout=PATIENCE)
        stop = Thread(server.shutdown)
        loops[0].join(PATIENCE)
        if is_ours(module):
            assert stop.is_alive()
            go_on.release()
        else:
            stop.join(PATIENCE)
            go_on.release()
            assert inside.acquire(timeout=PATIENCE)  # the other one serves on
            Thread(server.shutdown).join(PATIENCE)
            go_on.release()
        for thread in (*loops, stop):
            thread.join(PATIENCE)
            assert not thread.is_alive()


# F.


def test_names_of_the_module() -> None:
    theirs, ours = set(socketserver.__all__), set(sync_backend.__all__)
    further = {name for name in ours - theirs if not name.startswith(("Pool", "Prefork"))}
    assert further <= {"ForkingUnixStreamServer", "ForkingUnixDatagramServer"}
    assert theirs <= ours
    assert hasattr(socketserver, "threading")
    assert not hasattr(sync_backend, "threading")
    assert not hasattr(sync_backend, "__version__")


# G.


@both
def test_without_standard_error(
    module: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    server = module.BaseServer(HERE, nothing)
    try:
        raise LookupError("here")
    except LookupError:
        server.handle_error(None, "a client")
    assert ("LookupError: here" in capsys.readouterr().out) != is_ours(module)


# H.


@both
@pytest.mark.parametrize("loop", ["handle_request", "serve_forever"])
def test_signals_while_serving(module: Any, loop: str) -> None:
    seen: list[int] = []

    class Server(module.TCPServer):  # type: ignore[misc]
        def service_actions(self) -> None:
            raise EOFError  # out of the loop

    def look(*_: object) -> None:
        descriptor = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(descriptor)
        seen.append(descriptor)

    with Server(HERE, look) as server, client_of(server), contextlib.suppress(EOFError):
        getattr(server, loop)()
    assert signal.set_wakeup_fd(-1) == -1
    assert (seen != [-1]) == is_ours(module)


def test_signals_of_somebody_else() -> None:
    seen: list[int] = []
    reader, writer = socket.socketpair()
    with reader, writer, sync_backend.TCPServer(HERE, lambda *_: look()) as server:
        writer.setblocking(False)
        signal.set_wakeup_fd(writer.fileno())

        def look() -> None:
            seen.append(signal.set_wakeup_fd(-1))
            signal.set_wakeup_fd(seen[-1])

        with client_of(server):
            server.handle_request()
        assert signal.set_wakeup_fd(-1) == writer.fileno()
        assert seen == [writer.fileno()]


# I.


class Blocked(Exception):
    """The server would wait for a child."""


@both
def test_as_many_children_as_there_may_be(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    reap = os.waitpid

    def reap_at_once(pid: int, options: int) -> tuple[int, int]:
        if not options & os.WNOHANG:
            raise Blocked
        return reap(pid, options)

    class Server(module.ForkingTCPServer):  # type: ignore[misc]
        max_children = 1
        timeout = 0

    ready, go = os.pipe()

    def wait(request: Any, *_: object) -> None:
        request.close()
        os.close(go)
        os.read(ready, 1)  # until the test closes its end

    with Server(HERE, wait) as server:
        for _ in range(2):
            with client_of(server):
                server.handle_request()
        monkeypatch.setattr(os, "waitpid", reap_at_once)
        if is_ours(module):
            server.service_actions()
            assert len(server.active_children) == 1
        else:
            with pytest.raises(Blocked):
                server.service_actions()
            assert len(server.active_children) == 2
        monkeypatch.undo()
        os.close(go)
    os.close(ready)


# J.


@both
def test_ctrl_c_while_a_request_is_given_to_a_thread(module: Any) -> None:
    interrupted = threading.Event()

    def answer(request: Any, *_: object) -> None:
        assert interrupted.wait(PATIENCE)
        with contextlib.suppress(OSError):  # it was closed
            request.sendall(b"here")

    class Server(module.ThreadingTCPServer):  # type: ignore[misc]
        def process_request(self, request: Any, client_address: Any) -> None:
            super().process_request(request, client_address)
            raise KeyboardInterrupt

    with Server(HERE, answer) as server, client_of(server) as client:
        with pytest.raises(KeyboardInterrupt):
            server.serve_forever()
        interrupted.set()
        assert client.recv(100) == (b"here" if is_ours(module) else b"")
