"""``sansio-server serve``: serve any handler, at any address, until Ctrl-C."""

from __future__ import annotations

import argparse
import math
import os
import sys
import threading
from typing import TYPE_CHECKING, Final

from sansio_server.limits import Limits

from .addresses import Address, parse_address
from .backends import BACKENDS, Backend, Plan
from .console import REFUSED, CommandError
from .search_path import look_here
from .targets import Handler, check_fits, load_handler

if TYPE_CHECKING:
    from .console import Parser

__all__ = ["add_parser", "run"]

_DESCRIPTION = """\
Serve a handler until Ctrl-C or SIGTERM; then let the requests under way end, and exit with status
0. A second Ctrl-C ends the program at once.

HANDLER is a request handler class, or any callable that takes a request, a client's address and a
server. The working directory is searched for MODULE first, as by `python -m`.
"""

_EXAMPLES = """\
addresses:
  tcp:127.0.0.1:9999   connections to one address
  tcp:[::1]:9999       the same, IPv6
  tcp::9999, :9999     connections to all IPv4 interfaces
  tcp:localhost:0      connections to any free port, which is printed
  udp:127.0.0.1:9999   datagrams
  unix:PATH            connections to a Unix socket; one left by a dead server is replaced
  unixgram:PATH        datagrams to a Unix socket

examples:
  sansio-server serve http.server:SimpleHTTPRequestHandler --bind tcp:127.0.0.1:8000
  sansio-server serve myserver:Echo --bind udp:127.0.0.1:9999 --bind udp:[::1]:9999
  sansio-server serve myserver:Echo --bind unix:/tmp/echo --backend forks --request-timeout 30
  sansio-server serve myserver:Echo --bind tcp::9999 --backend trio --workers 4

exit status:
  0  stopped by a signal   1  the system refused something   2  wrong arguments
  130, 143  ended at once by a second signal
"""

#: More than any machine can hold, where a number is needed.
_NO_LIMIT: Final = sys.maxsize


def add_parser(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "serve",
        help="serve a handler until Ctrl-C",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "handler", metavar="MODULE:HANDLER", help="the handler that serves the requests"
    )
    parser.add_argument(
        "--bind",
        metavar="ADDRESS",
        type=_address,
        action="append",
        required=True,
        help="where to serve; may be given several times",
    )
    parser.add_argument(
        "--backend",
        choices=BACKENDS,
        default="threads",
        help="; ".join(f"{name}: {row.summary}" for name, row in BACKENDS.items())
        + " (default: %(default)s)",
    )
    processes = parser.add_argument_group("processes")
    processes.add_argument(
        "--workers",
        metavar="N",
        type=_number,
        help="serve in N processes, which are supervised: those that die are replaced, and SIGHUP "
        "replaces all, one after the other, with the handler loaded again (default: one process, "
        "or with --backend prefork one for each processor)",
    )
    processes.add_argument(
        "--max-requests",
        metavar="N",
        type=_number,
        default=math.inf,
        help="replace a worker when it has served about N requests (default: never)",
    )
    limits = parser.add_argument_group("limits (SECONDS may have a fraction)")
    limits.add_argument(
        "--max-connections",
        metavar="N",
        type=_count,
        help=f"the most requests open at once, at each address, or 'none' (default: {_defaults()})",
    )
    limits.add_argument(
        "--when-full",
        choices=["wait", "shed"],
        default="wait",
        help="what happens to clients beyond that: they wait in the queue of the system, or are "
        "accepted and closed at once (default: %(default)s)",
    )
    limits.add_argument(
        "--request-timeout",
        metavar="SECONDS",
        type=_seconds_or_none,
        help="cut a request that takes longer (default: none)",
    )
    limits.add_argument(
        "--drain-timeout",
        metavar="SECONDS",
        type=_seconds_or_none,
        default=10.0,
        help="how long requests under way may take to end when the server is stopped; then they "
        "are cut; 'none' to wait for ever (default: 10)",
    )
    limits.add_argument(
        "--cut-timeout",
        metavar="SECONDS",
        type=_seconds,
        default=5.0,
        help="how long requests that were cut may take to end (default: 5)",
    )
    parser.add_argument(
        "--trace", metavar="FILE", help="write all that happens to FILE, one JSON object per line"
    )
    recording = parser.add_argument_group("flight recorder")
    recording.add_argument(
        "--record",
        metavar="FILE",
        help="write the same to FILE, whose size is bounded: when it is full, it becomes FILE.1, "
        "and a new FILE begins; each worker writes to FILE.PID; see `sansio-server replay --help`",
    )
    recording.add_argument(
        "--record-size",
        metavar="MIB",
        type=_size,
        help="the largest size of both files together, in mebibytes (default: 64)",
    )
    recording.add_argument(
        "--record-payload",
        action="store_true",
        help="record the bytes that clients send and receive, not only how many",
    )


def _defaults() -> str:
    """Say how many requests each way of serving takes at once."""
    ways: dict[int, list[str]] = {}
    for name, row in BACKENDS.items():
        ways.setdefault(row.max_connections, []).append(name)
    return "; ".join(f"{number} for {', '.join(names)}" for number, names in ways.items())


def _address(text: str) -> Address:
    try:
        return parse_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _count(text: str) -> int:
    return _NO_LIMIT if text == "none" else _number(text, ", nor 'none'")


def _number(text: str, otherwise: str = "") -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not 1 or more{otherwise}")
    return number


def _size(text: str) -> int:
    try:
        size = float(text) * 2**20
    except ValueError:
        size = math.nan
    if not 2**16 <= size <= sys.maxsize:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of mebibytes, 0.0625 or more")
    return int(size)


def _seconds(text: str, otherwise: str = "") -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= threading.TIMEOUT_MAX:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of seconds from 0 to {threading.TIMEOUT_MAX:.0f}{otherwise}"
        )
    return seconds


def _seconds_or_none(text: str) -> float | None:
    return None if text == "none" else _seconds(text, ", nor 'none'")


def run(args: argparse.Namespace) -> int:
    """Serve; return the exit status.

    :raises CommandError: something that was asked for is wrong, or cannot be had.
    """
    for option in ("record_size", "record_payload"):
        if getattr(args, option) and args.record is None:
            name = option.replace("_", "-")
            raise CommandError(f"--{name} is for recordings; add --record FILE")
    look_here()
    addresses = tuple(args.bind)

    def load() -> Handler:
        handler = load_handler(args.handler)
        for address in addresses:
            check_fits(args.handler, handler, datagrams=address.datagrams, address=address)
        return handler

    backend = BACKENDS[args.backend]
    workers = _workers(args, backend)
    plan = Plan(
        None if workers else load(),
        addresses,
        args.backend,
        Limits(
            max_connections=args.max_connections or backend.max_connections,
            when_full=args.when_full,
            request_timeout=args.request_timeout,
            drain_timeout=args.drain_timeout,
            cut_timeout=args.cut_timeout,
        ),
        args.trace,
        args.record,
        _size("64") if args.record_size is None else args.record_size,
        args.record_payload,
        workers,
        args.max_requests,
    )
    if not workers:
        return backend.load()(plan)
    from .workers import serve_in_workers  # noqa: PLC0415 - where it is asked for

    return serve_in_workers(plan, load)


def _workers(args: argparse.Namespace, backend: Backend) -> int:
    """Return how many worker processes there are to be.

    :raises CommandError: two options do not go together, or there are no forks here.
    """
    workers: int | None = args.workers
    if workers is None and not backend.preforks:
        if args.max_requests < math.inf:
            raise CommandError("--max-requests is for workers; add --workers N")
        return 0
    if not hasattr(os, "fork"):
        raise CommandError("this system cannot fork, and so has no workers", REFUSED)
    if workers is None:
        from sync_backend.prefork import processors  # noqa: PLC0415 - where it is asked for

        return processors()
    return workers
