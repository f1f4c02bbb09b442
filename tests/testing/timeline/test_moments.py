"""Timelines as text."""

from __future__ import annotations

from sansio_server.testing.timeline.moments import Moment, render, shown


def test_a_line_for_each_moment() -> None:
    moments = (Moment(0.0, "client 1", "connect"), Moment(12.25, "request 1", "recv", "b'hello'"))
    assert render(moments).splitlines() == [
        "    0.000  client 1     connect",
        "   12.250  request 1    recv b'hello'",
    ]


def test_long_data_is_shortened() -> None:
    assert shown(b"a\n") == "b'a\\n'"
    assert shown(b"a" * 100) == f"b'{'a' * 40}'… (100 bytes)"
