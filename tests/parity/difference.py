"""What a difference from the stdlib is, and where it shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from tests.parity.instrument import KINDS, WAYS


def always() -> bool:
    """Say that a difference shows on every Python and kernel."""
    return True


@attrs.frozen
class Case:
    """Where a difference shows: in a scenario, in some ways of serving, on some kinds of server."""

    scenario: str
    # Lines that only the stdlib's trace has, and lines that only ours has.
    stdlib: Sequence[str] = ()
    here: Sequence[str] = ()
    ways: Sequence[str] = tuple(WAYS)
    kinds: Sequence[str] = KINDS


@attrs.frozen
class Difference:
    """One row of the table."""

    row: str
    stdlib: str
    here: str
    reason: str
    cases: Sequence[Case] = ()
    # Words of which each line that differs in these cases has one.
    about: Sequence[str] = ()
    # Names that classes and servers have beside the stdlib's.
    names: Sequence[str] = ()
    # Parts of the lines that differ between the surfaces of both modules' classes.
    surface: Sequence[str] = ()
    when: Callable[[], bool] = always
    # The columns that it is about; empty for all.
    columns: Sequence[str] = ()


# Words of lines, by what these are about.
CLOSING = ("shutdown_request", "close_request", "finds", "left open")
REPORTING = ("handle_error", "prints")
LOOP = ("get_request", "verify_request", "process_request", "serve_forever")
SERVING = ("finish_request", "setup", "handle()", "finish()")
WORKERS = ("process_request_thread", "excepthook", "exits with")
