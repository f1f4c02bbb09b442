"""Handlers and servers, and a look at how loops sleep, for the tests of loops."""

from __future__ import annotations

import selectors
import threading
from typing import Any

import pytest

from sync_backend import (
    BaseRequestHandler,
    StreamRequestHandler,
    TCPServer,
    poller,
)
from tests.sync_backend.support import (
    PATIENCE,
)


class Upper(StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(self.rfile.readline().upper())


class Stay(BaseRequestHandler):
    """Stays until the client goes."""

    def handle(self) -> None:
        self.request.recv(1)


class PatientServer(TCPServer):
    """Counts the calls of handle_timeout()."""

    timeout: float | None = PATIENCE
    timeouts = 0

    def handle_timeout(self) -> str:
        self.timeouts += 1
        return "timed out"


class Sleeps:
    """The sleeps of all loops, each with the seconds after which it would have ended by itself."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.timeouts: list[float | None] = []
        self._begun = threading.Semaphore(0)

        def begin(timeout: float | None) -> None:
            self.timeouts.append(timeout)
            self._begun.release()

        class Selector(selectors.PollSelector):
            def select(self, timeout: float | None = None) -> Any:
                begin(timeout)
                return super().select(timeout)

        monkeypatch.setattr(poller, "_SELECTOR", Selector)

    def wait_for_one(self) -> None:
        """Wait until a loop goes to sleep, or find that one has since the last call."""
        assert self._begun.acquire(timeout=PATIENCE)
