"""Servers that tests run in processes of their own, and look at from outside."""

from __future__ import annotations

import atexit
import errno
import logging
import os
import resource
import select
import signal
import socket
import sys
import threading
import time
from typing import Any

import sync_backend
from sansio_server.ledger import Place
from sansio_server.trace import TraceEvent, TraceKind
from sync_backend import crew as crews
from sync_backend.crew import Crew
from tests.sync_backend.support import HERE, PATIENCE, descriptors, hear, say

WAYS: dict[str, Any] = {
    "inline": sync_backend.TCPServer,
    "threads": sync_backend.ThreadingTCPServer,
    "forks": sync_backend.ForkingTCPServer,
    "pool": sync_backend.PoolTCPServer,
}
#: Those that give a request away.
GIVING = ("threads", "forks")


class Workers(sync_backend.PreforkTCPServer):
    """Serves in two processes, whatever machine this is."""

    processes = 2


#: Those in which the process that is looked at does not serve, too.
ALL_WAYS: dict[str, Any] = {**WAYS, "prefork": Workers}


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


def leave_a_thread_that_has_not_begun() -> None:
    """End while a thread in a crowd begins late, which serves a while once it has begun."""

    def work() -> None:
        say("at work")
        assert hear() == "go on"
        say("done")

    def begin_late(thread: threading.Thread) -> None:
        ending.wait()
        bootstrap(thread)

    ending = threading.Event()
    # When the interpreter has waited for the threads that it knows; since 3.13 it knows all.
    at_end: Any = atexit.register
    if sys.version_info >= (3, 13):
        at_end = threading._register_atexit  # type: ignore[attr-defined, unused-ignore]
    at_end(ending.set)
    bootstrap = threading.Thread._bootstrap  # type: ignore[attr-defined]
    threading.Thread._bootstrap = begin_late  # type: ignore[attr-defined]
    crews.CROWD = 0  # type: ignore[misc]
    crew = Crew(threading.Condition())
    crew.start(work, (), Place(1, 1, "client", 0.0), daemon=False, reuse=False)


def closed_while_children_serve() -> None:
    """Serve two clients at a time; then a thread closes the server, while its loop still runs."""

    def close_at_the_second(event: TraceEvent) -> None:
        if (event.kind, event.what, event.request) == (TraceKind.LEAVE, "process_request", 2):
            closing.start()

    before = descriptors()
    while hear():
        server = sync_backend.ForkingTCPServer(HERE, Stay)
        closing = threading.Thread(target=server.server_close)
        server.trace = close_at_the_second
        say(server.server_address[1])
        server.serve_forever()
        closing.join()
        say(descriptors() - before, server.active_children, len(server._ledger))


# Machines that are full.


def _limit(kind: int, number: int) -> None:
    resource.setrlimit(kind, (number, resource.getrlimit(kind)[1]))


def starving() -> None:
    """Serve with few descriptors; tell of each failure to accept, with the time and CPU time."""

    class Log(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            say("log", record.getMessage())

    def tell(event: TraceEvent) -> None:
        if event.kind is TraceKind.OVERLOAD:
            say("starved", event.time, time.process_time())

    logging.getLogger().addHandler(Log())
    with sync_backend.ThreadingTCPServer(HERE, Stay) as server:
        signal.signal(signal.SIGTERM, lambda *_: server.shutdown())
        server.trace = tell
        _limit(resource.RLIMIT_NOFILE, descriptors() + 6)
        say(server.server_address[1])
        server.serve_forever()


def without_a_descriptor() -> None:
    """Try to serve without a descriptor to wake the loop by, then with one."""
    with sync_backend.TCPServer(HERE, Stay) as server:
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        _limit(resource.RLIMIT_NOFILE, max(map(int, os.listdir("/proc/self/fd"))))
        for serve in (server.serve_forever, server.handle_request):
            try:
                serve()
            except OSError as error:
                say(errno.errorcode[error.errno or 0], server._lifecycle.loop.name)
        _limit(resource.RLIMIT_NOFILE, most)
        say(server.server_address[1])
        server.handle_request()


class Tasks:
    """Whether this process may start threads and children."""

    def __init__(self) -> None:
        self._most = resource.getrlimit(resource.RLIMIT_NPROC)[0]
        self._uids = os.getresuid()

    def forbid(self) -> None:
        """From now on the kernel refuses them; root, whom it does not refuse, becomes nobody."""
        if self._uids[0] == 0:
            os.setresuid(65534, 65534, 0)
        _limit(resource.RLIMIT_NPROC, 0)

    def allow(self) -> None:
        """From now on all is as before."""
        os.setresuid(*self._uids)
        _limit(resource.RLIMIT_NPROC, self._most)


def unable_to_start(way: str, reuse: str) -> None:
    """Serve single requests as we are told to, while threads and children may be forbidden."""
    tasks = Tasks()
    before = descriptors()
    server = WAYS[way](HERE, Stay)
    server.timeout = PATIENCE
    server.reuse_threads = bool(reuse)
    say(server.server_address[1])
    while command := hear():
        if command == "serve":
            server.handle_request()
            say("served")
        elif command == "forbid":
            tasks.forbid()
        elif command == "allow":
            tasks.allow()
    server.server_close()
    say(descriptors() - before, threading.active_count(), server.counters.errors)


# Clients that cut the connection.


class Victim(sync_backend.StreamRequestHandler):
    """Does what the client says in its first line, who then resets the connection."""

    wbufsize = -1

    def handle(self) -> None:
        line = self.rfile.readline()
        getattr(self, f"do_{line.decode().strip()}")()

    def do_answer(self) -> None:
        self.wfile.write(b"answer")

    def do_read(self) -> None:
        self.request.sendall(b"reading")
        self.rfile.readline()

    def do_write(self) -> None:
        while True:
            self.request.sendall(bytes(65536))

    def do_finish(self) -> None:
        self.wfile.write(b"never sent")
        self.request.sendall(b"finishing")
        poll = select.poll()
        poll.register(self.request, 0)  # errors are told of in any case
        assert poll.poll(PATIENCE * 1000)


def resettable(way: str) -> None:
    """Serve such clients; the first may reset its connection before we begin."""

    class Server(ALL_WAYS[way]):  # type: ignore[misc,valid-type]
        def handle_error(self, request: socket.socket, client_address: Any) -> None:
            say("error", type(sys.exc_info()[1]).__name__)

    before = descriptors()
    server = Server(HERE, Victim)
    signal.signal(signal.SIGTERM, lambda *_: server.shutdown())
    say(server.server_address[1])
    hear()
    server.serve_forever()
    server.server_close()
    say("left", descriptors() - before, threading.active_count() - 1, len(server._ledger))


# Leaks.


def other_threads() -> set[threading.Thread]:
    """Return the threads beside the main one."""
    return set(threading.enumerate()) - {threading.main_thread()}


def quiet_now_and_then(way: str, reuse: str) -> None:
    """Serve; at SIGTERM fall silent, with nothing under way, until we are told to go on."""
    with ALL_WAYS[way](HERE, sync_backend.BaseRequestHandler) as server:
        server.reuse_threads = bool(reuse)
        signal.signal(signal.SIGTERM, lambda *_: server.shutdown())
        say(server.server_address[1])
        while hear():
            server.serve_forever()
            server.drain()
            if reuse:
                server._threads.dismiss()  # how many it took is a matter of chance
            else:
                for thread in other_threads():
                    thread.join(PATIENCE)
            say("quiet", *(thread.name for thread in other_threads()))
