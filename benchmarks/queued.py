"""The process of one server whose clients are queued beforehand; see `benchmarks.cost`.

``python -m benchmarks.queued NAME CORES`` says ``ready`` and answers each line on standard input
with a line: ``cpu N`` with the microseconds of CPU that a request took in each of N batches,
``calls`` with how often each function was called for a request.
"""

from __future__ import annotations

import collections
import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

from .confine import confine
from .servers import SERVERS

#: Clients in a batch. Many more would say more about threads in a crowd than about the server.
BATCH = 16
LINE = b"a line of 64 bytes, with its end".ljust(63, b".") + b"\n"
PATIENCE = 10.0

_Batch = Iterator[None]


class _Over(BaseException):
    """Leaves the serve loop, whatever loop it is."""


class Queue:
    """A server, and the script that queues its clients batch by batch.

    The script goes on within the serve loop, in the hook of the request after the last of a batch:
    so the loop need not be left and entered for each batch.
    """

    def __init__(self, name: str) -> None:
        self._datagrams = SERVERS[name].datagrams
        self._server = SERVERS[name].make("datagram" if self._datagrams else "line")
        self._server.verify_request = self._verify_request
        if not self._datagrams:
            self._server.socket.listen(2 * BATCH)
        self._left = 0
        self._cpu = 0.0
        self._script = self._answer()

    def run(self) -> None:
        """Serve, and answer, until the end of standard input."""
        next(self._script)
        with contextlib.suppress(_Over):
            self._server.serve_forever()

    def _verify_request(self, request: Any, client_address: Any) -> bool:
        self._left -= 1
        if self._left >= 0:
            return True
        if next(self._script, "over") == "over":
            raise _Over
        return False

    def _answer(self) -> _Batch:
        for _ in range(10):
            yield from self._batch()
        print("ready", flush=True)
        for line in sys.stdin:
            word, *rest = line.split()
            if word == "cpu":
                times = []
                for _ in range(int(rest[0])):
                    yield from self._batch()
                    times.append(1e6 * self._cpu / BATCH)
                print(times, flush=True)
            else:
                counts: collections.Counter[str] = collections.Counter()
                yield from self._profiled_batch(counts)
                print({name: n / BATCH for name, n in counts.most_common()}, flush=True)

    def _batch(self) -> _Batch:
        """Queue clients and let them be served; leave the CPU time of all threads."""
        clients = self._queue_clients()
        start = time.process_time()
        yield
        own = time.thread_time()
        self._take_replies(clients)
        own = time.thread_time() - own
        self._cpu = time.process_time() - start - own

    def _profiled_batch(self, counts: collections.Counter[str]) -> _Batch:
        def count(frame: FrameType, event: str, argument: object) -> None:
            if event == "call":
                code = frame.f_code
                counts[f"{os.path.basename(code.co_filename)}:{code.co_name}"] += 1

        clients = self._queue_clients()
        threading.setprofile(count)
        sys.setprofile(count)
        yield
        sys.setprofile(None)
        threading.setprofile(None)
        self._take_replies(clients)

    def _queue_clients(self) -> list[socket.socket]:
        """Queue a batch and one client more: the one in whose hook the script goes on."""
        kind = socket.SOCK_DGRAM if self._datagrams else socket.SOCK_STREAM
        clients = []
        for _ in range(BATCH + 1):
            client = socket.socket(socket.AF_INET, kind)
            client.settimeout(PATIENCE)
            client.connect(self._server.server_address)
            client.sendall(LINE)
            clients.append(client)
        self._left = BATCH
        return clients

    def _take_replies(self, clients: list[socket.socket]) -> None:
        for client in clients[:BATCH]:
            if client.recv(len(LINE)) != LINE.upper():
                raise ConnectionError("not the reply that was expected")
            if not self._datagrams:
                client.recv(1)
        for client in clients:
            client.close()


def main(name: str, cores: str) -> None:
    confine(cores)
    try:
        queue = Queue(name)
    except (ImportError, AttributeError) as error:
        print("skipped", error, flush=True)
        return
    queue.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
