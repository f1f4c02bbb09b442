"""Limits are checked when they are set; policies are functions of what they are told."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansio_server.limits import (
    BACKOFF_FIRST,
    BACKOFF_LARGEST,
    AcceptBackoff,
    Admission,
    Limits,
    admission,
)


def test_nothing_is_limited_unless_it_is_said() -> None:
    assert Limits() == Limits(
        max_connections=None,
        when_full="wait",
        request_timeout=None,
        drain_timeout=None,
        cut_timeout=5.0,
    )


@pytest.mark.parametrize("name", ["request_timeout", "drain_timeout", "cut_timeout"])
@pytest.mark.parametrize("value", [0, 0.0, 1, 2.5, math.inf, 10**400])
def test_times_are_numbers_from_nought(name: str, value: Any) -> None:
    assert getattr(Limits(**{name: value}), name) == value


@pytest.mark.parametrize("name", ["request_timeout", "drain_timeout", "cut_timeout"])
@pytest.mark.parametrize("value", [-1, -0.5, -math.inf, math.nan])
def test_other_numbers_are_no_times(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be 0 seconds or more, not {value!r}$"):
        Limits(**{name: value})


@pytest.mark.parametrize("name", ["request_timeout", "drain_timeout", "cut_timeout"])
@pytest.mark.parametrize("value", ["1", True, [1], 1j])
def test_what_is_no_number_is_no_time(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=f"^{name} must be a number of seconds, not "):
        Limits(**{name: value})


def test_those_who_are_cut_have_some_time_to_end() -> None:
    with pytest.raises(TypeError, match=r"^cut_timeout must be a number of seconds, not None$"):
        Limits(cut_timeout=None)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [0, -1])
def test_a_server_serves_somebody(value: int) -> None:
    with pytest.raises(ValueError, match=f"^max_connections must be 1 or more, .* not {value}$"):
        Limits(max_connections=value)


@pytest.mark.parametrize("value", [1.0, "1", True])
def test_clients_are_counted_in_whole_numbers(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^max_connections must be a whole number or None, not "):
        Limits(max_connections=value)


@pytest.mark.parametrize("value", ["", "WAIT", None, 1, ["wait"]])
def test_when_full_is_a_choice_of_two(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^when_full must be 'wait' or 'shed', not "):
        Limits(when_full=value)


# Admission.


@pytest.mark.parametrize("when_full", ["wait", "shed"])
@pytest.mark.parametrize("connections", [0, 1, 1_000_000])
def test_without_a_limit_all_come_in(connections: int, when_full: Any) -> None:
    assert admission(connections, None, when_full) is Admission.ACCEPT


@pytest.mark.parametrize(
    ("connections", "wait", "shed"),
    [
        (0, Admission.ACCEPT, Admission.ACCEPT),
        (1, Admission.ACCEPT, Admission.ACCEPT),
        (2, Admission.WAIT, Admission.SHED),
        (3, Admission.WAIT, Admission.SHED),
    ],
)
def test_within_a_limit_so_many_come_in(connections: int, wait: Admission, shed: Admission) -> None:
    assert admission(connections, 2, "wait") is wait
    assert admission(connections, 2, "shed") is shed


# Back-off.


def test_at_first_nothing_is_put_off() -> None:
    backoff = AcceptBackoff()
    assert not backoff.episode
    assert backoff.until == -math.inf


def test_each_failure_doubles_the_wait_up_to_a_second() -> None:
    backoff = AcceptBackoff()
    delays = []
    for _ in range(7):
        backoff = backoff.failed(10.0)
        assert backoff.episode
        assert backoff.until == 10.0 + backoff.delay
        delays.append(backoff.delay)
    assert delays == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0]


@given(st.lists(st.floats(0, 1e6), max_size=20))
def test_the_wait_is_never_shorter_than_before_nor_out_of_bounds(times: list[float]) -> None:
    backoff = AcceptBackoff()
    for now in times:
        longer = backoff.failed(now)
        assert backoff.delay <= longer.delay
        assert BACKOFF_FIRST <= longer.delay <= BACKOFF_LARGEST
        assert longer.until >= now
        backoff = longer
