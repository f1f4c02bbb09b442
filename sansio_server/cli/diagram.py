"""``sansio-server diagram``: draw the lifecycles from their tables."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sansio_server.diagrams import DIAGRAMS, FORMATS, diagram, refresh

from .console import REFUSED, CommandError, say

if TYPE_CHECKING:
    from .console import Parser

__all__ = ["add_parser", "run"]

_DESCRIPTION = """\
Print a diagram of the life of a request, a server or a worker process, drawn from the table that
the program itself uses.
"""

_EXAMPLES = """\
examples:
  sansio-server diagram request
  sansio-server diagram server --format dot | dot -Tsvg > server.svg
  sansio-server diagram --write docs/theory.md

With --write, the diagrams in a Markdown file are updated: those between the lines
`<!-- diagram: NAME -->` (or `<!-- diagram: NAME FORMAT -->`) and `<!-- /diagram -->`.
"""


def add_parser(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "diagram",
        help="print a diagram of a lifecycle",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "name",
        nargs="?",
        choices=DIAGRAMS,
        metavar="NAME",
        help=f"{' or '.join(DIAGRAMS)} (default: {next(iter(DIAGRAMS))})",
    )
    parser.add_argument(
        "--format", choices=FORMATS, help=f"how to write it (default: {FORMATS[0]})"
    )
    parser.add_argument("--write", metavar="FILE", help="refresh the diagrams in FILE instead")


def run(args: argparse.Namespace) -> int:
    """Print or refresh; return the exit status.

    :raises CommandError: the file cannot be read or written, or has no diagrams.
    """
    if args.write is None:
        name = args.name or next(iter(DIAGRAMS))
        say(diagram(name, args.format or FORMATS[0]).rstrip("\n"))
        return 0
    if args.name or args.format:
        raise CommandError(
            f"the markers in {args.write} say what to draw; give neither name nor format"
        )
    say(f"{args.write}: {_refresh(Path(args.write))}")
    return 0


def _refresh(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
        fresh = refresh(text)
        if fresh == text:
            return "up to date"
        path.write_text(fresh, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}", REFUSED) from error
    except ValueError as error:
        raise CommandError(f"{path}: {error}", REFUSED) from error
    return "refreshed"
