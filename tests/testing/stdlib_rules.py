"""Servers in memory that go by the standard library's rules where these are at fault.

Only what the faults hang on is here: what is done in which order, and what is not done. What the
rules are is told in the documentation, in the list of differences.
"""

from __future__ import annotations

from typing import Any

from sansio_server.lifecycle import Event
from sansio_server.testing import TCPServer


class StdlibRules(TCPServer):
    """Takes requests in, in place, without a table."""

    def _handle_request_noblock(self) -> bool:
        try:
            request, client_address = self.get_request()
        except OSError:
            return False  # whatever it means, the loop tries again at once
        if not self.verify_request(request, client_address):
            self.shutdown_request(request)
            return True
        try:
            self.process_request(request, client_address)
        except Exception:
            self.handle_error(request, client_address)
            self.shutdown_request(request)
        return True

    def process_request(self, request: Any, client_address: Any) -> None:
        self.finish_request(request, client_address)
        self.shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass

    def shutdown(self) -> None:
        """Wait for the loop, whoever asks."""
        self._happened(Event.SHUTDOWN)
        while self._loops:
            self.world.wait(self._loop_left, why="the loop to end")


class StdlibThreads(StdlibRules):
    """Notes each thread before it is started, and joins all that were noted."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.noted: list[Any] = []
        super().__init__(*args, **kwargs)

    def process_request(self, request: Any, client_address: Any) -> None:
        position = len(self.noted)
        self.noted.append(None)
        if self.world.fault("thread") is not None:
            raise RuntimeError("can't start new thread")
        self.noted[position] = self.world.spawn(
            f"request {position + 1}", lambda: self._serve(request, client_address)
        )

    def _serve(self, request: Any, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except Exception:
            self.handle_error(request, client_address)
        finally:
            self.shutdown_request(request)

    def server_close(self) -> None:
        super().server_close()
        for actor in self.noted:
            if actor is None:
                raise RuntimeError("cannot join thread before it is started")
            self.world.join(actor)
