from __future__ import annotations

import pytest

from sansio_server.testing.timeline.lanes import Bar, Lane, Mark, Picture, arrange
from sansio_server.testing.timeline.moments import Moment


def moments(*lines: str) -> list[Moment]:
    """From lines such as `1.5 request 1: enter verify_request`."""
    made = []
    for line in lines:
        time, _, rest = line.partition(" ")
        actor, _, happening = rest.partition(": ")
        what, _, detail = happening.partition(" ")
        made.append(Moment(float(time), actor, what, detail))
    return made


def texts(picture: Picture) -> list[str]:
    return [row.mark.text for row in picture.rows]


def test_who_talks_to_each_other_stands_side_by_side() -> None:
    picture = arrange(
        moments(
            "0 client 1: connect",
            "0 client 2: connect",
            "0 loop: accept client 2",
            "0 request 1: enter verify_request",
            "0 test: advance 1 s",
            "1 request 1: close",
            "1 request 2: close",
        )
    )
    assert picture.lanes == (
        Lane("test", "other", None, 4, 4),
        Lane("loop", "loop", None, 2, 2),
        Lane("client 1", "client", None, 0, 0),
        Lane("client 2", "client", 4, 1, 1),
        Lane("request 1", "request", 3, 3, 5),
        Lane("request 2", "request", None, 6, 6),
    )


def test_a_datagram_has_a_sender() -> None:
    picture = arrange(
        moments(
            "0 client 1: sendto server b'hello'",
            "0 loop: recvfrom client 1 b'hello'",
            "0 request 1: enter verify_request",
            "0 client 1: recvfrom server b'HELLO'",
        )
    )
    assert [(lane.actor, lane.partner) for lane in picture.lanes] == [
        ("loop", None),
        ("client 1", 2),
        ("request 1", 1),
    ]


def test_who_is_served_by_nobody_seen_is_alone() -> None:
    picture = arrange(moments("0 loop: accept client 7", "0 request 1: close"))
    assert [(lane.actor, lane.partner) for lane in picture.lanes] == [
        ("loop", None),
        ("request 1", None),
    ]


def test_time_that_has_passed_is_seen() -> None:
    picture = arrange(moments("0.5 loop: accept a", "0.5 loop: accept b", "2 loop: accept c"))
    assert [(row.time, row.passed) for row in picture.rows] == [(0.5, 0.0), (0.5, 0.0), (2.0, 1.5)]


def test_a_hook_in_which_nothing_happens_has_one_row() -> None:
    picture = arrange(
        moments(
            "0 request 1: enter verify_request",
            "0 request 2: close",
            "0 request 1: leave verify_request OK",
            "0 request 1: enter handle_error",
            "0 request 1: leave handle_error FAILED",
        )
    )
    assert texts(picture) == ["verify_request ✓", "close", "handle_error ✗ failed"]
    assert [row.mark.kind for row in picture.rows] == ["hook", "life", "error"]
    assert picture.bars == (
        Bar(0, "verify_request", 0, 0, 0, "OK"),
        Bar(0, "handle_error", 2, 2, 0, "FAILED"),
    )


def test_hooks_are_within_each_other() -> None:
    picture = arrange(
        moments(
            "0 request 1: enter process_request",
            "0 request 1: enter finish_request",
            "0 request 1: recv b''",
            "0 request 1: error finish_request ValueError: no",
            "0 request 1: leave finish_request FAILED",
            "0 request 1: leave process_request ESCAPED",
            "0 request 1: enter shutdown_request",
        )
    )
    assert texts(picture) == [
        "process_request",
        "finish_request",
        "b''",
        "ValueError: no",
        "✗ failed finish_request",
        "✗ escaped process_request",
        "shutdown_request",
    ]
    assert [row.mark.depth for row in picture.rows] == [0, 1, 2, 2, 1, 0, 0]
    assert set(picture.bars) == {
        Bar(0, "process_request", 0, 5, 0, "ESCAPED"),
        Bar(0, "finish_request", 1, 4, 1, "FAILED"),
        Bar(0, "shutdown_request", 6, 6, 0, ""),
    }


def test_an_outer_hook_may_end_first() -> None:
    picture = arrange(
        moments(
            "0 request 1: enter process_request",
            "0 request 1: enter finish_request",
            "0 request 1: leave process_request OK",
            "0 request 1: recv b''",
            "0 request 1: leave finish_request OK",
            "0 request 1: leave shutdown_request OK",
        )
    )
    assert {(bar.hook, bar.first, bar.last) for bar in picture.bars} == {
        ("process_request", 0, 2),
        ("finish_request", 1, 4),
    }


@pytest.mark.parametrize(
    ("line", "kind", "text", "flows"),
    [
        ("client 1: send b'hello'", "bytes", "b'hello'", 1),
        ("client 1: sendto server b'hello'", "bytes", "server b'hello'", 1),
        ("client 1: recv b''", "bytes", "b''", -1),
        ("request 1: fault recv reset", "fault", "recv reset", 0),
        ("request 1: cut cut", "error", "cut", 0),
        ("request 1: error ValueError: no", "error", "ValueError: no", 0),
        ("test: advance 5 s", "time", "advance 5 s", 0),
        ("client 1: close", "life", "close", 0),
    ],
)
def test_what_it_is_is_seen(line: str, kind: str, text: str, flows: int) -> None:
    [row] = arrange(moments(f"1.5 {line}")).rows
    mark = row.mark
    assert mark == Mark(0, mark.kind, text, mark.more, 0, flows)
    assert mark.kind == kind
    assert mark.more.startswith("1.500  ")
    assert mark.more.endswith(line.partition(": ")[2])


def test_nothing_makes_no_picture() -> None:
    assert arrange([]) == Picture((), (), ())
