"""What a request costs inside the server: ``python -m benchmarks.cost``.

Each server serves small batches of clients that are queued beforehand, so that it never waits, in a
process of its own. The servers take turns, many times: what a busy machine does to one it does to
all, so the figures tell differences of a few per cent, where whole rounds of load can't.
The calls are the functions written in Python that ran for a request: a figure without any noise.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import os
import statistics
import sys
from collections.abc import Sequence

from .processes import Failed, Process, start

DEFAULT_SERVERS = (
    *("stdlib-inline", "sync-inline", "sync-async-inline"),
    *("stdlib-threads", "sync-threads", "sync-reused"),
    *("stdlib-udp", "sync-udp", "sync-async-udp"),
)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks.cost", description=__doc__)
    add = parser.add_argument
    add("servers", nargs="*", default=DEFAULT_SERVERS, help="names of servers, as in servers.py")
    add("--turns", type=int, default=25, help="turns of each server (default: %(default)s)")
    add("--batches", type=int, default=8, help="batches in a turn (default: %(default)s)")
    add("--calls", action="store_true", help="list the functions called for a request")
    return parser


def _measure(servers: dict[str, Process], turns: int, batches: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in servers}
    for _ in range(turns):
        for name, server in servers.items():
            server.say(f"cpu {batches}")
            times[name].append(statistics.median(ast.literal_eval(server.hear())))
    return times


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    core = str(min(os.sched_getaffinity(0)))
    with contextlib.ExitStack() as stack:
        servers: dict[str, Process] = {}
        for name in options.servers:
            command = [sys.executable, "-m", "benchmarks.queued", name, core]
            server = stack.enter_context(start(command, patience=100.0))
            try:
                answer = server.hear()
            except Failed as error:
                answer = f"failed {error}"
            if answer == "ready":
                servers[name] = server
            else:
                print(f"{name}: {answer}", file=sys.stderr)
        times = _measure(servers, options.turns, options.batches)
        calls = {}
        for name, server in servers.items():
            server.say("calls")
            calls[name] = ast.literal_eval(server.hear())
    print(f"{'server':20}{'CPU µs, least':>15}{'median':>9}{'to the first':>14}{'calls':>7}")
    first: list[float] = next(iter(times.values()), [])
    for name, values in times.items():
        ratio = statistics.median(a / b for a, b in zip(values, first, strict=True))
        print(
            f"{name:20}{min(values):15.1f}{statistics.median(values):9.1f}{ratio:12.2f} ×"
            f"{sum(calls[name].values()):7.0f}"
        )
    if options.calls:
        for name, counts in calls.items():
            print(f"\n{name}: calls for a request")
            print("\n".join(f"{n:6.1f}  {function}" for function, n in counts.items() if n > 0.5))
    return 0


if __name__ == "__main__":
    sys.exit(main())
