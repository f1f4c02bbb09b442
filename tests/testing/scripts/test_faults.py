"""Faults and rules: what they accept, and what they say of what they don't."""

from __future__ import annotations

import re
from typing import Any

import pytest

from sansio_server.testing.scripts.faults import (
    DATAGRAM_FAULTS,
    DEFAULT_FAULTS,
    FAULT_KINDS,
    Fault,
    FaultRule,
)


@pytest.mark.parametrize(
    ("point", "kind"), [(point, kind) for point, kinds in FAULT_KINDS.items() for kind in kinds]
)
def test_every_kind_can_be_asked_for_at_its_point(point: str, kind: str) -> None:
    assert Fault(point, kind) == Fault(point, kind, nth=1, actor=None, amount=None)
    assert FaultRule(point, kind, 0.5).at_most is None


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("accpet", "EMFILE"), ValueError, "point must be one of accept, recv, "),
        (("accept", "reset"), ValueError, "kind of a fault at accept must be one of EMFILE, "),
        (("accept", "EMFILE", 0), ValueError, "nth must be 1 or more, not 0"),
        (("recv", "reset", 1, 3), TypeError, "actor must be an actor's name or None, not 3"),
        (("recv", "delay", 1, None, 0), ValueError, "amount must be more than 0, not 0"),
        (("recv", "delay", 1, None, "1"), TypeError, "amount must be a number or None, not '1'"),
    ],
)
def test_what_a_fault_cannot_be(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        Fault(*arguments)


@pytest.mark.parametrize(
    ("probability", "error"), [(-0.1, ValueError), (1.1, ValueError), ("1", TypeError)]
)
def test_a_probability_is_from_0_to_1(probability: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"probability must be .*from 0 to 1, not "):
        FaultRule("recv", "reset", probability)


def test_a_rule_may_say_how_often() -> None:
    with pytest.raises(ValueError, match="at_most must be 1 or more, not 0"):
        FaultRule("recv", "reset", 0.5, at_most=0)


def test_the_default_rules_are_what_python_shows_to_programs() -> None:
    assert all(rule.kind not in {"EINTR", "EAGAIN"} or rule.point == "fork"
               for rule in (*DEFAULT_FAULTS, *DATAGRAM_FAULTS))  # fmt: skip
