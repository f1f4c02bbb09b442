from __future__ import annotations

import contextvars
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import sync_backend
from sansio_server.trace import TraceKind
from sync_backend import (
    BaseRequestHandler,
    StreamRequestHandler,
    ThreadingMixIn,
    ThreadingTCPServer,
    ThreadingUDPServer,
)
from tests.sync_backend.support import (
    HERE,
    PATIENCE,
    Watcher,
    ask,
    connect,
    in_thread,
    read_to_end,
    running,
    visit,
)


class Upper(StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(self.rfile.readline().upper())


class Stay(BaseRequestHandler):
    def handle(self) -> None:
        self.request.recv(1)


class WhichThread(BaseRequestHandler):
    """Answers with the name of its thread."""

    def handle(self) -> None:
        self.request.sendall(threading.current_thread().name.encode())


class Server(ThreadingTCPServer):
    """Keeps the exceptions that its hooks raised, and the threads that served."""

    def __init__(self, handler: Any, **attributes: Any) -> None:
        self.__dict__.update(attributes)
        self.errors: list[BaseException | None] = []
        self.served_by: list[threading.Thread] = []
        super().__init__(HERE, handler)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        self.served_by.append(threading.current_thread())
        super().process_request_thread(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        self.errors.append(sys.exc_info()[1])


BOTH = pytest.mark.parametrize("reuse", [False, True], ids=["new", "reused"])


@contextmanager
def caught_by_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[type[BaseException]]]:
    """Collect what comes out of threads."""
    caught: list[type[BaseException]] = []
    with monkeypatch.context() as patch:
        patch.setattr(threading, "excepthook", lambda args: caught.append(args.exc_type))
        yield caught


@BOTH
def test_clients_are_served_at_the_same_time(reuse: bool) -> None:
    barrier = threading.Barrier(3)

    def meet(request: Any, _address: Any, _server: Any) -> None:
        barrier.wait(PATIENCE)
        request.sendall(b"met")

    server = Server(meet, reuse_threads=reuse)
    with running(server):
        clients = [connect(server) for _ in range(3)]
        assert [read_to_end(client) for client in clients] == [b"met"] * 3
    assert len(set(server.served_by)) == 3


def test_threads_are_new_and_named_by_default() -> None:
    server = Server(WhichThread)
    with running(server):
        names = [visit(server).decode() for _ in range(3)]
    assert len(set(names)) == 3
    assert all(name.endswith("(process_request_thread)") for name in names)


def test_threads_serve_again_if_they_shall() -> None:
    server = Server(WhichThread, reuse_threads=True)
    watcher = server.trace = Watcher()
    with running(server):
        for count in range(1, 4):
            visit(server)
            with server._progress:  # the thread is free once its job has ended
                assert server._progress.wait_for(lambda: len(server._threads) == 0, PATIENCE)
            watcher.wait_for(TraceKind.CLOSE, count=count)
    assert len(set(server.served_by)) == 1
    assert not server.served_by[0].is_alive()


def test_context_variables_are_each_requests_own() -> None:
    seen: list[int] = []
    variable = contextvars.ContextVar("variable", default=0)

    def count(*_: Any) -> None:
        seen.append(variable.get())
        variable.set(1)

    server = Server(count, reuse_threads=True)
    with running(server):
        for _ in range(3):
            visit(server)
    assert seen == [0, 0, 0]


@pytest.mark.parametrize("daemon", [False, True])
def test_threads_are_daemons_if_they_shall(daemon: bool) -> None:
    server = Server(BaseRequestHandler, daemon_threads=daemon)
    with running(server):
        visit(server)
    assert [thread.daemon for thread in server.served_by] == [daemon]


def test_datagrams_are_served_in_threads() -> None:
    def answer(request: Any, client_address: Any, _server: Any) -> None:
        request[1].sendto(threading.current_thread().name.encode(), client_address)

    server = ThreadingUDPServer(HERE, answer)
    with running(server), connect(server) as client:
        client.send(b"hello")
        assert b"process_request_thread" in client.recv(100)


def test_the_mixin_comes_first_and_has_no_constructor() -> None:
    assert ThreadingTCPServer.__mro__[1] is ThreadingMixIn
    assert "__init__" not in vars(ThreadingMixIn)
    assert ThreadingMixIn.__mro__ == (ThreadingMixIn, object)


# Closing.


@BOTH
def test_closing_waits_for_threads(reuse: bool) -> None:
    server = Server(Stay, reuse_threads=reuse)
    watcher = server.trace = Watcher()
    with connect(server) as client:
        server.handle_request()
        watcher.wait_for(TraceKind.ENTER, "finish_request")
        with in_thread(server.server_close) as closing:
            watcher.wait_for(TraceKind.STATE, "CLOSE")
            assert closing.is_alive()
            client.close()
    assert not any(thread.is_alive() for thread in server.served_by)


@BOTH
@pytest.mark.parametrize(
    "attribute", [{"daemon_threads": True}, {"block_on_close": False}], ids=str
)
def test_closing_does_not_wait_where_it_shall_not(attribute: dict[str, bool], reuse: bool) -> None:
    server = Server(Stay, reuse_threads=reuse, **attribute)
    watcher = server.trace = Watcher()
    with connect(server):
        server.handle_request()
        watcher.wait_for(TraceKind.ENTER, "finish_request")
        server.server_close()
        [thread] = server.served_by
        assert thread.is_alive()
    thread.join(PATIENCE)
    assert not thread.is_alive()


@BOTH
def test_a_mute_client_is_cut_in_time(reuse: bool) -> None:
    server = Server(Stay, reuse_threads=reuse, request_timeout=0.02)
    with running(server):
        assert visit(server) == b""
        with connect(server) as client:
            assert client.recv(1) == b""
    assert server.counters.cut == 2
    assert server.errors == []


# When things go wrong.


@BOTH
def test_an_exception_of_a_handler_is_reported_and_the_request_closed(reuse: bool) -> None:
    server = Server(lambda *_: 1 / 0, reuse_threads=reuse)
    with running(server):
        assert visit(server) == b""
        assert visit(server) == b""
    assert [type(error) for error in server.errors] == [ZeroDivisionError] * 2


@BOTH
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_no_exception_goes_to_the_threads_hook(
    error: type[BaseException], reuse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave(*_: Any) -> None:
        raise error

    server = Server(leave, reuse_threads=reuse)
    with caught_by_threads(monkeypatch) as caught, running(server):
        assert visit(server) == b""
        assert visit(server) == b""
    assert caught == [error, error]
    assert server.errors == []


@BOTH
def test_an_exception_of_handle_error_goes_there_too_once_the_request_is_closed(
    reuse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Angry(Server):
        def handle_error(self, request: Any, client_address: Any) -> None:
            raise LookupError

    server = Angry(lambda *_: 1 / 0, reuse_threads=reuse)
    with caught_by_threads(monkeypatch) as caught, running(server):
        assert visit(server) == b""
        assert visit(server) == b""
    assert caught == [LookupError, LookupError]


@BOTH
def test_a_thread_that_cannot_start_is_an_error_of_its_request_alone(
    reuse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    server = Server(Upper, reuse_threads=reuse)
    with connect(server) as client:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", fail)
            server.handle_request()
        assert client.recv(1) == b""
    assert [str(error) for error in server.errors] == ["can't start new thread"]
    with running(server):
        assert ask(server) == b"HELLO\n"
    assert server.counters.closed == 2


def test_requests_do_not_pile_up() -> None:
    server = Server(Upper)
    with running(server):
        for _ in range(50):
            ask(server)
        with server._progress:
            assert server._progress.wait_for(lambda: len(server._threads) == 0, PATIENCE)
        assert len(server._ledger) == 0


def test_a_request_wrapped_in_its_thread_keeps_its_place() -> None:
    """Under another name, as a new pair has it; or the place would never be given back."""

    class Server(sync_backend.ThreadingUDPServer):
        def process_request_thread(self, request: Any, client_address: Any) -> Any:
            return super().process_request_thread((*request,)[:1] + request[1:], client_address)

    for reuse in (False, True):
        with Server(("127.0.0.1", 0), sync_backend.DatagramRequestHandler) as server:
            server.reuse_threads = reuse
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.settimeout(10)
                for _ in range(5):
                    client.sendto(b"hello", server.server_address)
                    server.handle_request()
                    client.recv(10)
            server.drain(10)
            assert len(server._ledger) == 0
