"""The lifecycle of one request: its steps, their outcomes, and the table that joins them.

A request is at a :class:`Step`, which names the hook to run. How that hook ended is an
:class:`Outcome`. The table says which step comes next. Nothing else in this project states the
order of the hooks: the driver reads it here, the diagrams are drawn from it, and the tests try each
step with each outcome.

The table is stateless on purpose. A hook may wrap the request, queue it, keep it or close it, so
nothing is ever looked up by the request object: the code that handles a request holds its step.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Final

__all__ = [
    "ENTRIES",
    "FINAL_STEPS",
    "HOOKS",
    "REPORTING_STEPS",
    "REQUEST_STEPS",
    "Outcome",
    "Step",
]


class Step(IntEnum):
    """Where a request stands: a hook to run, or, from :attr:`GIVEN` on, the end of this table."""

    VERIFY = 0
    """Ask ``verify_request`` whether the request is to be served. Entry: the serve loop."""
    PROCESS = 1
    """Let ``process_request`` choose where the rest runs."""
    HERE = 2
    """Run ``finish_request`` in place, inside ``process_request``. Entry: in place."""
    FINISH = 3
    """Run ``finish_request`` elsewhere. Entry: a thread, a child, a task."""
    SHED = 4
    """Let ``shed_request`` tell a client that the server is full. Entry: the serve loop."""
    ERROR = 5
    """Tell ``handle_error``, while the exception is being handled."""
    SHUTDOWN = 6
    """Close the request with ``shutdown_request``."""
    REPORT = 7
    """Tell ``handle_error`` that closing failed; there is no second close."""
    GIVEN = 8
    """``process_request`` took the request over, and is responsible for it."""
    RAISED = 9
    """The exception goes back through ``process_request``, which called for this."""
    CLOSED = 10
    """The request is over."""


class Outcome(IntEnum):
    """How a hook ended."""

    OK = 0
    """It returned."""
    REFUSED = 1
    """``verify_request`` returned a false value."""
    FAILED = 2
    """It raised an :class:`Exception`."""
    ESCAPED = 3
    """It raised another :class:`BaseException`: KeyboardInterrupt, SystemExit, a cancellation."""
    OVER = 4
    """An exception came through it, but the request was closed in place or is served elsewhere."""


_S, _O = Step, Outcome

#: The table. A step without a row to leave by is final.
REQUEST_STEPS: Final[Mapping[Step, Mapping[Outcome, Step]]] = MappingProxyType(
    {
        _S.VERIFY: {
            _O.OK: _S.PROCESS,
            _O.REFUSED: _S.SHUTDOWN,
            _O.FAILED: _S.ERROR,
            _O.ESCAPED: _S.SHUTDOWN,
        },
        _S.PROCESS: {
            _O.OK: _S.GIVEN,
            _O.FAILED: _S.ERROR,
            _O.ESCAPED: _S.SHUTDOWN,
            _O.OVER: _S.GIVEN,
        },
        _S.HERE: {_O.OK: _S.SHUTDOWN, _O.FAILED: _S.RAISED, _O.ESCAPED: _S.RAISED},
        _S.FINISH: {_O.OK: _S.SHUTDOWN, _O.FAILED: _S.ERROR, _O.ESCAPED: _S.SHUTDOWN},
        _S.SHED: {_O.OK: _S.SHUTDOWN, _O.FAILED: _S.ERROR, _O.ESCAPED: _S.SHUTDOWN},
        _S.ERROR: {_O.OK: _S.SHUTDOWN, _O.FAILED: _S.SHUTDOWN, _O.ESCAPED: _S.SHUTDOWN},
        _S.SHUTDOWN: {_O.OK: _S.CLOSED, _O.FAILED: _S.REPORT, _O.ESCAPED: _S.CLOSED},
        _S.REPORT: {_O.OK: _S.CLOSED, _O.FAILED: _S.CLOSED, _O.ESCAPED: _S.CLOSED},
        _S.GIVEN: {},
        _S.RAISED: {},
        _S.CLOSED: {},
    }
)

#: Which hook of the server a step runs, and whether the hook is told the client's address.
HOOKS: Final[Mapping[Step, tuple[str, bool]]] = MappingProxyType(
    {
        _S.VERIFY: ("verify_request", True),
        _S.PROCESS: ("process_request", True),
        _S.HERE: ("finish_request", True),
        _S.FINISH: ("finish_request", True),
        _S.SHED: ("shed_request", True),
        _S.ERROR: ("handle_error", True),
        _S.SHUTDOWN: ("shutdown_request", False),
        _S.REPORT: ("handle_error", True),
    }
)

#: Where a request may enter the table.
ENTRIES: Final = frozenset({_S.VERIFY, _S.HERE, _S.FINISH, _S.SHED})

#: Steps that report an exception. An exception that leads to one of them counts as dealt with;
#: every other is raised to the caller of the driver once the rest of the table has been walked.
REPORTING_STEPS: Final = frozenset({_S.ERROR, _S.REPORT})

#: Steps that no row leaves.
FINAL_STEPS: Final = frozenset(step for step, row in REQUEST_STEPS.items() if not row)
