"""``sansio-server replay``: a recording, decided again; or a script, played on any backend."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .console import REFUSED, CommandError

if TYPE_CHECKING:
    from .console import Parser

__all__ = ["add_parser", "run"]

_DESCRIPTION = """\
FILE is a flight recording (`sansio-server serve … --record FILE`, or what --trace wrote): run it
through the core again, offline, and say whether every decision is as recorded; with --what-if, say
what other limits would have done.

Or it is a script (`sansio-server simulate … --save FOLDER`): play it in memory, or with --backend
on real sockets of this machine, and say whether the failure shows again.
"""

_EPILOG = """\
examples:
  sansio-server replay flight.jsonl
  sansio-server replay flight.jsonl --what-if max_connections=50
  sansio-server replay flight.jsonl --what-if max_connections=50,when_full=shed \\
      --what-if request_timeout=2.5
  sansio-server replay failures/seed-417.json --backend trio

backends:
  memory, inline, threads, forks, trio, trio-threads, trio-greenlets

limits that --what-if knows, 'none' for no limit:
  max_connections   when_full   request_timeout   drain_timeout   cut_timeout

exit status:
  0  every decision is as recorded, or the script shows no failure
  1  a decision differs, or the script shows a failure, or the file cannot be read
  2  wrong arguments
"""


def add_parser(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "replay",
        help="run a recording through the core again, or play a script on any backend",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    parser.set_defaults(run=run)
    parser.add_argument("file", metavar="FILE", help="what to replay")
    recording = parser.add_argument_group("for a recording")
    recording.add_argument(
        "--what-if",
        metavar="LIMIT=VALUE[,…]",
        type=_changes,
        action="append",
        default=[],
        help="say what other limits would have done; may be given several times",
    )
    recording.add_argument(
        "--server",
        metavar="NAME",
        help="if a recording contains several servers, the one to replay",
    )
    script = parser.add_argument_group("for a script")
    script.add_argument("--backend", metavar="NAME", help="where to play it (default: memory)")
    script.add_argument(
        "--handler",
        metavar="MODULE:HANDLER",
        help="the handler, if not the one that the script names",
    )
    script.add_argument(
        "--server-class",
        metavar="MODULE:CLASS",
        help="the server class, if neither the one that the script names nor the backend's own",
    )


# What --what-if takes.


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
    path = Path(args.file)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror}", REFUSED) from error
    except UnicodeDecodeError:
        raise CommandError(f"{path} is neither a recording nor a script") from None
    from sansio_server.testing.recording.format import is_recording  # noqa: PLC0415 - when asked for

    if is_recording(text):
        _refuse(args, "a recording is replayed offline", "backend", "handler", "server_class")
        from .replay_recording import replay_recording  # noqa: PLC0415 - likewise

        return replay_recording(path, args.server, args.what_if)
    from .replay_script import read_script, replay_script  # noqa: PLC0415 - likewise

    script = read_script(path, text)
    _refuse(args, "a script is played, not decided again", "what_if", "server")
    return replay_script(script, args.backend or "memory", args.handler, args.server_class)


def _refuse(args: argparse.Namespace, why: str, *options: str) -> None:
    for option in options:
        if getattr(args, option):
            raise CommandError(f"{why}: --{option.replace('_', '-')} says nothing to it")
