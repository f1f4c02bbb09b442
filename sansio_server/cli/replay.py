"""``sansio-server replay``: what was recorded, decided again, also under other limits."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .console import MISUSED, REFUSED, CommandError, say

if TYPE_CHECKING:
    from sansio_server.testing.recording import Record

    from .console import Parser

__all__ = ["add_parser", "run"]

_DESCRIPTION = """\
Run a flight recording (`sansio-server serve … --record FILE`) through the core again, offline, and
say whether that decides all as it was recorded; with --what-if, what other limits would have done.

FILE may also be the output of `serve … --trace FILE`.
"""

_EPILOG = """\
examples:
  sansio-server replay flight.jsonl
  sansio-server replay flight.jsonl --what-if max_connections=50
  sansio-server replay flight.jsonl --what-if max_connections=50,when_full=shed \\
      --what-if request_timeout=2.5

limits that --what-if knows, 'none' for no limit:
  max_connections   when_full   request_timeout   drain_timeout   cut_timeout

exit status:
  0  all is decided as it was recorded   1  it is not, or the file cannot be read   2  wrong call
"""


def add_parser(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "replay",
        help="decide again what was recorded, also under other limits",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    parser.set_defaults(run=run)
    parser.add_argument("file", metavar="FILE", help="what to replay")
    parser.add_argument(
        "--what-if",
        metavar="LIMIT=VALUE[,…]",
        type=_changes,
        action="append",
        default=[],
        help="say what other limits would have done; may be given several times",
    )
    parser.add_argument(
        "--server", metavar="NAME", help="of several servers in a recording, replay this one alone"
    )


# What --what-if takes.

_NUMBERS: Final = ("request_timeout", "drain_timeout", "cut_timeout")


def _changes(text: str) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not equals:
            raise argparse.ArgumentTypeError(f"{part!r} is not LIMIT=VALUE")
        changes[name.strip().replace("-", "_")] = _value(name, value.strip())
    _check(changes)
    return changes


def _value(name: str, text: str) -> Any:
    if text.lower() == "none":
        return None
    if name.strip().replace("-", "_") == "when_full":
        return text
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def _check(changes: dict[str, Any]) -> None:
    import attrs  # noqa: PLC0415 - only this needs it

    from sansio_server.limits import Limits  # noqa: PLC0415 - likewise

    known = [field.name for field in attrs.fields(Limits)]
    for name in changes:
        if name not in known:
            raise argparse.ArgumentTypeError(
                f"there is no limit {name!r}; there are {', '.join(known)}"
            )
    try:
        Limits(**changes)
    except (TypeError, ValueError) as error:
        raise argparse.ArgumentTypeError(str(error)) from None


# What it does.


def run(args: argparse.Namespace) -> int:
    """Replay; return the exit status.

    :raises CommandError: the file cannot be read, or holds nothing to replay.
    """
    from sansio_server.testing.recording import read_recording  # noqa: PLC0415 - when asked for

    path = Path(args.file)
    try:
        records = read_recording(path)
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror}", REFUSED) from error
    except ValueError as error:
        raise CommandError(str(error), MISUSED) from error
    servers = _servers(records, args.server, path)
    if args.what_if:
        return _what_if(records, servers, args.what_if)
    return _again(records, servers)


def _servers(records: Iterable[Record], wanted: str | None, path: Path) -> list[str]:
    servers = list(dict.fromkeys(record.server for record in records))
    if wanted is None:
        return servers
    if wanted not in servers:
        names = ", ".join(map(repr, servers))
        raise CommandError(f"there is no server {wanted!r} in {path}; there are {names}")
    return [wanted]


def _again(records: Sequence[Record], servers: Sequence[str]) -> int:
    from sansio_server.testing.offline import rerun  # noqa: PLC0415 - when asked for

    same = True
    for server in servers:
        try:
            result = rerun(record for record in records if record.server == server)
        except ValueError as error:
            raise CommandError(str(error)) from error
        same = same and result.same
        if server:
            say(f"{server}:")
        say(str(result), *(f"counted: {counters}" for counters in result.counters.values()))
    return 0 if same else REFUSED


def _what_if(
    records: Sequence[Record], servers: Sequence[str], changes: Sequence[dict[str, Any]]
) -> int:
    from sansio_server.testing.projections import as_table  # noqa: PLC0415 - when asked for
    from sansio_server.testing.what_if import what_if  # noqa: PLC0415 - likewise

    for server in servers:
        try:
            projections, notes = what_if(records, *changes, server=server)
        except ValueError as error:
            raise CommandError(str(error)) from error
        if server:
            say(f"{server}:")
        say(*as_table(projections), "", *(f"note: {note}" for note in notes))
    return 0
