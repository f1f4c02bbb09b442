"""The differences of pools, where whoever serves has accepted, too."""

from __future__ import annotations

from tests.parity.difference import CLOSING, LOOP, REPORTING, SERVING, Case, Difference
from tests.parity.instrument import INLINE, STREAMS

POOL_DIFFERENCES = (
    Difference(
        row="20",
        stdlib="process_request() of a threading or forking server has given the request away",
        here="in a pool, it has the whole request inside, as in a server of one thread",
        reason="whoever serves was there before, and calls it",
        columns=("pool", "prefork"),
        about=(*CLOSING, *REPORTING, "caught", "excepthook", "handle_request"),
        cases=(
            Case(
                "process_request catches",
                stdlib=("handle_error(",),
                here=("caught ValueError: handle fails",),
            ),
            Case(
                "process_request passes on",
                stdlib=("ValueError: handle fails): None",),
                here=("LookupError: instead of handle fails): None",),
            ),
            Case(
                "wrapped in process_request, fails",
                stdlib=("handle_error(Wrapped",),
                here=("handle_error(socket",),
                kinds=STREAMS,
            ),
            Case(
                "handle_request is interrupted",
                stdlib=("excepthook gets KeyboardInterrupt", "handle_request returned"),
                here=("handle_request raised KeyboardInterrupt",),
            ),
        ),
    ),
    Difference(
        row="21",
        stdlib="what no handle_error() has dealt with ends the loop, where the loop calls the hook",
        here="in a pool, it ends the thread, and threading.excepthook is told; in a worker "
        "process, that; another takes its place",
        reason="the loop serves nobody, and calls no hook of a request",
        columns=("pool",),
        about=(*CLOSING, *REPORTING, *LOOP, *SERVING, "excepthook"),
        cases=(
            *(
                Case(
                    f"{hook} raises KeyboardInterrupt",
                    stdlib=("serve_forever raised KeyboardInterrupt",),
                    here=("excepthook gets KeyboardInterrupt", "serve_forever returned"),
                )
                for hook in ("verify_request", "process_request")
            ),
            Case(
                "process_request raises KeyboardInterrupt afterwards",
                stdlib=("serve_forever raised KeyboardInterrupt",),
                here=("excepthook gets KeyboardInterrupt", "serve_forever returned"),
                ways=INLINE,
            ),
            *(
                Case(
                    f"process_request and handle_error raise {error}",
                    stdlib=(f"serve_forever raised {error}",),
                    here=(f"excepthook gets {error}", "serve_forever returned"),
                )
                for error in ("ValueError", "KeyboardInterrupt")
            ),
        ),
    ),
)
