"""The two loops of a server, for every backend: until it is stopped, and for one request.

Like the driver, they are ``async def`` and suspend only if a backend or a hook does. What a loop
sleeps on and how it lets requests in is the backend's: its :class:`Turns`.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable
from typing import Any, Protocol

from .deferred import is_awaitable
from .lifecycle import RUNNING, Event
from .limits import Admission
from .serving import Serving

__all__ = ["Turns", "request_loop", "serve_loop"]

_WAIT = Admission.WAIT


class Turns(Protocol):
    """What a backend does in the turns of one loop."""

    #: Whether it may be tried to let requests in without knowing that one is there.
    tries_first: bool

    def sleep(self, until: float) -> bool | Awaitable[bool]:
        """Sleep as :meth:`.Serving.plan` says for *until*; return whether a request is there."""

    def let_in(self) -> bool | Awaitable[bool]:
        """Let requests in, if there are any; return whether there may be more."""

    def end(self, event: Event) -> bool:
        """Put *event*, which ends the loop, to the lifecycle; return False if a stop came first."""


async def serve_loop(server: Serving, turns: Turns, poll_interval: float | None) -> None:
    """Serve until the server's state says to stop.

    Call this after the event SERVE.

    :param poll_interval: seconds between two calls of ``service_actions()`` while no client comes,
        if that hook needs them; None to call it only when something happens.
    """
    lifecycle, ledger = server._lifecycle, server._ledger
    may_be_there = turns.tries_first
    _acts = server._acts()
    while lifecycle.loop in RUNNING:
        if not may_be_there or server._admission() is _WAIT:
            may_be_there = await _answer(turns.sleep(_next_turn(server, poll_interval)))
            _acts = server._acts()
            if lifecycle.loop not in RUNNING:
                break
            if may_be_there and server._admission() is _WAIT:
                may_be_there = False
        if may_be_there:
            answer = turns.let_in()
            may_be_there = answer if answer is True or answer is False else await _answer(answer)
            may_be_there = may_be_there and turns.tries_first
        if ledger.deadlines or server._always_attends:
            server._attend()
        if _acts:
            result = server.service_actions()
            if result is not None and is_awaitable(result):
                await result
    server._show_stop()


async def request_loop(server: Serving, turns: Turns, wait: float) -> Any:
    """Let one request in, or call ``handle_timeout()`` and return its result.

    Call this after the event WAIT.

    :param wait: seconds until the time has passed; ``math.inf`` for never.
    """
    deadline = server._now() + wait
    while server._is_running():
        may_be_there = await _answer(turns.sleep(deadline))
        server._attend()
        if may_be_there and server._admission() is not _WAIT:
            if turns.end(Event.REQUEST):
                await _answer(turns.let_in())
                break
        elif server._now() >= deadline and turns.end(Event.TIMEOUT):
            result = server.handle_timeout()
            return await result if is_awaitable(result) else result
    return None


async def _answer(answer: bool | Awaitable[bool]) -> bool:
    return await answer if is_awaitable(answer) else bool(answer)


def _next_turn(server: Serving, poll_interval: float | None) -> float:
    if poll_interval is None or not server._needs_turns():
        return math.inf
    return server._now() + poll_interval
