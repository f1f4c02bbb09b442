"""One round: one server at one work, measured in a process of its own."""

from __future__ import annotations

import ast
import json
import math
import sys
import time
from collections.abc import Sequence

import attrs

from .processes import Failed, Skipped, start, start_load, start_server
from .servers import SERVERS
from .usage import core_seconds, memory, settled_cpu_seconds
from .works import Work

__all__ = ["Cores", "Figures", "Plan", "measure", "suits"]

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
            warmup=plan.warmup,
            seconds=plan.seconds,
            cores=cores.client,
            patience=plan.patience,
        ) as load,
    ):
        load.hear()
        cpu, busy, start_time = settled_cpu_seconds(server.pid), core_seconds(cores.server), _now()
        load.say("go")
        result = json.loads(load.hear())
        duration, busy = _now() - start_time, core_seconds(cores.server) - busy
        cpu = settled_cpu_seconds(server.pid) - cpu
    if result["wrong"] or not result["requests"]:
        raise Failed(f"{result['wrong']} wrong replies of {result['requests']}")
    others = busy - cpu - (result["load_cpu"] if work.free else 0.0)
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
    with start_server(name, work.handler, plan.cores.server, plan.patience) as (server, port):
        client = {"cores": plan.cores.client, "patience": plan.patience}
        with start_load("hold", port, peers=8, **client) as load:  # type: ignore[arg-type]
            load.hear()
        settled_cpu_seconds(server.pid)
        before = memory(server.pid)
        with start_load("hold", port, peers=work.peers, **client) as load:  # type: ignore[arg-type]
            load.hear()
            settled_cpu_seconds(server.pid)
            after = memory(server.pid)
    return {
        "pss_kib": (after.pss - before.pss) / work.peers,
        "rss_kib": (after.rss - before.rss) / work.peers,
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
