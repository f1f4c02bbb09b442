"""Where Ctrl-C, or what a signal's handler raises, may come in a server whose loop is a trio run.

It may come amid hooks and handlers, which may take long; else the loop waits before it is raised.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import trio

import sync_backend
from sansio_server.ledger import Place
from sansio_server.request import Step

__all__ = ["Interruptible"]

_T = TypeVar("_T")


class Interruptible(sync_backend.BaseServer):
    """The part of a blocking server that leaves no request to nobody when it is interrupted."""

    def _next_request(self) -> Any:
        if self._takes_at_once():  # or a descriptor might be lost that nothing stands for yet
            return super()._next_request()
        return _interruptible(super()._next_request)

    def _takes_at_once(self) -> bool:
        """Say whether ``get_request()`` is known not to wait."""
        return False

    def _drive(self, entry: Step, request: Any, client_address: Any, place: Place) -> None:
        drive = partial(super()._drive, entry, request, client_address, place)
        try:
            _interruptible(drive)
        except Exception:
            raise  # it came out of a hook, and the rest of the table was walked
        except BaseException:
            if place.open and not place.lent:  # it came between two hooks
                try:
                    self.close_request(request if place.request is None else place.request)
                finally:
                    self._release(place)
            raise

    @trio.lowlevel.enable_ki_protection  # or it might be given back by half
    def _release(self, place: Place) -> None:
        super()._release(place)


@trio.lowlevel.disable_ki_protection
def _interruptible(function: Callable[[], _T]) -> _T:
    return function()
