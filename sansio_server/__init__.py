"""The sans-IO core of sansio-server: what servers decide, apart from what they do.

The names most programs need are here; the modules hold the rest.
"""

from __future__ import annotations

from .deferred import Deferred
from .drain import Drain, DrainReport, DrainStep, Straggler
from .driver import continue_request, drive, run_blocking, start_request
from .exceptions import IllegalTransition, IncompleteRead, LineTooLong, SuspendedError
from .handlers import (
    BaseRequestHandler,
    DatagramRequestHandler,
    StreamRequestHandler,
    is_asynchronous,
)
from .hooks import ServerHooks
from .ledger import Counters, Ledger, Place
from .lifecycle import SERVER_STATES, Event, Lifecycle, State
from .limits import AcceptBackoff, Admission, Limits, admission
from .request import REQUEST_STEPS, Outcome, Step
from .trace import Trace, TraceEvent, TraceKind

__version__ = "0.1.0"

__all__ = [
    "REQUEST_STEPS",
    "SERVER_STATES",
    "AcceptBackoff",
    "Admission",
    "BaseRequestHandler",
    "Counters",
    "DatagramRequestHandler",
    "Deferred",
    "Drain",
    "DrainReport",
    "DrainStep",
    "Event",
    "IllegalTransition",
    "IncompleteRead",
    "Ledger",
    "Lifecycle",
    "Limits",
    "LineTooLong",
    "Outcome",
    "Place",
    "ServerHooks",
    "State",
    "Step",
    "Straggler",
    "StreamRequestHandler",
    "SuspendedError",
    "Trace",
    "TraceEvent",
    "TraceKind",
    "admission",
    "continue_request",
    "drive",
    "is_asynchronous",
    "run_blocking",
    "start_request",
]
