"""Runs: what they report, and by what two of them are told apart."""

from __future__ import annotations

import attrs
import pytest

from sansio_server import TraceEvent, TraceKind
from sansio_server.testing.runs.run import Finding, Run, Seen, first_difference
from sansio_server.testing.scripts.script import Script
from sansio_server.testing.timeline.moments import Moment

RUN = Run(
    script=Script(()),
    timeline=(Moment(0.0, "client 1", "connect"), Moment(1.0, "loop", "accept")),
    clients=(Seen((b"a", b"b")),),
)


def test_a_report_tells_what_was_found_and_what_happened() -> None:
    assert RUN.report().splitlines() == [
        "nothing was found",
        "",
        "    0.000  client 1     connect",
        "    1.000  loop         accept",
    ]
    found = attrs.evolve(RUN, findings=(Finding("ends", "it does not"),))
    assert found.report(last=1).splitlines() == [
        "ends: it does not",
        "",
        "(1 moments before)",
        "    1.000  loop         accept",
    ]


def test_what_a_client_received() -> None:
    assert RUN.clients[0].received == b"ab"
    assert RUN.faults == ()


def test_equal_runs_have_equal_signatures() -> None:
    def run(error: Exception) -> Run:
        return attrs.evolve(RUN, trace=(TraceEvent(0.0, TraceKind.ERROR, 1, "x", error),))

    assert run(ValueError("a")).signature() == run(ValueError("a")).signature()
    assert run(ValueError("a")).signature() != run(ValueError("b")).signature()
    other = attrs.evolve(RUN, trace=(TraceEvent(0.0, TraceKind.LEAVE, 1, "x", object),))
    assert other.signature() != RUN.signature()


@pytest.mark.parametrize(
    ("one", "other", "index"),
    [("", "", None), ("ab", "ab", None), ("ab", "ac", 1), ("ab", "a", 1), ("", "a", 0)],
)
def test_where_two_differ(one: str, other: str, index: int | None) -> None:
    assert first_difference(one, other) == index
