"""What befalls workers at each step, and stops that come at any moment: nobody else waits for it.

Real processes and signals. What workers share is the listener, a page of counters each, and a pair
of sockets each with who supervises them: nothing that one could take with it into its end.
"""

from __future__ import annotations

import errno
import mmap
import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sync_backend import PreforkTCPServer, StreamRequestHandler
from tests.sync_backend.preforked import Quiet, ask, serve, served, visit_to_end, wait_for_end
from tests.sync_backend.support import HERE, Program, connect, descriptors, read_to_end, say

HOOKS = (
    *("get_request", "verify_request", "process_request", "finish_request"),
    *("shutdown_request", "close_request"),
)
FULL = len(HOOKS) + 1


class Armed(StreamRequestHandler):
    """Says who serves; a number arms the hook of that number, for the next who comes to it."""

    server: Fragile

    def handle(self) -> None:
        self.wfile.write(b"%d\n" % os.getpid())
        for line in self.rfile:
            self.server.arming = True
            self.server.fuse[0] = int(line)
            self.wfile.write(b"armed\n")


def _fragile(name: str, number: int) -> Callable[..., Any]:
    def hook(self: Fragile, *args: Any) -> Any:
        if self.fuse[0] == number and not self.arming:
            self.fuse[0] = 0
            os.kill(os.getpid(), signal.SIGKILL)
        if name == "get_request" and self.fuse[0] == FULL:
            self.fuse[0] = 0
            raise OSError(errno.EMFILE, "asked for")
        result = getattr(super(Fragile, self), name)(*args)
        if name == "close_request":
            self.arming = False
        return result

    return hook


class Fragile(Quiet, PreforkTCPServer):
    """Two workers, of which one is killed in a hook that was armed."""

    processes = 2
    arming = False  # is the request that is being served, and is to end well itself

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.fuse = mmap.mmap(-1, 1)  # the workers' in common


for _number, _name in enumerate(HOOKS, 1):
    setattr(Fragile, _name, _fragile(_name, _number))


def fragile() -> None:
    serve(Fragile(HERE, Armed))


def arm(address: Any, number: int) -> None:
    """Have what comes after this client meet with a fault."""
    with connect(address) as client:
        assert int(client.makefile("rb").readline()) > 0
        assert ask(client, str(number)) == "armed"
        client.shutdown(socket.SHUT_WR)
        assert read_to_end(client) == b""


def what_comes(address: Any) -> bytes:
    """Return all that a client gets, up to whatever ends it."""
    with suppress(ConnectionError):
        return visit_to_end(address)
    return b""


def test_a_worker_killed_at_any_step_takes_no_more_with_it_than_its_client() -> None:
    with served(fragile) as server:
        for number, hook in enumerate(HOOKS, 1):
            arm(server.address, number)
            got = what_comes(server.address)
            if hook == "get_request":  # whom it did not accept, another has
                assert int(got) in server.workers()
            elif hook in ("shutdown_request", "close_request"):  # by then it was answered
                wait_for_end(int(got))
            else:
                assert got == b""
            for _ in range(3):
                assert int(visit_to_end(server.address)) > 0
        server.wait_for_workers(without=set(), count=2)
        said = server.stop()
    assert said[0] == "loop ended"
    log = server.program.errors
    # One of whose end it hears only after it has told all to stop is none that died of itself.
    assert 1 <= log.count("with SIGKILL") == log.count("died")


def test_a_worker_without_descriptors_waits_and_comes_back() -> None:
    with served(fragile) as server:
        arm(server.address, FULL)
        assert int(visit_to_end(server.address)) in server.workers()
        server.stop()
    log = server.program.errors
    assert "cannot accept" in log
    assert "asked for" in log
    assert "died" not in log


def stopped_at_any_moment() -> None:
    """Serve again and again; an alarm stops that, before, amid and after the start of workers."""
    before = descriptors()
    for moment in range(16):
        with PreforkTCPServer(HERE, StreamRequestHandler) as server:
            server.processes = 2
            signal.signal(signal.SIGALRM, lambda *_: server.shutdown())
            signal.setitimer(signal.ITIMER_REAL, 0.000_1 + 0.000_5 * moment)
            server.serve_forever()
            if moment % 2:
                server.shutdown()  # and once more, with nobody there
        assert not server.active_children
    say("left", descriptors() - before)


def test_a_stop_counts_whenever_it_comes() -> None:
    with Program(stopped_at_any_moment) as program:
        assert program.end() == ["left 0"]
        assert program.errors == ""
