"""What the socket of a handler in a greenlet does by itself, and what it has the task wait for."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import trio
import trio.testing

from trio_backend.greenlet_request import GreenRequest
from trio_backend.greenlets import GreenWaits, bridge
from trio_backend.socket_request import awaited

from .streams import MUCH, connected, doing, drain, fill, results_of


class Worker:
    greenlet: Any = None


class CountedWaits(GreenWaits):
    """Counts how often the task was asked to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __call__(self, awaitable: Awaitable[Any]) -> Any:
        self.count += 1
        return super().__call__(awaitable)


class Handled:
    """A request in a greenlet, and the client's end."""

    def __init__(self, ours: socket.socket, theirs: socket.socket) -> None:
        self.sock = ours
        self.client = theirs
        self.waits = CountedWaits()
        self.request = GreenRequest(awaited(ours), ours, self.waits)
        self.rfile = self.request.makefile("rb")

    async def run(self, body: Callable[..., Any], *args: Any) -> Any:
        """Call *body* where a handler runs."""
        return await bridge(Worker(), body, *args)

    def waited(self) -> int:
        """Return how often the task was asked to wait since this was asked last."""
        count, self.waits.count = self.waits.count, 0
        return count


@pytest.fixture
def handled() -> Iterator[Handled]:
    with connected() as (request, theirs):
        yield Handled(request._sock, theirs)


async def test_a_line_and_its_answer_cost_one_wait(handled: Handled) -> None:
    def body() -> None:
        for word in (b"one\n", b"two\n", b"three\n"):
            handled.client.sendall(word)
            assert handled.rfile.readline() == word
            handled.request.sendall(word.upper())
            assert handled.client.recv(10) == word.upper()

    await handled.run(body)
    assert handled.waited() == 2  # none for the line that was there first


async def test_what_is_there_first_is_waited_for_if_it_is_not(handled: Handled) -> None:
    def receive() -> Awaitable[Any]:
        return handled.run(handled.rfile.readline)

    assert await results_of(doing(handled.client.sendall, b"one\n"), receive) == [b"one\n"]
    assert await results_of(doing(handled.client.sendall, b"two\n"), receive) == [b"two\n"]


async def test_who_has_answered_waits_when_nothing_has_come(handled: Handled) -> None:
    def answer() -> bytes:
        handled.request.sendall(b"answer")
        return bytes(handled.rfile.readline())

    async def send() -> None:
        assert handled.client.recv(10) == b"answer"
        handled.client.sendall(b"line\n")

    assert await results_of(send, lambda: handled.run(answer)) == [b"line\n"]


async def test_two_answers_in_a_row_give_others_a_turn(handled: Handled) -> None:
    await handled.run(handled.request.sendall, b"one")
    assert handled.waited() == 0
    await handled.run(handled.request.sendall, b"two")
    assert handled.waited() == 1
    assert handled.client.recv(10) == b"onetwo"


async def test_receiving_without_a_file_pays_for_the_answer(handled: Handled) -> None:
    handled.client.sendall(b"onetwothree")
    assert await handled.run(handled.request.recv, 3) == b"one"
    await handled.run(handled.request.sendall, b"answer")
    assert handled.waited() == 1
    assert await handled.run(handled.request.recv, 3) == b"two"
    assert await handled.run(handled.request.recv, 10) == b"three"
    assert handled.waited() == 2


async def test_what_there_is_no_room_for_is_waited_with(handled: Handled) -> None:
    fill(awaited(handled.sock))
    sent: list[bytes] = []

    async def take() -> None:
        sent.append(drain(handled.client))

    assert await results_of(take, lambda: handled.run(handled.request.sendall, b"x")) == [None]
    assert drain(handled.client) == b"x"

    async def take_all() -> None:
        data = b""
        while len(data) < 8 * len(MUCH):
            data += drain(handled.client)
            await trio.lowlevel.checkpoint()
        sent.append(data)

    much = 8 * MUCH
    request = GreenRequest(awaited(handled.sock), handled.sock, handled.waits)
    assert await results_of(take_all, lambda: handled.run(request.sendall, much)) == [None]
    assert sent[1] == much


@pytest.mark.parametrize("answered", [True, False])
async def test_a_handler_is_cancelled_where_it_receives(handled: Handled, answered: bool) -> None:
    def body() -> None:
        if answered:
            handled.request.sendall(b"answer")
        handled.rfile.readline()

    with trio.CancelScope() as scope:
        scope.cancel()
        await handled.run(body)
    assert scope.cancelled_caught


async def test_a_connection_that_is_closed_meanwhile_is_told_of(handled: Handled) -> None:
    async def close() -> None:
        trio.lowlevel.notify_closing(handled.sock)

    [error] = await results_of(close, lambda: handled.run(handled.rfile.readline))
    assert error.errno == errno.EBADF


async def test_with_a_timeout_each_operation_keeps_to_it(
    handled: Handled, autojump_clock: trio.testing.MockClock
) -> None:
    def body() -> None:
        handled.request.settimeout(2)
        handled.request.sendall(b"answer")
        with pytest.raises(TimeoutError):
            handled.request.recv(1)
        with pytest.raises(TimeoutError):
            handled.rfile.readline()

    await handled.run(body)
    assert trio.current_time() == 4
    handled.request.settimeout(None)
    handled.client.sendall(b"x")
    assert await handled.run(handled.request.recv, 1) == b"x"


async def test_a_thread_of_the_handler_may_not_use_its_request(handled: Handled) -> None:
    errors: list[BaseException] = []

    def use(operation: Callable[..., Any], *args: Any) -> None:
        try:
            operation(*args)
        except RuntimeError as error:
            errors.append(error)

    handled.client.sendall(b"line\n")
    for operation, argument in ((handled.request.sendall, b"x"), (handled.rfile.readline, 10)):
        thread = threading.Thread(target=use, args=(operation, argument))
        thread.start()
        thread.join()
    assert ["handler in a greenlet" in str(error) for error in errors] == [True, True]
    with pytest.raises(BlockingIOError):
        handled.client.recv(1, socket.MSG_DONTWAIT)


async def test_after_its_handler_a_request_is_of_no_use(handled: Handled) -> None:
    handled.waits.ended = True
    with pytest.raises(OSError, match="has ended"):
        await handled.run(handled.request.sendall, b"x")
    with pytest.raises(OSError, match="has ended"):
        await handled.run(handled.rfile.readline)
