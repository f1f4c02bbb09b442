"""One round: one server at one work, measured in a process of its own."""

from __future__ import annotations

import ast
import json
import math
import socket
import sys
import time
from collections.abc import Sequence

import attrs

from .processes import Failed, Process, Skipped, start, start_load, start_neighbours, start_server
from .servers import SERVERS
from .usage import core_seconds, memory, settled_cpu_seconds, threads
from .works import NEIGHBOURS, Work

__all__ = ["Cores", "Figures", "Plan", "measure", "suits"]

#: How many seconds a client is ready to wait for a reply; as in `load.c`.
_PATIENCE = 10.0

#: What a round measured, by name: see the table of figures in README.md.
Figures = dict[str, float]


@attrs.frozen
class Cores:
    """Which cores the server runs on, and which the client."""

    server: Sequence[int]
    client: Sequence[int]

    @property
    def both(self) -> Sequence[int]:
        return sorted({*self.server, *self.client})


@attrs.frozen
class Plan:
    """How a round is measured: times in seconds, and how often a server is stopped.

    :ivar patience: the most seconds that a process of a round may live.
    """

    cores: Cores
    warmup: float
    seconds: float
    stops: int
    patience: float


def suits(work: Work, name: str) -> bool:
    """Whether a server can do a work at all."""
    entry = SERVERS[name]
    if entry.datagrams or work.mode == "udp":
        return entry.datagrams and work.mode == "udp"
    if work.mode == "stop":
        return entry.stops
    return entry.at_once is None or work.connections <= entry.at_once


def measure(work: Work, name: str, plan: Plan) -> Figures:
    """Measure one round.

    :raises Skipped: the server can't be made here.
    :raises Failed: something went wrong, or took longer than the plan allows.
    """
    if work.mode == "stop":
        return _measure_stop(name, plan)
    if work.mode == "idle":
        return _measure_idle(work, name, plan)
    if work.mode in NEIGHBOURS:
        return _measure_beside(work, name, plan)
    return _measure_load(work, name, plan)


def _measure_load(work: Work, name: str, plan: Plan) -> Figures:
    cores = Cores(plan.cores.both, plan.cores.both) if work.free else plan.cores
    with (
        start_server(name, work.handler, cores.server, plan.patience) as (server, port),
        start_load(
            work.mode,
            port,
            peers=work.peers,
            depth=work.depth,
            silent=work.open,
            warmup=plan.warmup,
            seconds=plan.seconds,
            cores=cores.client,
            patience=plan.patience,
        ) as load,
    ):
        load.hear()
        return _follow(server, load, cores, free=work.free)


def _measure_beside(work: Work, name: str, plan: Plan) -> Figures:
    """Measure one client beside others that trouble the server: one that is there before them.

    Then another that comes when they are there; a server that never answers is a finding.
    """
    cores, patience = plan.cores.client, plan.patience
    with (
        start_server(name, work.handler, plan.cores.server, patience) as (server, port),
        start_load(
            "echo",
            port,
            peers=1,
            warmup=plan.warmup,
            seconds=plan.seconds,
            cores=cores,
            patience=patience,
        ) as load,
    ):
        load.hear()
        started = _now()
        with start_neighbours(
            work.mode, port, peers=work.peers, cores=cores, patience=patience
        ) as others:
            others.hear()
            figures = _follow_unless_silent(server, load, plan.cores)
            newcomer = _first_reply(port)
            others.say("enough")
            did = json.loads(others.hear())
        duration = _now() - started
    return {
        **figures,
        "new_ms": 1e3 * newcomer,
        "neighbour_lines": did["lines"] / duration,
        "neighbour_connections": did["connections"],
        "neighbour_errors": did["errors"],
    }


def _first_reply(port: int) -> float:
    """Return the seconds from connecting to the reply to a line; infinity if that is too long."""
    start = _now()
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE) as newcomer:
            newcomer.sendall(b"hello\n")
            if newcomer.recv(100) == b"HELLO\n":
                return _now() - start
    except TimeoutError:
        return math.inf
    raise Failed("a new client got another reply than was expected")


def _follow_unless_silent(server: Process, load: Process, cores: Cores) -> Figures:
    try:
        figures = _follow(server, load, cores)
    except Failed as error:
        if "no reply in time" not in str(error):
            raise
        return {"p50_us": math.inf, "p99_us": math.inf, "max_us": math.inf, "per_second": 0.0}
    # The others do not end with the phase that is measured: the server's CPU time is theirs, too.
    del figures["cpu_us"], figures["load_busy"]
    return figures


def _follow(server: Process, load: Process, cores: Cores, *, free: bool = False) -> Figures:
    """Have a load that is ready run, and return what it cost."""
    cpu, busy, start_time = settled_cpu_seconds(server.pid), core_seconds(cores.server), _now()
    load.say("go")
    result = json.loads(load.hear())
    duration, busy = _now() - start_time, core_seconds(cores.server) - busy
    cpu = settled_cpu_seconds(server.pid) - cpu
    if result["wrong"] or not result["requests"]:
        raise Failed(f"{result['wrong']} wrong replies of {result['requests']}")
    others = busy - cpu - (result["load_cpu"] if free else 0.0)
    return {
        "cpu_us": 1e6 * cpu / result["requests"],
        "per_second": result["in_time"] / result["seconds"],
        "p50_us": result["p50_us"],
        "p99_us": result["p99_us"],
        "max_us": result["max_us"],
        "lost": result["lost"],
        "errors": result["errors"],
        "server_busy": cpu / duration,
        "load_busy": result["load_cpu"] / duration,
        "others_busy": max(others, 0.0) / duration,
    }


def _measure_idle(work: Work, name: str, plan: Plan) -> Figures:
    """Measure what held connections take; then have each of them served once more, all at once."""
    with start_server(name, work.handler, plan.cores.server, plan.patience) as (server, port):
        cores, patience = plan.cores.client, plan.patience
        with start_load("hold", port, peers=8, cores=cores, patience=patience) as load:
            load.hear()
        settled_cpu_seconds(server.pid)
        before = memory(server.pid)
        with start_load("hold", port, peers=work.peers, cores=cores, patience=patience) as load:
            load.hear()
            settled_cpu_seconds(server.pid)
            after, workers = memory(server.pid), threads(server.pid)
            load.say("go")
            result = json.loads(load.hear())
    if result["wrong"] or result["requests"] != work.peers:
        raise Failed(f"{result['requests']} of {work.peers} were served once more")
    return {
        "pss_kib": (after.pss - before.pss) / work.peers,
        "rss_kib": (after.rss - before.rss) / work.peers,
        "threads": workers,
        "served_ms": 1e3 * result["took"],
    }


def _measure_stop(name: str, plan: Plan) -> Figures:
    cores = ",".join(map(str, plan.cores.server))
    command = [sys.executable, "-m", "benchmarks.stop", name, str(plan.stops), cores]
    with start(command, plan.patience) as process:
        answer = process.hear()
    if answer.startswith("skipped"):
        raise Skipped(answer.removeprefix("skipped "))
    times: list[float] = sorted(ast.literal_eval(answer))
    return {"stop_ms": times[math.ceil(len(times) / 2) - 1], "stop_max_ms": times[-1]}


def _now() -> float:
    return time.monotonic()
