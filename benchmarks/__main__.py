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
from .page import write_page
from .processes import Failed, Skipped, build_programs
from .results import Results, Row, load_rounds
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
        help="comma-separated, each MODE[:PEERS][:pDEPTH][:oOPEN][:free] "
        f"({','.join(DEFAULT_WORKS)}; quick: {','.join(QUICK_WORKS)})",
    )
    add(
        *("--family", "-f"),
        dest="families",
        action="append",
        choices=FAMILIES,
        help="measure these servers only (may be repeated)",
    )
    add(
        "--all", "-a", action="store_true", help="measure every server at works that take long, too"
    )
    add(
        "--rounds",
        type=_count,
        help="rounds for each server at each work (5; quick: 2; 0 with --add: none)",
    )
    add("--seconds", type=float, help="measured seconds of a round (0.8; quick: 0.25)")
    add("--warmup", type=float, help="seconds of load before that (0.2; quick: 0.1)")
    add("--stops", type=int, help="stops in a round (10; quick: 4)")
    add("--limit", type=float, help="begin nothing more after so many seconds (none; quick: 80)")
    add("--markdown", type=Path, metavar="FILE", help="write the tables there as well")
    add(
        "--docs",
        type=Path,
        metavar="FOLDER",
        help="write tables and plots there as well: into performance.md, plots/*.svg",
    )
    add(
        "--add",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="begin with the rounds that --json FILE wrote (may be repeated)",
    )
    add("--json", type=Path, metavar="FILE", help="write all rounds there")
    add("--list", action="store_true", help="list what would be measured, and leave")
    return parser


def _count(text: str) -> int:
    """Return a number of rounds.

    :raises ValueError: it is negative, or no number.
    """
    if (number := int(text)) < 0:
        raise ValueError
    return number


def _chosen(options: argparse.Namespace) -> list[Row]:
    families = options.families or FAMILIES
    works = QUICK_WORKS if options.quick else DEFAULT_WORKS
    if options.works:
        works = tuple(options.works.split(","))
    rows = [
        Row(work, server)
        for work in map(Work.parse, works)
        for server in SERVERS
        if family(server) in families
        and suits(work, server)
        and (SERVERS[server].leads or options.all or not work.is_long)
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
        warmup=options.warmup or (0.1 if quick else 0.2),
        seconds=options.seconds or (0.25 if quick else 0.8),
        stops=options.stops or (4 if quick else 10),
        patience=30.0 if quick else 60.0,
    )


def _raise_descriptor_limit(rows: Sequence[Row]) -> None:
    wanted = SPARE_DESCRIPTORS + max(row.work.connections for row in rows)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and wanted > hard:
        raise Failed(f"{wanted} descriptors are needed, and the hard limit (ulimit -Hn) is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def _run(rows: Sequence[Row], plan: Plan, rounds: int, limit: float) -> None:
    """Measure each row once in each round; the order turns, so that none is always first.

    Rows that were disturbed in all of their rounds get as many more, while there is time.
    """
    deadline = time.monotonic() + limit
    os.sched_setaffinity(0, plan.cores.client)
    for number in range(rounds):
        due = [row for row in rows if number < row.work.rounds]
        turn = number * len(due) // rounds
        _run_round(f"round {number + 1}/{rounds}", [*due[turn:], *due[:turn]], plan, deadline)
    for number in range(rounds):
        disturbed = [row for row in rows if row.rounds and not row.quiet]
        _run_round(f"again {number + 1}/{rounds}", disturbed, plan, deadline)
    os.sched_setaffinity(0, plan.cores.both)


def _run_round(title: str, rows: Sequence[Row], plan: Plan, deadline: float) -> None:
    for row in rows:
        if row.problem:
            continue
        if time.monotonic() > deadline:
            row.problem = "" if row.rounds else "out of time"
            continue
        progress = f"{title}  {row.work.name:14}{row.server:20}"
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
        for file in options.add:
            load_rounds(rows, file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        parser.error(str(error))
    if options.list:
        for row in rows:
            print(f"{row.work.name}/{row.server}")
        return 0
    plan = _plan(options)
    rounds = (2 if options.quick else 5) if options.rounds is None else options.rounds
    limit = options.limit or (80.0 if options.quick else float("inf"))
    try:
        if rounds:
            build_programs()
            _raise_descriptor_limit(rows)
            _run(rows, plan, rounds, limit)
    except Failed as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: this is what there is", file=sys.stderr)
    results = Results({(row.work.name, row.server): row for row in rows})
    print(report.as_text(results))
    try:
        _write(options, results, plan)
    except (ImportError, OSError, ValueError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    return 1 if any(row.problem.startswith("failed") for row in rows) else 0


def _write(options: argparse.Namespace, results: Results, plan: Plan) -> None:
    if options.json:
        options.json.write_text(report.as_json(results, plan), encoding="utf-8")
    if options.markdown:
        options.markdown.write_text(report.as_markdown(results, plan), encoding="utf-8")
    if options.docs:
        write_page(results, plan, options.docs)


if __name__ == "__main__":
    sys.exit(main())
