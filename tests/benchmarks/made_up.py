"""Results that nobody measured."""

from __future__ import annotations

from benchmarks.measure import Cores, Figures, Plan
from benchmarks.results import Results, Row
from benchmarks.works import Work

PLAN = Plan(Cores([0], [1]), warmup=0.1, seconds=0.5, stops=4, patience=30.0)


def loaded(cpu: float = 10.0, p99: float = 500.0, others: float = 0.0) -> Figures:
    """A round of a work with load."""
    return {
        "cpu_us": cpu,
        "per_second": 1e6 / cpu,
        "p50_us": 100.0,
        "p99_us": p99,
        "max_us": 2e3,
        "lost": 0,
        "errors": 0,
        "server_busy": 0.9,
        "load_busy": 0.3,
        "others_busy": others,
    }


def beside(p99: float = 500.0) -> Figures:
    """A round of a client beside troublesome ones."""
    return {
        "p50_us": p99 / 5,
        "p99_us": p99,
        "max_us": 2 * p99,
        "new_ms": 2.0,
        "per_second": 5e3,
        "neighbour_lines": 1e4,
        "neighbour_connections": 64,
        "neighbour_errors": 0,
    }


def idle(pss: float = 10.0) -> Figures:
    """A round of idle connections."""
    return {"pss_kib": pss, "rss_kib": 2 * pss, "threads": 1, "served_ms": 80.0}


def stopped(milliseconds: float = 0.5) -> Figures:
    """A round of stops."""
    return {"stop_ms": milliseconds, "stop_max_ms": 2 * milliseconds}


def row(work: str, server: str, *rounds: Figures) -> Row:
    """A row with these rounds."""
    return Row(Work.parse(work), server, list(rounds))


def results(*rows: Row) -> Results:
    """The results of these rows."""
    return Results({(each.work.name, each.server): each for each in rows})
