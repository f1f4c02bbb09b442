"""How long an idle server takes to stop: ``python -m benchmarks.stop NAME REPEATS CORES``.

The time is from the call of ``shutdown()`` until the serve loop has ended, in milliseconds;
all times are printed, as a list. Between the last request and the stop the server is idle for times
spread over the standard library's polling interval, so that a poll is met at any phase.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from typing import Any

from .confine import confine
from .servers import SERVERS

POLL_INTERVAL = 0.5
PATIENCE = 10.0


def _be_served(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=PATIENCE) as client:
        client.sendall(b"hello\n")
        with client.makefile("rb") as replies:
            if replies.read() != b"HELLO\n":
                raise ConnectionError("not the reply that was expected")


def time_to_stop(server: Any, idle: float) -> float:
    """Return the seconds that the stop of a served server took, after *idle* seconds of rest."""
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    _be_served(server.server_address)
    time.sleep(idle)
    start = time.perf_counter()
    server.shutdown()
    thread.join(PATIENCE)
    if thread.is_alive():
        raise TimeoutError("the server does not stop")
    return time.perf_counter() - start


def main(name: str, repeats: str, cores: str) -> None:
    confine(cores)
    count = int(repeats)
    times = []
    for index in range(count):
        try:
            server = SERVERS[name].make("line")
        except (ImportError, AttributeError) as error:
            print("skipped", error, flush=True)
            return
        times.append(1e3 * time_to_stop(server, POLL_INTERVAL * (index + 0.5) / count))
        server.server_close()
    print(times, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
