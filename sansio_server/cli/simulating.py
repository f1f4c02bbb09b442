"""What ``sansio-server simulate`` does, and what it says of it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from sansio_server.testing.scripts.actions import ClientScript
from sansio_server.testing.scripts.generating import clients_that_send, generate
from sansio_server.testing.scripts.printing import to_source
from sansio_server.testing.scripts.script import Script, script_to_json
from sansio_server.testing.simulation.simulation import Failure, Report, Simulation, simulate
from sansio_server.testing.timeline.html_page import Section, page

from .clients_file import read_clients
from .console import REFUSED, CommandError, say
from .progress import Progress
from .targets import Target

__all__ = ["DEFAULT_MESSAGES", "simulate_target"]

#: What is sent where nothing is said: short and long lines, an empty one, none at the end.
DEFAULT_MESSAGES: Final = (
    b"hello\n",
    b"\n",
    b"a longer line, of more than forty bytes, to be cut\n",
    b"end",
)

#: How many of the last moments are shown of a run, and how many failures.
_MOMENTS: Final = 60
_FAILURES: Final = 5

_DATAGRAMS: Final = frozenset({"UDPServer", "UnixDatagramServer", "DatagramRequestHandler"})


def simulate_target(target: Target, args: argparse.Namespace) -> int:
    """Simulate; return the exit status.

    :raises CommandError: something that was asked for is wrong, or cannot be had.
    """
    clients = _clients(target, args)
    progress = Progress(args.seeds, "seeds")
    try:
        report = simulate(
            target.handler,
            server_class=target.server_class,
            clients=clients,
            seeds=range(args.first_seed, args.first_seed + args.seeds),
            faults=() if args.no_faults else None,
            twice=args.twice,
            attributes=dict(args.set),
            handler_name=target.handler_name,
            server_name=target.server_name,
            stop_at=args.failures,
            progress=progress.show,
        )
    except (TypeError, ValueError) as error:
        raise CommandError(f"cannot simulate {target.handler_name}: {error}") from error
    finally:
        progress.clear()
    say(*_lines(report, target))
    try:
        say(*_save(report, args.save))
        say(*_draw(report, target, clients, args))
    except OSError as error:
        raise CommandError(f"cannot write {error.filename}: {error.strerror}", REFUSED) from error
    return REFUSED if report.failed else 0


def _clients(target: Target, args: argparse.Namespace) -> Sequence[ClientScript]:
    if args.script:
        return [client for name in args.script for client in read_clients(name)]
    bases = [
        base.__name__
        for thing in (target.handler, target.server_class)
        for base in getattr(thing, "__mro__", ())
    ]
    messages = args.send or DEFAULT_MESSAGES
    return clients_that_send(messages, datagrams=not _DATAGRAMS.isdisjoint(bases))


# What is said.


def _lines(report: Report, target: Target) -> Iterator[str]:
    for failure in report.failures[:_FAILURES]:
        yield from _failure(failure)
        yield ""
    if len(report.failures) > _FAILURES:
        yield f"and {len(report.failures) - _FAILURES} other failures\n"
    yield str(report.reached)
    yield ""
    failed = ""
    if report.failed:
        seeds = ", ".join(map(str, report.failed[:10]))
        failed = f": {seeds}{', …' if len(report.failed) > 10 else ''}"
    rate = report.runs / report.seconds if report.seconds else 0.0
    yield (
        f"{target.handler_name}: {report.runs:,} seeds in {report.seconds:.1f} s ({rate:,.0f}/s), "
        f"{len(report.failed):,} failed{failed}"
    )


def _failure(failure: Failure) -> Iterator[str]:
    yield f"seed {failure.seed} fails"
    yield from (f"  {finding}" for finding in failure.findings)
    yield "\nthe shortest way to show it, as a test:\n"
    yield failure.regression_test
    yield "what happens then:\n"
    yield failure.short_run.report(_MOMENTS)


# What is written.


def _save(report: Report, name: str | None) -> Iterator[str]:
    """Write each failure to a folder, as a script and as a test."""
    if name is None or not report.failures:
        return
    folder = Path(name)
    folder.mkdir(parents=True, exist_ok=True)
    for failure in report.failures:
        script = folder / f"seed-{failure.seed}.json"
        script.write_text(script_to_json(failure.script), encoding="utf-8")
        test = folder / f"test_seed_{failure.seed}.py"
        test.write_text(failure.regression_test, encoding="utf-8")
        yield f"saved: {script}, {test}"


def _draw(
    report: Report, target: Target, clients: Sequence[ClientScript], args: argparse.Namespace
) -> Iterator[str]:
    """Write a page with a picture of each failure; of the first seed if there is none."""
    if args.html is None:
        return
    sections = [_section(failure) for failure in report.failures]
    if not sections:
        sections = [_first_run(target, clients, args)]
    sections.append(Section("What was reached", code=str(report.reached)))
    failed = f"{len(report.failed):,} of {report.runs:,} seeds failed"
    text = page(f"{target.handler_name}: {failed}", sections)
    Path(args.html).write_text(text, encoding="utf-8")
    yield f"drawn: {args.html}"


def _section(failure: Failure) -> Section:
    whole, short = failure.run.script, failure.script
    return Section(
        f"Seed {failure.seed}",
        failure.short_run.timeline,
        trouble=[str(finding) for finding in failure.short_run.findings],
        notes=[
            f"The shortest way to show it: {_size(short)}. The seed had {_size(whole)}.",
            f"Again: sansio-server simulate … --first-seed {failure.seed} --seeds 1",
        ],
        code=to_source(short),
    )


def _size(script: Script) -> str:
    actions = sum(len(client.actions) for client in script.clients)
    return f"{len(script.clients)} clients, {actions} actions, {len(script.faults)} faults"


def _first_run(
    target: Target, clients: Sequence[ClientScript], args: argparse.Namespace
) -> Section:
    with Simulation(
        target.handler, server_class=target.server_class, attributes=dict(args.set)
    ) as simulation:
        run = simulation.play(generate(args.first_seed, clients))
    return Section(
        f"Seed {args.first_seed}, without faults",
        run.timeline,
        notes=["Nothing was found wrong in any seed."],
    )
