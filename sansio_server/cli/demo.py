"""``sansio-server demo``: one handler, served in every way there is, does the same."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from .console import REFUSED, say

if TYPE_CHECKING:
    from .console import Parser
    from .demo_ways import Transport, Way

__all__ = ["Result", "add_parser", "compare", "run", "try_out"]

_DESCRIPTION = """\
Serve one handler in every way there is, over every kind of socket, on this machine alone. Talk to
each server as a client does: send a line, get it back upper-cased. Print what came, whether the
hooks of the server were called in the same order as in the first row, and how long it took to stop.
"""

_EPILOG = """\
exit status:
  0  all agree   1  they do not
"""


def add_parser(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "demo",
        help="serve one handler in every way there is, and compare",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    parser.set_defaults(run=run)


@attrs.frozen
class Result:
    """What came of serving in one way over one transport.

    :ivar hooks: the server's hooks in the order in which they began.
    :ivar stopped: seconds that it took to stop.
    :ivar failure: what went wrong; empty if nothing did.
    """

    way: str
    transport: str
    sent: str
    received: str
    hooks: tuple[str, ...]
    stopped: float
    failure: str = ""

    @property
    def is_right(self) -> bool:
        """Whether the right reply came, and nothing went wrong."""
        return not self.failure and self.received == self.sent.upper()

    def agrees_with(self, first: Result) -> bool:
        """Say whether this is right, and the hooks as in *first*."""
        return self.is_right and self.hooks == first.hooks


def try_out(way: Way, transport: Transport) -> Result:
    """Serve in one way over one transport, and talk to the server once."""
    from .demo_ways import Recorder  # noqa: PLC0415 - backends are imported when asked for

    sent = f"hello {transport.name}"
    received = failure = ""
    stopped = 0.0
    with tempfile.TemporaryDirectory() as name, closing(Recorder()) as recorder:
        folder = Path(name)
        try:
            running = way.start(transport.address(folder), way.handler, recorder.trace)
            try:
                received = transport.ask(running.address, f"{sent}\n".encode(), folder).decode()
            finally:
                began = time.perf_counter()
                running.stop()
                stopped = time.perf_counter() - began
        except OSError as error:
            failure = f"{type(error).__name__}: {error}"
        hooks = recorder.hooks()
    return Result(way.name, transport.name, sent, received.rstrip("\n"), hooks, stopped, failure)


def compare(results: Sequence[Result]) -> Iterable[str]:
    """Return the lines of a table of *results*, each compared with the first."""
    first = results[0]
    rows = [("way of serving", "over", "sent", "received", "stopped in", "order of hooks")]
    for result in results:
        if result.failure:
            hooks = result.failure
        elif not result.is_right:
            hooks = "WRONG REPLY"
        elif result is first:
            hooks = _names(first)
        elif result.hooks == first.hooks:
            hooks = "equal"
        else:
            hooks = f"DIFFERS: {_names(result)}"
        took = f"{1000 * result.stopped:.1f} ms"
        rows.append((result.way, result.transport, result.sent, result.received, took, hooks))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def _names(result: Result) -> str:
    return ", ".join(name.removesuffix("_request") for name in result.hooks) or "none"


def run(_: argparse.Namespace) -> int:
    """Try out all, print the table; return the exit status."""
    from .demo_ways import TRANSPORTS, WAYS  # noqa: PLC0415 - as above

    results = [try_out(way, transport) for way in WAYS for transport in TRANSPORTS]
    alike = sum(result.agrees_with(results[0]) for result in results)
    say(*compare(results), "", f"{alike} of {len(results)} agree")
    return 0 if alike == len(results) else REFUSED
