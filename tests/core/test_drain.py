"""The course of a drain, with time and endings as a test says."""

from __future__ import annotations

import math

import attrs
import pytest

from sansio_server.drain import Drain, DrainReport, DrainStep, Straggler
from sansio_server.ledger import Ledger, Place
from sansio_server.lifecycle import Lifecycle, State
from sansio_server.limits import Limits


@attrs.define
class Course:
    """A drain that begins at time 100, of requests from "a", "b", ..."""

    clients: str = "ab"
    drain_timeout: float | None = 10.0
    cut_timeout: float = 5.0
    lifecycle: Lifecycle = attrs.Factory(Lifecycle)
    places: list[Place] = attrs.field(init=False)
    drain: Drain = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        ledger = Ledger()
        self.places = [ledger.take(client, client, 0.0) for client in self.clients]
        limits = Limits(drain_timeout=self.drain_timeout, cut_timeout=self.cut_timeout)
        self.drain = Drain(self.lifecycle, limits, 100.0, iter(self.places))

    def step(self, now: float, left: str) -> DrainStep | None:
        return self.drain.step(now, (p for p in self.places if p.client_address in left))

    def state(self) -> State:
        return self.lifecycle.drain


def test_a_drain_of_nothing_is_over_at_once() -> None:
    course = Course("")
    assert course.state() is State.GRACE
    assert course.step(100.0, "") is None
    assert course.state() is State.DRAINED
    assert course.drain.report(100.0) == DrainReport((), (), 0.0)


def test_grace_lasts_until_its_deadline_or_the_last_end() -> None:
    course = Course()
    assert course.step(100.0, "ab") == DrainStep((), 110.0)
    assert course.step(104.0, "b") == DrainStep((), 110.0)
    assert course.step(108.0, "") is None
    assert course.state() is State.DRAINED
    assert course.drain.report(108.0) == DrainReport(("a", "b"), (), 8.0)


def test_without_a_deadline_grace_has_no_end() -> None:
    course = Course(drain_timeout=None)
    assert course.step(1e9, "a") == DrainStep((), math.inf)
    assert course.step(2e9, "") is None


def test_those_left_at_the_deadline_are_cut_once() -> None:
    course = Course("abc")
    assert course.step(100.0, "abc") == DrainStep((), 110.0)
    a, _, c = course.places
    assert course.step(110.0, "ca") == DrainStep((a, c), 115.0)
    assert course.state() is State.CUTTING
    assert course.step(111.0, "ca") == DrainStep((), 115.0)


def test_without_grace_all_are_cut_at_once() -> None:
    course = Course(drain_timeout=0.0)
    assert course.step(100.0, "ab") == DrainStep(tuple(course.places), 105.0)


def test_time_to_end_counts_from_the_cut() -> None:
    course = Course()
    assert course.step(117.0, "ab") == DrainStep(tuple(course.places), 122.0)


def test_those_cut_who_end_are_reported_with_where_they_were() -> None:
    course = Course()
    step = course.step(110.0, "b")
    assert step is not None
    for place in step.cut:
        course.drain.cut(place, "in recv()")
    assert course.step(111.0, "") is None
    assert course.state() is State.DRAINED
    report = course.drain.report(111.0)
    assert report == DrainReport(("a",), (Straggler(2, "b", "in recv()", True),), 11.0)
    assert report.left == ()


def test_those_who_do_not_end_even_so_are_left_behind() -> None:
    course = Course("abc")
    step = course.step(110.0, "bc")
    assert step is not None
    for place in step.cut:
        course.drain.cut(place, f"where {place.client_address} was")
    assert course.step(112.0, "c") == DrainStep((), 115.0)
    assert course.step(115.0, "c") is None
    assert course.state() is State.ABANDONED
    report = course.drain.report(115.0)
    assert report.finished == ("a",)
    assert report.cut == (
        Straggler(2, "b", "where b was", True),
        Straggler(3, "c", "where c was", False),
    )
    assert report.left == report.cut[1:]


def test_an_end_at_the_last_moment_counts() -> None:
    course = Course("a")
    course.step(110.0, "a")
    assert course.step(115.0, "") is None
    assert course.state() is State.DRAINED


def test_a_drain_that_an_exception_ended_does_not_shorten_the_next() -> None:
    lifecycle = Lifecycle()
    Course(lifecycle=lifecycle).step(110.0, "ab")
    assert lifecycle.drain is State.CUTTING
    course = Course(lifecycle=lifecycle)
    assert course.step(109.0, "ab") == DrainStep((), 110.0)
    assert course.step(110.0, "ab") == DrainStep(tuple(course.places), 115.0)


@pytest.mark.parametrize("left", ["", "a"])
def test_a_server_may_be_drained_again(left: str) -> None:
    lifecycle = Lifecycle()
    course = Course("a", lifecycle=lifecycle)
    course.step(110.0, left)
    if left:
        course.step(115.0, left)
    again = Course("b", lifecycle=lifecycle)
    assert again.step(100.0, "b") == DrainStep((), 110.0)
    assert again.step(101.0, "") is None


def test_a_report_can_be_read() -> None:
    report = DrainReport(
        finished=("a", "b"),
        cut=(
            Straggler(7, ("::1", 5), "File one\n  line two\n", True),
            Straggler(8, "c", "", False),
        ),
        seconds=12.3456,
    )
    assert str(report).splitlines() == [
        "drained in 12.346 s: 2 finished, 2 cut, 1 left behind",
        "cut: request 7 from ('::1', 5)",
        "    File one",
        "      line two",
        "left behind: request 8 from 'c'",
    ]
