"""Threads and children: who is waited for, who is reaped, and what if none can be made."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.parity.instrument import FORKS, STREAMS, THREADS
from tests.parity.recorder import PATIENCE
from tests.parity.scenario import EchoLine, Scenario, ServerOverride
from tests.parity.steps import (
    END,
    ORDINARY,
    PREPARED,
    Call,
    Close,
    Connect,
    Do,
    HandleRequest,
    ReadLine,
    ReadToEnd,
    Script,
    Send,
    Serve,
    Stop,
    WaitFor,
)


@contextmanager
def broken_here(owner: Any, name: str, error: Callable[[], Exception]) -> Iterator[None]:
    """Have a function raise while this lasts, in the calling thread alone."""
    function, here = getattr(owner, name), threading.get_ident()

    def broken(*args: Any) -> Any:
        if threading.get_ident() == here:
            raise error()
        return function(*args)

    setattr(owner, name, broken)
    try:
        yield
    finally:
        setattr(owner, name, function)


class StartsNoThread(ServerOverride):
    """Meets the limit of threads."""

    def process_request(self, request: Any, client_address: Any) -> None:
        with broken_here(threading.Thread, "start", lambda: RuntimeError("can't start new thread")):
            super().process_request(request, client_address)


class ForksNoChild(ServerOverride):
    """Meets the limit of processes."""

    def process_request(self, request: Any, client_address: Any) -> None:
        with broken_here(os, "fork", lambda: BlockingIOError(errno.EAGAIN, "no more processes")):
            super().process_request(request, client_address)


class HasAStranger(ServerOverride):
    """Has a child that it did not fork as a server, and wants to know how that one ended."""

    def process_request(self, request: Any, client_address: Any) -> None:
        if (stranger := os.fork()) == 0:
            os._exit(72)
        os.waitid(os.P_PID, stranger, os.WEXITED | os.WNOWAIT)  # it has ended, and is not reaped
        super().process_request(request, client_address)
        self.stranger = stranger

    def server_close(self) -> None:
        super().server_close()
        try:
            _, status = os.waitpid(self.stranger, 0)
        except ChildProcessError:
            self.note("somebody else has reaped the stranger")
        else:
            self.note(f"the stranger exited with {os.waitstatus_to_exitcode(status)}")


class CountsChildren(ServerOverride):
    """Records how many children there are before each request."""

    def process_request(self, request: Any, client_address: Any) -> None:
        self.note(f"{len(self.active_children or ())} children")
        super().process_request(request, client_address)


class LooksAtTheListener(EchoLine):
    """Records whether the listener is open where the request is served."""

    def handle(self) -> None:
        super().handle()
        self.server.note(f"listener open: {self.server.fileno() != -1}")


def count_children(server: Any) -> None:
    """Record how many children the server knows of."""
    server.note(f"{len(server.active_children)} children")


def wait_for_the_ends(server: Any) -> None:
    """Wait until all children have ended, and leave them to be reaped."""
    for pid in server.active_children:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def wait_for_threads(server: Any) -> None:
    """Wait for threads that serve requests."""
    for thread in threading.enumerate():
        if "process_request_thread" in thread.name:
            thread.join(PATIENCE)


# The server is closed while a client is being served, and nobody waits for that.
LEFT_ALONE: Script = (
    *(Serve(), Connect("a"), WaitFor("enter handle()"), Stop(), Call("server_close")),
    *(Send("a"), ReadLine("a"), ReadToEnd("a")),
)
COUNTED: Script = (
    *(Serve(), Connect("a"), Connect("b"), WaitFor("leave process_request: None", 2)),
    Do(count_children),
    *(Send("a"), ReadToEnd("a"), Send("b"), ReadToEnd("b")),
    *(*END, Do(count_children)),
)
ONE_BY_ONE: Script = (
    *(Connect("a"), Send("a"), HandleRequest(), ReadToEnd("a"), Do(wait_for_the_ends)),
    *(Connect("b"), HandleRequest(), Do(count_children)),
    *(Send("b"), ReadToEnd("b"), Close(), Do(count_children)),
)

SCENARIOS = (
    Scenario("no thread can be started", PREPARED, server=StartsNoThread, ways=THREADS),
    Scenario("no child can be forked", PREPARED, server=ForksNoChild, ways=FORKS),
    Scenario(
        "daemon threads are left alone",
        (*LEFT_ALONE, Do(wait_for_threads), Close()),
        attributes={"daemon_threads": True},
        kinds=STREAMS,
        ways=THREADS,
    ),
    Scenario(
        "threads are left alone",
        (*LEFT_ALONE, Do(wait_for_threads), Close()),
        attributes={"block_on_close": False},
        kinds=STREAMS,
        ways=THREADS,
    ),
    Scenario(
        "children are left alone",
        (*LEFT_ALONE, Do(count_children)),
        attributes={"block_on_close": False},
        kinds=STREAMS,
        ways=FORKS,
    ),
    Scenario("children are counted", COUNTED, kinds=STREAMS, ways=FORKS),
    Scenario(
        "children up to a limit",
        PREPARED,
        server=CountsChildren,
        attributes={"max_children": 1},
        ways=FORKS,
    ),
    Scenario("children reaped one by one", ONE_BY_ONE, kinds=STREAMS, ways=FORKS),
    Scenario(
        "a stranger's child",
        (Connect("a"), Send("a"), Serve(), *END),
        server=HasAStranger,
        attributes={"max_children": 1},
        ways=FORKS,
    ),
    Scenario("the listener seen by handlers", ORDINARY, handler=LooksAtTheListener),
)
