"""The format of traces."""

from __future__ import annotations

import pickle

import attrs
import pytest

from sansio_server.trace import TraceEvent, TraceKind


def test_an_event_cannot_be_changed_after_it_was_told() -> None:
    event = TraceEvent(1.5, TraceKind.ENTER, 7, "verify_request")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        event.time = 2.0  # type: ignore[misc]


def test_two_traces_can_be_compared() -> None:
    event = TraceEvent(1.5, TraceKind.BYTES, 7, "in", 64)
    assert event == TraceEvent(1.5, TraceKind.BYTES, 7, "in", 64)
    assert event != TraceEvent(1.5, TraceKind.BYTES, 7, "in", 65)
    assert attrs.evolve(event, time=0.0) == TraceEvent(0.0, TraceKind.BYTES, 7, "in", 64)


def test_an_event_without_more_to_tell_has_no_detail() -> None:
    assert TraceEvent(0.0, TraceKind.ENTER, 1, "verify_request").detail is None


def test_a_trace_can_be_written_to_a_file() -> None:
    event = TraceEvent(1.5, TraceKind.ACCEPT, 1, "accept", ("::1", 8))
    assert pickle.loads(pickle.dumps(event)) == event


@pytest.mark.parametrize("kind", TraceKind)
def test_kinds_are_words(kind: TraceKind) -> None:
    assert kind == kind.value == kind.name.lower()
    assert TraceKind(kind.value) is kind
