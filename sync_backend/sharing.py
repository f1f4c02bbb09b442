"""Waiting for clients at a listener that other processes wait at, too."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from .base import BaseServer
from .poller import LONGEST_SLEEP, Poller, SharedPoller
from .wakeup import Wakeup

__all__ = ["SharedListenerMixIn"]

if TYPE_CHECKING:
    _Server = BaseServer
else:
    _Server = object  # a mix-in has no base of its own, and so does nothing behind the server class


class SharedListenerMixIn(_Server):
    """Be woken for a client alone, not together with all others; see :class:`.SharedPoller`."""

    _shares_listener: bool = False
    _looks: bool = False

    def _look_again(self) -> None:
        """Look for a client, though nothing woke this: another may have left one waiting."""
        self._looks = True
        self._control.wake()

    def _new_poller(
        self, wakeup: Wakeup, others: Iterable[int] = (), longest: float = LONGEST_SLEEP
    ) -> Poller:
        if not self._shares_listener:
            return super()._new_poller(wakeup, others, longest)
        return SharedPoller(self, wakeup, others, longest)

    def _look(self, poller: Poller, listen: bool, timeout: float) -> bool:
        came = super()._look(poller, listen, timeout)
        if listen and self._looks:
            self._looks = False
            came = True
        return came
