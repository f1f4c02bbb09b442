"""Two threads that wait for a request each, the second of which begins at a bad moment."""

from __future__ import annotations

import socket
import threading
from typing import Any

from tests.sync_backend.support import PATIENCE, ask, connect, in_thread, read_to_end


class _ToldOf:
    """A lock that tells when somebody wants it who cannot have it yet."""

    def __init__(self, wanted: threading.Event) -> None:
        self._lock = threading.Lock()
        self._wanted = wanted

    def acquire(self) -> bool:
        if self._lock.acquire(blocking=False):
            return True
        self._wanted.set()
        return self._lock.acquire()

    def release(self) -> None:
        self._lock.release()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


def check_that_who_comes_late_waits_on(server: Any) -> None:
    """Let a thread begin to wait while another is about to take the client that both see."""
    taking, seen_by_both = threading.Event(), threading.Event()
    get_request = server.get_request

    def get_request_late() -> Any:
        if taking.is_set():
            seen_by_both.set()
        else:
            taking.set()
            assert seen_by_both.wait(PATIENCE)
        return get_request()

    server.get_request = get_request_late
    server._fetching = _ToldOf(seen_by_both)
    with in_thread(server.handle_request), connect(server) as client:
        client.sendall(b"hello\n")
        client.shutdown(socket.SHUT_WR)
        assert taking.wait(PATIENCE)
        with in_thread(server.handle_request):
            assert read_to_end(client) == b"HELLO\n"
            assert ask(server) == b"HELLO\n"
