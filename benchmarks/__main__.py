"""``python -m benchmarks``: our servers and their peers, in interleaved rounds of one run."""

from __future__ import annotations

import argparse
import fnmatch
import os
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from . import report
from .measure import Cores, Plan, measure, suits
from .processes import Failed, Skipped, build_programs
from .results import Results, Row
from .servers import FAMILIES, SERVERS, family
from .works import DEFAULT_WORKS, QUICK_WORKS, Work

#: Descriptors that are needed beside one for each connection held.
SPARE_DESCRIPTORS = 100


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="fewer and shorter rounds: done within two minutes")
    add(
        *("--only", "-o"),
        action="append",
        metavar="PATTERN",
        help="measure only what matches, as WORK/SERVER, WORK or SERVER (may be repeated)",
    )
    add(
        "--works",
        help="comma-separated, each MODE[:PEERS][:pDEPTH][:free] "
        f"({','.join(DEFAULT_WORKS)}; quick: {','.join(QUICK_WORKS)})",
    )
    add(
        *("--family", "-f"),
        dest="families",
        action="append",
        choices=FAMILIES,
        help="measure these servers only (may be repeated)",
    )
    add("--rounds", type=int, help="rounds for each server at each work (5; quick: 2)")
    add("--seconds", type=float, help="measured seconds of a round (1.5; quick: 0.4)")
    add("--warmup", type=float, help="seconds of load before that (0.3; quick: 0.1)")
    add("--stops", type=int, help="stops in a round (10; quick: 4)")
    add("--limit", type=float, help="begin nothing more after so many seconds (none; quick: 80)")
    add("--markdown", type=Path, metavar="FILE", help="write the tables there as well")
    add("--json", type=Path, metavar="FILE", help="write all rounds there")
    add("--list", action="store_true", help="list what would be measured, and leave")
    return parser


def _chosen(options: argparse.Namespace) -> list[Row]:
    families = options.families or FAMILIES
    works = QUICK_WORKS if options.quick else DEFAULT_WORKS
    if options.works:
        works = tuple(options.works.split(","))
    rows = [
        Row(work, server)
        for work in map(Work.parse, works)
        for server in SERVERS
        if family(server) in families and suits(work, server)
    ]
    if options.only:
        rows = [row for row in rows if any(_matches(row, pattern) for pattern in options.only)]
    if not rows:
        raise ValueError("nothing matches --only")
    return rows


def _matches(row: Row, pattern: str) -> bool:
    names = (f"{row.work.name}/{row.server}", row.work.name, row.server)
    return any(fnmatch.fnmatchcase(name, pattern) for name in names)


def _check_machine() -> None:
    if sys.platform != "linux":
        raise ValueError("Linux is needed: epoll, /proc and a core for each side")
    if len(os.sched_getaffinity(0)) < 2:
        raise ValueError("two cores are needed, one for the server and one for the client")


def _plan(options: argparse.Namespace) -> Plan:
    quick = options.quick
    server_core, client_core, *_ = sorted(os.sched_getaffinity(0))
    return Plan(
        Cores(server=[server_core], client=[client_core]),
        warmup=options.warmup or (0.1 if quick else 0.3),
        seconds=options.seconds or (0.4 if quick else 1.5),
        stops=options.stops or (4 if quick else 10),
        patience=30.0 if quick else 60.0,
    )


def _raise_descriptor_limit(rows: Sequence[Row]) -> None:
    wanted = SPARE_DESCRIPTORS + max(row.work.peers for row in rows)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and wanted > hard:
        raise Failed(f"{wanted} descriptors are needed, and the hard limit (ulimit -Hn) is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def _run(rows: Sequence[Row], plan: Plan, rounds: int, limit: float) -> None:
    """Measure each row once in each round; the order turns, so that none is always first."""
    deadline = time.monotonic() + limit
    for number in range(rounds):
        turn = number * len(rows) // rounds
        for row in (*rows[turn:], *rows[:turn]):
            if row.problem:
                continue
            if time.monotonic() > deadline:
                row.problem = "" if row.rounds else "out of time"
                continue
            progress = f"round {number + 1}/{rounds}  {row.work.name:14}{row.server:20}"
            try:
                figures = measure(row.work, row.server, plan)
            except (Skipped, Failed) as problem:
                row.problem = f"{type(problem).__name__.lower()}: {problem}"
                print(progress, row.problem, file=sys.stderr)
            else:
                row.rounds.append(figures)
                print(
                    progress,
                    f"{row.work.figure} {figures[row.work.figure]:.1f}",
                    "" if figures in row.quiet else "(disturbed)",
                    file=sys.stderr,
                )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        _check_machine()
        rows = _chosen(options)
    except ValueError as error:
        parser.error(str(error))
    if options.list:
        for row in rows:
            print(f"{row.work.name}/{row.server}")
        return 0
    plan = _plan(options)
    try:
        build_programs()
        _raise_descriptor_limit(rows)
    except Failed as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    os.sched_setaffinity(0, plan.cores.client)
    limit = options.limit or (80.0 if options.quick else float("inf"))
    try:
        _run(rows, plan, options.rounds or (2 if options.quick else 5), limit)
    except KeyboardInterrupt:
        print("interrupted: this is what there is", file=sys.stderr)
    results = Results({(row.work.name, row.server): row for row in rows})
    print(report.as_text(results))
    if options.markdown:
        options.markdown.write_text(report.as_markdown(results, plan), encoding="utf-8")
    if options.json:
        options.json.write_text(report.as_json(results, plan), encoding="utf-8")
    return 1 if any(row.problem.startswith("failed") for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
