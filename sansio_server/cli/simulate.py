"""``sansio-server simulate``: try a handler in memory under bad conditions, without a test."""

from __future__ import annotations

import argparse
import codecs
import warnings
from typing import TYPE_CHECKING, Any

from .console import CommandError

if TYPE_CHECKING:
    from .console import Parser

__all__ = ["add_parser", "run"]

_DESCRIPTION = """\
Serve a handler in memory, on a virtual clock, once for each seed. A seed decides how many clients
come, how their bytes are cut, which of them break off, in which order things happen, and what goes
wrong. Check after each run what must hold of every server. If a check fails, shrink the run to the
shortest script that shows the failure.

HANDLER is a handler, or a server class with a RequestHandlerClass. Without --send and --script,
clients send a few lines.
"""

_EPILOG = """\
examples:
  sansio-server simulate myserver:Echo
  sansio-server simulate myserver:Echo --send 'hello\\n' --send 'quit\\n' --seeds 10000
  sansio-server simulate myserver:Echo --server-class myserver:Server --set max_connections=2
  sansio-server simulate myserver:Echo --script clients.py --html report.html --save failures

`sansio-server replay failures/seed-N.json` plays a saved failure again; with --backend, on real
sockets.

exit status:
  0  no seed fails   1  one does, or a file cannot be written   2  wrong arguments
"""


def add_parser(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "simulate",
        help="try a handler in memory under bad conditions, without a test",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "handler", metavar="MODULE:HANDLER", help="the handler that serves the requests"
    )
    parser.add_argument(
        "--server-class",
        metavar="MODULE:CLASS",
        help="the server class, of any backend (default: one with a thread for each request)",
    )
    parser.add_argument(
        "--set",
        metavar="NAME=VALUE",
        type=_attribute,
        action="append",
        default=[],
        help="an attribute of the server, such as max_connections=2; may be given several times",
    )
    clients = parser.add_argument_group("what clients do")
    clients.add_argument(
        "--send",
        metavar="TEXT",
        type=_message,
        action="append",
        default=[],
        help="a message that a client sends, with Python's escapes; may be given several times",
    )
    clients.add_argument(
        "--script",
        metavar="FILE",
        action="append",
        default=[],
        help="clients.py, with ClientScripts or functions client…() that yield actions; or a "
        "script as JSON",
    )
    runs = parser.add_argument_group("which runs")
    runs.add_argument(
        "--seeds", metavar="N", type=_count, default=1000, help="how many (default: 1000)"
    )
    runs.add_argument(
        "--first-seed", metavar="N", type=int, default=0, help="the first of them (default: 0)"
    )
    runs.add_argument("--no-faults", action="store_true", help="inject no faults")
    runs.add_argument(
        "--twice", action="store_true", help="make each run twice, to find what depends on chance"
    )
    runs.add_argument(
        "--failures",
        metavar="N",
        type=_count,
        help="end after N failing seeds (default: run all seeds)",
    )
    report = parser.add_argument_group("reports")
    report.add_argument(
        "--html",
        metavar="FILE",
        help="write a page to FILE that draws the failures, or the first run if none fails",
    )
    report.add_argument(
        "--save", metavar="FOLDER", help="write each failure as a script and as a test to FOLDER"
    )


def _count(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number, 1 or more")
    return number


def _message(text: str) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "\\d" and the like, which stay as they are
        try:
            # UTF-8, but for escapes, which are single bytes.
            return codecs.decode(text.encode(), "unicode_escape").encode("latin-1")
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r} has a wrong escape: {error}") from None


def _attribute(text: str) -> tuple[str, Any]:
    import ast  # noqa: PLC0415 - only this needs it

    name, equals, value = text.partition("=")
    if not (equals and name.isidentifier()):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def run(args: argparse.Namespace) -> int:
    """Simulate; return the exit status.

    :raises CommandError: something that was asked for is wrong, or cannot be had.
    """
    from .search_path import look_here  # noqa: PLC0415 - likewise
    from .simulating import simulate_target  # noqa: PLC0415 - the testing kit is large
    from .targets import load_target  # noqa: PLC0415 - likewise

    look_here()
    target = load_target(args.handler, args.server_class)
    if args.script and args.send:
        raise CommandError("give either --send or --script")
    return simulate_target(target, args)
