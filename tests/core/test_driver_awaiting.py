"""What the driver awaits, and what becomes of what nobody awaits."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from sansio_server.deferred import Deferred, Later
from sansio_server.driver import run_blocking
from sansio_server.exceptions import SuspendedError
from sansio_server.ledger import Counters

from .memory import (
    AsyncMemoryServer,
    Escape,
    Failure,
    MemoryServer,
    Pause,
    Request,
    run_suspending,
)
from .scripted import (
    CoroutineServer,
    in_place,
)


def test_hooks_that_do_not_suspend_never_suspend_the_driver() -> None:
    server = CoroutineServer({}, in_place)
    assert run_suspending(server.start(Request())) == (None, 0)


def test_the_driver_suspends_as_often_as_its_hooks_do() -> None:
    class Server(AsyncMemoryServer):
        async def verify_request(self, request: Any, client_address: Any) -> bool:
            await Pause()
            return True

        async def shutdown_request(self, request: Any) -> None:
            await Pause()
            self.close_request(request)

    server = Server()
    assert run_suspending(server.start(Request())) == (None, 2)
    assert server.counters == Counters(accepted=1, closed=1)


def test_a_bare_call_of_super_is_awaited_after_the_hook() -> None:
    order = []

    class Server(AsyncMemoryServer):
        def process_request(self, request: Any, client_address: Any) -> None:
            super().process_request(request, client_address)
            order.append("process")

        async def finish_request(self, request: Any, client_address: Any) -> None:
            await Pause()
            order.append("finish")

    server = Server()
    assert run_suspending(server.start(Request())) == (None, 1)
    assert order == ["process", "finish"]
    assert server.counters == Counters(accepted=1, closed=1)


class Deferring(AsyncMemoryServer):
    """A server that defers several things while it verifies a request.

    :ivar log: what was done and raised.
    """

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.names = names
        self.log: list[str] = []

    async def do(self, name: str) -> bool:
        await Pause()
        if name == "raise":
            raise Failure
        self.log.append(name)
        return True

    def verify_request(self, request: Any, client_address: Any) -> Any:
        results = [Deferred(self.do(name)) for name in self.names]
        return self.result(results)

    def result(self, results: list[Any]) -> Any:
        """Return what the hook returns, which here does not tell of what it deferred."""
        return True

    def handle_error(self, request: Any, client_address: Any) -> None:
        self.log.append(type(sys.exc_info()[1]).__name__)


def test_what_a_hook_defers_is_awaited_in_order() -> None:
    server = Deferring("one", "two", "three")
    assert run_suspending(server.start(Request())) == (None, 3)
    assert server.log == ["one", "two", "three"]
    assert server.counters == Counters(accepted=1, closed=1)


def test_what_is_returned_is_awaited_first_and_is_the_result() -> None:
    class Returning(Deferring):
        def result(self, results: list[Any]) -> Any:
            return results[-1]

    server = Returning("one", "two")
    assert run_suspending(server.start(Request())) == (None, 2)
    assert server.log == ["two", "one"]
    assert server.counters == Counters(accepted=1, closed=1)


def test_where_one_raises_those_after_it_are_given_up() -> None:
    server = Deferring("one", "raise", "three")
    assert run_suspending(server.start(Request())) == (None, 2)
    assert server.log == ["one", "Failure"]


def test_what_is_deferred_does_not_stand_for_the_result_of_verify_request() -> None:
    class Silent(Deferring):
        def result(self, results: list[Any]) -> None:
            """Refuse."""

    server = Silent("one")
    assert run_suspending(server.start(Request())) == (None, 1)
    assert server.log == ["one"]
    assert server.counters == Counters(accepted=1, closed=1, refused=1)


def test_what_raises_as_it_is_begun_later_is_the_hooks_error() -> None:
    def fail() -> None:
        raise Failure

    class Failing(Deferring):
        def verify_request(self, request: Any, client_address: Any) -> Any:
            return Deferred(Later(fail))

    server = Failing()
    assert run_suspending(server.start(Request())) == (None, 0)
    assert server.log == ["Failure"]
    assert server.counters == Counters(accepted=1, closed=1, errors=1)


# run_blocking.


def test_a_coroutine_that_never_suspends_is_run_to_its_end() -> None:
    async def inner() -> int:
        return 7

    async def outer() -> int:
        return await inner() + 1

    assert run_blocking(outer()) == 8


@pytest.mark.parametrize("error", [Failure, Escape])
def test_what_a_coroutine_raises_comes_out(error: type[BaseException]) -> None:
    async def coroutine() -> None:
        raise error

    with pytest.raises(error):
        run_blocking(coroutine())


def test_an_await_that_suspends_is_an_error_at_that_very_line() -> None:
    async def guilty() -> None:
        await Pause()  # here

    async def coroutine() -> None:
        await guilty()

    with pytest.raises(SuspendedError, match="suspends") as caught:
        run_blocking(coroutine())
    assert str(caught.traceback[-2].statement).strip() == "await Pause()  # here"


def test_an_error_dealt_with_is_dealt_with() -> None:
    async def coroutine() -> str:
        for _ in range(3):
            with pytest.raises(SuspendedError):
                await Pause()
        return "result"

    assert run_blocking(coroutine()) == "result"


def test_what_goes_on_suspending_is_closed() -> None:
    pauses = []

    async def stubborn() -> None:
        while True:
            try:
                await Pause()
            except SuspendedError:
                pauses.append(1)
            except GeneratorExit:
                pauses.append(0)
                raise

    coroutine = stubborn()
    with pytest.raises(SuspendedError, match="went on suspending after 100 errors"):
        run_blocking(coroutine)
    assert pauses == [1] * 100 + [0]


def test_a_handler_that_suspends_where_it_cannot_is_reported_and_its_request_closed() -> None:
    errors = []

    class Server(MemoryServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            errors.append(sys.exc_info()[1])

    async def handler(*_: Any) -> None:
        await Pause()

    request = Request()
    server = Server(handler)
    server.serve(request)
    assert [type(error) for error in errors] == [SuspendedError]
    assert request.closed == 1
    assert server.counters == Counters(accepted=1, closed=1, errors=1)
