"""What the trace tells a timeline."""

from __future__ import annotations

from typing import Any

import pytest

from sansio_server import Outcome, Step, TraceEvent, TraceKind
from sansio_server.testing.timeline.trace_moments import moment_of


@pytest.mark.parametrize(
    ("kind", "request_number", "what", "detail", "moment"),
    [
        (TraceKind.STATE, 0, "SERVE", None, ("state", "SERVE", None)),
        (TraceKind.ENTER, 2, "handle", Step.FINISH, ("enter", "handle", "request 2")),
        (TraceKind.LEAVE, 2, "handle", Outcome.OK, ("leave", "handle OK", "request 2")),
        (
            TraceKind.ERROR, 3, "handle", ValueError("no"),
            ("error", "handle ValueError: no", "request 3"),
        ),
        (TraceKind.ACCEPT, 1, "", ("127.0.0.1", 1), None),
        (TraceKind.CLOSE, 1, "", None, None),
    ],
)  # fmt: skip
def test_moments(
    kind: TraceKind, request_number: int, what: str, detail: object, moment: Any
) -> None:
    assert moment_of(TraceEvent(0.0, kind, request_number, what, detail)) == moment
