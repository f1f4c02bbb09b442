"""The command ``sansio-server``, a command a module."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from sansio_server import __version__

from . import demo, diagram, replay, serve, simulate
from .console import CommandError, Parser, complain

__all__ = ["main"]

_DESCRIPTION = "Serve handlers written for socketserver, on a sans-IO core."
_EPILOG = """\
examples:
  sansio-server serve http.server:SimpleHTTPRequestHandler --bind tcp:127.0.0.1:8000
  sansio-server simulate myserver:Echo --send 'hello\\n' --html report.html
  sansio-server replay flight.jsonl --what-if max_connections=50
  sansio-server diagram server --format dot
  sansio-server demo

`sansio-server COMMAND --help` says more. `python -m sync_backend PROGRAM` runs a program that
imports socketserver, with that module replaced.
"""


def _parser() -> Parser:
    parser = Parser(prog="sansio-server", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", dest="command")
    for command in (serve, simulate, replay, diagram, demo):
        command.add_parser(commands)
    return parser


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = _parser()
    args = parser.parse_args(arguments)
    if args.command is None:
        parser.error("which command? serve, simulate, replay, diagram or demo; --help says more")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status.

    :param argv: the arguments; None for those of the process.
    :raises SystemExit: help or the version was asked for, and printed.
    """
    prog = "sansio-server"
    try:
        args = _parse(sys.argv[1:] if argv is None else list(argv))
        prog = f"{prog} {args.command}"
        status: int = args.run(args)
    except CommandError as error:
        complain(error.prog or prog, error)
        return error.status
    except KeyboardInterrupt:
        return 130  # as shells say it: 128 and the number of SIGINT
    return status
