"""Servers that tests run in processes of their own, and look at from outside."""

from __future__ import annotations

import signal
import threading

import sync_backend
from sansio_server.ledger import Place
from sansio_server.trace import TraceEvent, TraceKind
from sync_backend.workers import Crew
from tests.sync_backend.support import HERE, hear, say

WAYS = {
    "inline": sync_backend.TCPServer,
    "threads": sync_backend.ThreadingTCPServer,
    "forks": sync_backend.ForkingTCPServer,
}


class Stay(sync_backend.BaseRequestHandler):
    """Says so when it begins, and stays until the client goes."""

    def handle(self) -> None:
        self.request.sendall(b"here\n")
        self.request.recv(1)


def say_how_far(event: TraceEvent) -> None:
    """Tell the test when the loop has begun, and when a request was given to who serves it."""
    if (event.kind, event.what) == (TraceKind.STATE, "SERVE"):
        say("serving")
    elif (event.kind, event.what) == (TraceKind.LEAVE, "process_request"):
        say("given")


def stopped_by_signal(way: str) -> None:
    """Serve until SIGTERM, whose handler runs in the thread of the loop."""
    with WAYS[way](HERE, Stay) as server:
        signal.signal(signal.SIGTERM, lambda *_: server.shutdown())
        say(server.server_address[1])
        server.trace = say_how_far
        server.serve_forever()
        server.trace = None
        say("stopped")
    say("closed")


def ended_by_ctrl_c(way: str) -> None:
    """Serve until SIGINT, as a program does that knows nothing of signals."""
    server = WAYS[way](HERE, Stay)
    server.drain_timeout = 0.0
    say(server.server_address[1])
    server.trace = say_how_far
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.trace = None
        server.server_close()
        say("closed")


def leave_an_idle_thread() -> None:
    """End while a thread waits for its next request."""
    progress = threading.Condition()
    crew = Crew(progress)
    crew.start(int, (), Place(1, 1, "client", 0.0), daemon=False, reuse=True)
    with progress:
        progress.wait_for(lambda: len(crew) == 0)
    say("done")


def leave_a_thread_at_work() -> None:
    """End while a thread serves, that has to be told to go on."""

    def work() -> None:
        say("at work")
        assert hear() == "go on"
        say("done")

    crew = Crew(threading.Condition())
    crew.start(work, (), Place(1, 1, "client", 0.0), daemon=False, reuse=True)
