"""Sending at the end of a turn of trio's scheduler what handlers have written one by one.

A client that sends many lines at once is answered line by line; to send each answer by itself costs
more than all else. So answers are gathered while there is more of the client's to read. They leave
before the handler waits for anything: by whatever it awaits of its request next, or, if it waits
for something else, by a task whose turn comes before the event loop sleeps.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import trio

if TYPE_CHECKING:
    from .socket_request import TrioRequest

__all__ = ["LARGEST", "Gathering"]

#: The most bytes that are gathered for one request.
LARGEST: Final = 16384


class Gathering:
    """Sees to it that what was gathered in a turn leaves at its end.

    :param nursery: where the task for this is started, as soon as there is something to do.
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        #: Requests that have something to send at the end of the turn.
        self.noted: list[TrioRequest] = []
        self._lot = trio.lowlevel.ParkingLot()
        self._scope = trio.CancelScope()
        self._begun = False
        #: Whether there is nobody any more who would send.
        self.ended = False

    def note(self, request: TrioRequest) -> None:
        """Have what *request* gathers be sent when this turn is over."""
        self.noted.append(request)
        if not self._begun:
            self._begun = True
            self._nursery.start_soon(self._run)
        else:
            self._lot.unpark()

    async def _run(self) -> None:
        try:
            with self._scope:
                async with trio.open_nursery() as senders:
                    while True:
                        for request in self._send_all():
                            senders.start_soon(_send_rest, request)
                        await self._lot.park()
        finally:
            self.ended = True
            self._send_all()

    def _send_all(self) -> list[TrioRequest]:
        """Send what can be sent at once; return whose clients have no room for all of it."""
        noted, self.noted = self.noted, []
        left = []
        for request in noted:
            with suppress(OSError):  # the handler is told by whatever it does next
                if not request.send_gathered():
                    left.append(request)
        return left

    def send_of(self, sock: Any) -> None:
        """Send what was gathered for *sock*, which is about to be closed."""
        for request in self.noted:
            if request.is_of(sock):
                with suppress(OSError):
                    request.send_gathered()

    def end(self) -> None:
        """Send what is there, and gather no more."""
        self.ended = True
        self._scope.cancel()


async def _send_rest(request: TrioRequest) -> None:
    with suppress(OSError, trio.ClosedResourceError):  # likewise
        await request.wait_gathered()
