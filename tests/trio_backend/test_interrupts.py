"""Ctrl-C, other signals, a stop and a close, amid all that a blocking server on trio does.

A server is interrupted at one instruction of ours after the other, in the thread that it serves in.
Wherever that is, nothing may be left: no thread, no open request, no loop that others wait for.
"""

from __future__ import annotations

import errno
import gc
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from sansio_server.lifecycle import State
from sansio_server.trace import TraceEvent, TraceKind
from tests.sync_backend.interruptions import OURS, Interruption
from tests.sync_backend.support import HERE, connect, read_to_end

from .blocking_servers import NAMES, WHERE, Upper, server_class

# It may come when a coroutine was made and nobody has awaited it yet; and what a signal ends is not
# always closed by name.
pytestmark = [
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class TwoClients:
    """Serves two clients, then stops; notes what was closed."""

    def __init__(self, *args: Any) -> None:
        self.closed: list[Any] = []
        super().__init__(*args)

    def service_actions(self) -> None:
        if self.counters.accepted == 2:  # type: ignore[attr-defined]
            self.shutdown()  # type: ignore[attr-defined]

    def close_request(self, request: Any) -> None:
        self.closed.append(request)
        super().close_request(request)  # type: ignore[misc]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing."""


class Terminated(BaseException):
    pass


@pytest.fixture(autouse=True)
def terminated() -> Iterator[None]:
    """Let a signal raise what the program likes, as many do to end."""

    def terminate(*_: object) -> None:
        raise Terminated

    former = signal.signal(signal.SIGTERM, terminate)
    yield
    signal.signal(signal.SIGTERM, former)


@pytest.fixture(autouse=True)
def little_garbage() -> Iterator[None]:
    """Let looking for garbage take no time that depends on all the tests there are."""
    gc.freeze()
    yield
    gc.unfreeze()


def press_ctrl_c(server: Any) -> None:
    signal.raise_signal(signal.SIGINT)


def terminate(server: Any) -> None:
    signal.raise_signal(signal.SIGTERM)


def stop(server: Any) -> None:
    server.shutdown()


def close(server: Any) -> None:
    server.block_on_close = False  # it may be just about to start a thread, which would not end
    server.server_close()


def serve_interrupted(server: Any, interruption: Interruption) -> BaseException | None:
    """Serve, and be interrupted; return what that raised."""
    before = sys.gettrace()
    sys._getframe().f_trace_opcodes = True  # as Python 3.12 needs it
    try:
        sys.settrace(interruption.trace)
        try:
            server.serve_forever(0.01)
        finally:
            sys.settrace(before)
    except BaseException as error:
        # What its frames hold open is closed with them.
        error.__context__ = error.__cause__ = None
        return error.with_traceback(None)
    return None


def check(server: Any, clients: list[socket.socket]) -> None:
    """Close the server, and make sure that nothing is left of it."""
    gc.collect()
    server.block_on_close = True
    server.server_close()
    assert server._control.loops == ()
    assert server._lifecycle.loop in (State.IDLE, State.STOP_KEPT)
    assert len(server._ledger) == 0
    assert server.counters.accepted == server.counters.closed
    assert all(request.fileno() == -1 for request in server.closed)
    for client in clients:
        with suppress(ConnectionError):  # who was not let in
            assert read_to_end(client) in (b"", b"HELLO\n")


RAISED: dict[Any, type[BaseException]] = {press_ctrl_c: KeyboardInterrupt, terminate: Terminated}


def expected(action: Callable[[Any], None], error: BaseException | None) -> bool:
    if action is close and isinstance(error, (OSError, ValueError)):
        # It was closed just before it began to listen, as if that had been before it served.
        return not isinstance(error, OSError) or error.errno == errno.EBADF
    raised = RAISED.get(action)
    return error is None or (raised is not None and type(error) is raised)


#: So many instructions lie between two that are tried, for each action another number.
STRIDES = {press_ctrl_c: 127, terminate: 131, stop: 211, close: 223}


@pytest.mark.parametrize("action", STRIDES)
@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_left_wherever_it_comes(name: str, where: str, action: Any) -> None:
    kind = type(name, (TwoClients, server_class(name, where)), {})
    number, done = 0, True
    while done:
        server = kind(HERE, Upper)
        clients = [connect(server) for _ in range(2)]
        for client in clients:
            client.sendall(b"hello\n")
            client.shutdown(socket.SHUT_WR)
        interruption = Interruption(number, partial(action, server), traced=OURS)
        error = serve_interrupted(server, interruption)
        done = interruption.done
        assert expected(action, error), f"{error!r} at {number}"
        assert done or error is None
        check(server, clients)
        number += STRIDES[action]
    assert number > 3000


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("when", ["verify_request", "finish_request"])
def test_a_request_is_closed_if_it_comes_between_two_hooks(when: str, where: str) -> None:
    def press(event: TraceEvent) -> None:
        if event.kind is TraceKind.LEAVE and event.what == when:
            signal.raise_signal(signal.SIGINT)

    with server_class("TCPServer", where)(HERE, Upper) as server, connect(server) as client:
        server.trace = press
        client.shutdown(socket.SHUT_WR)
        with pytest.raises(KeyboardInterrupt):
            server.serve_forever()
        assert client.recv(1) == b""
        assert server.counters.closed == server.counters.accepted == 1


@pytest.mark.parametrize("where", WHERE)
def test_it_ends_a_get_request_that_waits(where: str) -> None:
    class Server(server_class("TCPServer", where)):  # type: ignore[misc]
        def get_request(self) -> Any:
            signal.raise_signal(signal.SIGINT)
            pytest.fail("Ctrl-C waits for this, which may never end")

    with Server(HERE, Upper) as server, connect(server):
        with pytest.raises(KeyboardInterrupt):
            server.serve_forever()
        assert server.counters.accepted == 0
