"""What handlers of signals raise while a server's loop is a trio run."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest
import trio

from tests.sync_backend.support import HERE, connect, in_thread
from trio_backend.signals import SignalErrors

from .blocking_servers import WHERE, Stay, Upper, server_class


class Terminated(Exception):
    """An Exception, which a program's handler of signals may raise as well as SystemExit."""


@pytest.fixture(params=[SystemExit, Terminated, KeyboardInterrupt])
def raised(request: pytest.FixtureRequest) -> Iterator[type[BaseException]]:
    """Have SIGUSR1 raise something."""
    kind: type[BaseException] = request.param

    def handle(number: int, frame: Any) -> None:
        assert number == signal.SIGUSR1
        assert frame is not None
        raise kind("from the handler")

    former = signal.signal(signal.SIGUSR1, handle)
    yield kind
    assert signal.signal(signal.SIGUSR1, former) is handle


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("name", ["TCPServer", "ThreadingTCPServer", "UDPServer"])
def test_it_comes_out_of_an_idle_server_bare(
    name: str, where: str, raised: type[BaseException]
) -> None:
    class Server(server_class(name, where)):  # type: ignore[misc]
        def service_actions(self) -> None:
            trio.lowlevel.current_trio_token().run_sync_soon(signal.raise_signal, signal.SIGUSR1)

    with Server(HERE, Upper) as server:
        with pytest.raises(raised, match="from the handler"):
            server.serve_forever(0.001)
        assert server._control.loops == ()


@pytest.mark.parametrize("where", WHERE)
def test_it_ends_a_handler_that_the_loop_waits_for(where: str, raised: type[BaseException]) -> None:
    seen: list[type[BaseException]] = []

    class Raises(Stay):
        def handle(self) -> None:
            try:
                signal.raise_signal(signal.SIGUSR1)
            except BaseException as error:
                seen.append(type(error))
                raise

    with server_class("TCPServer", where, handle_error=reraise)(HERE, Raises) as server:
        with connect(server) as client:
            with pytest.raises(raised, match="from the handler"):
                server.serve_forever()
            assert client.recv(1) == b""
    assert seen == [raised]


def reraise(server: Any, request: Any, client_address: Any) -> None:
    raise  # noqa: PLE0704 - the exception that is being handled


def test_greenlets_that_wait_are_ended(raised: type[BaseException]) -> None:
    class Server(server_class("ThreadingTCPServer", "greenlets")):  # type: ignore[misc]
        def service_actions(self) -> None:
            if self.counters.accepted:
                token = trio.lowlevel.current_trio_token()
                token.run_sync_soon(signal.raise_signal, signal.SIGUSR1)

    with Server(HERE, Stay) as server, connect(server) as client:
        with pytest.raises(raised, match="from the handler"):
            server.serve_forever(0.001)
        assert client.recv(1) == b""
        assert server.counters.closed == 1


def test_it_comes_out_of_the_wait_for_one_request(raised: type[BaseException]) -> None:
    class Server(server_class("TCPServer", "threads")):  # type: ignore[misc]
        def _prepare_listener(self) -> bool:
            trio.lowlevel.current_trio_token().run_sync_soon(signal.raise_signal, signal.SIGUSR1)
            return bool(super()._prepare_listener())

    with Server(HERE, Upper) as server, pytest.raises(raised, match="from the handler"):
        server.handle_request()


def test_handlers_that_raise_nothing_are_called_as_ever() -> None:
    seen: list[int] = []
    former = signal.signal(signal.SIGUSR1, lambda number, _: seen.append(number))
    try:
        errors = SignalErrors()
        with errors.kept():
            signal.raise_signal(signal.SIGUSR1)
        assert errors.errors == []
    finally:
        signal.signal(signal.SIGUSR1, former)
    assert seen == [signal.SIGUSR1]


def test_what_came_before_the_task_began_ends_it(raised: type[BaseException]) -> None:
    errors = SignalErrors()

    async def wait() -> None:
        with errors.ending():
            await trio.sleep_forever()

    with errors.kept():
        signal.raise_signal(signal.SIGUSR1)
        assert [type(error) for error in errors.errors] == [raised]
        with pytest.raises(raised, match="from the handler"):
            trio.run(wait)
        assert errors.errors == []


def test_what_comes_after_the_run_is_kept_for_the_caller(raised: type[BaseException]) -> None:
    errors = SignalErrors()

    async def end() -> None:
        with errors.ending():
            await trio.lowlevel.checkpoint()

    with errors.kept():
        trio.run(end)
        signal.raise_signal(signal.SIGUSR1)
    assert [type(error) for error in errors.errors] == [raised]


def test_handlers_that_a_program_sets_meanwhile_stay(raised: type[BaseException]) -> None:
    errors = SignalErrors()
    former = signal.getsignal(signal.SIGUSR1)
    with errors.kept():
        kept = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    assert signal.signal(signal.SIGUSR1, kept) is signal.SIG_IGN
    # One that the program has kept for later raises as it always did.
    with pytest.raises(raised, match="from the handler"):
        signal.raise_signal(signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, former)


def test_other_threads_have_nothing_to_do_with_it() -> None:
    def look() -> None:
        with SignalErrors().kept():
            assert [signal.getsignal(number) for number in signal.valid_signals()] == before

    before = [signal.getsignal(number) for number in signal.valid_signals()]
    with in_thread(look):
        """Wait for its end."""
