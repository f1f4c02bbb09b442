"""The end of servers with worker processes.

Real processes, signals and pipes: workers are nothing else.
"""

from __future__ import annotations

import os
import re
import select
import signal
import sys
from typing import Any

from sansio_server.lifecycle import Lifecycle
from sync_backend import PreforkTCPServer
from tests.sync_backend.preforked import (
    ALL,
    Who,
    ask,
    make,
    plain,
    served,
    visit_to_end,
    wait_for_end,
)
from tests.sync_backend.support import (
    HERE,
    Program,
    hear,
    say,
)


@ALL
def test_closing_waits_for_requests(function: Any) -> None:
    with served(function, "processes=2") as server:
        client, pid = server.client()
        server.signal(signal.SIGTERM)
        assert server.program.hear() == "loop ended"
        assert ask(client, "still there") == "still there"
        client.close()
        assert server.program.end()[0] == "closed 1 1 0"
        wait_for_end(pid)


def test_closing_need_not_wait() -> None:
    with served(plain, "processes=1", "block_on_close=0") as server:
        client, pid = server.client()
        server.signal(signal.SIGTERM)
        said = [server.program.hear() for _ in range(4)]
        assert said[0] == "loop ended"
        assert said[-1] == f"children {{{pid}}}"
        assert ask(client, "still there") == "still there"
        client.close()
        server.program.end()
        wait_for_end(pid)


def test_a_worker_is_stopped_in_the_middle_of_its_beginning() -> None:
    with Program(stopped_at_once) as program:
        assert program.end() == ["closed 0"]
    assert program.errors == ""


def stopped_at_once() -> None:
    forget = Lifecycle.forget_loops

    def interrupted(lifecycle: Lifecycle) -> None:
        signal.raise_signal(signal.SIGTERM)
        forget(lifecycle)

    Lifecycle.forget_loops = interrupted  # type: ignore[assignment,method-assign]

    class Stopped(PreforkTCPServer):
        processes = 1

        def _worker_left(self, *args: Any) -> None:
            super()._worker_left(*args)
            self.shutdown()

    with Stopped(HERE, Who) as server:
        server.serve_forever()
    say("closed", server.counters.closed)


@ALL
def test_a_drain_cuts_those_who_stay(function: Any) -> None:
    with served(function, "processes=2", "drain_timeout=0.01", "cut_timeout=30") as server:
        client, pid = server.client()
        said = server.stop()
        assert client.recv(1) == b""
        client.close()
    report = "\n".join(said)
    assert "0 left behind" in report
    if function is plain:
        assert re.search(rf"request \d+ from 'worker {pid}'", report)
        assert f"worker process {pid}" in report


def test_a_drain_kills_those_who_do_not_even_hear() -> None:
    with served(plain, "processes=1", "drain_timeout=0.01", "cut_timeout=0.01") as server:
        client, pid = server.client()
        assert ask(client, "deaf") == "deaf"
        report = "\n".join(server.stop())
        client.close()
    assert "1 cut, 1 left behind" in report
    assert f"left behind: request 1 from 'worker {pid}'" in report
    assert f"worker {pid} did not end in time, and was killed" in server.program.errors


def test_the_end_of_the_loop_waits_until_nobody_accepts_but_not_for_ever() -> None:
    with served(plain, "processes=1", "cut_timeout=0.01", "block_on_close=0") as server:
        client, pid = server.client()
        assert ask(client, "deaf") == "deaf"
        server.signal(signal.SIGTERM)
        assert [server.program.hear() for _ in range(4)][-1] == f"children {{{pid}}}"
        client.close()
        os.kill(pid, signal.SIGKILL)
        server.program.end()
        wait_for_end(pid)


def test_one_server_can_serve_twice() -> None:
    with Program(twice) as program:
        address = program.hear_address()
        first = int(visit_to_end(address))
        program.tell()
        assert program.hear() == "again"
        assert int(visit_to_end(address)) != first
        program.tell()
        assert program.end() == ["2"]


def twice() -> None:
    server = make(PreforkTCPServer, processes=1)

    def stop_when_told() -> None:
        # Workers have turns, too.
        if server.active_children is not None and select.select([sys.stdin], [], [], 0)[0]:
            hear()
            server.shutdown()

    server.service_actions = stop_when_told
    with server:
        say(server.server_address[1])
        server.serve_forever(0.001)
        server.collect_children()
        say("again")
        server.serve_forever(0.001)
    say(server.counters.accepted)
