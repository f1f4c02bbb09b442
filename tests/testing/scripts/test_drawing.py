"""Which faults happen: those asked for, and those drawn, always the same."""

from __future__ import annotations

from sansio_server.testing.scripts.drawing import Drawing
from sansio_server.testing.scripts.faults import Fault, FaultRule

RULES = (
    FaultRule("recv", "short", 0.2, amount=3),
    FaultRule("recv", "reset", 0.1, at_most=1),
    FaultRule("send", "short", 0.5, actor="request 2"),
)


def visit(drawing: Drawing, times: int = 200) -> list[Fault | None]:
    return [
        drawing.at(point, f"request {n % 3}", client=f"client {n % 3}")
        for n in range(times)
        for point in ("recv", "send", "accept")
    ]


def test_the_same_seed_draws_the_same() -> None:
    one, other = Drawing(rules=RULES, seed=1), Drawing(rules=RULES, seed=1)
    assert visit(one) == visit(other)
    assert one.fired == other.fired
    assert visit(Drawing(rules=RULES, seed=2)) != visit(Drawing(rules=RULES, seed=1))


def test_what_was_drawn_happens_again_when_it_is_asked_for() -> None:
    drawn = Drawing(rules=RULES, seed=1)
    visit(drawn)
    again = Drawing(drawn.fired)
    visit(again)
    assert again.fired == drawn.fired
    assert again.hit == drawn.hit


def test_rules_are_kept_to() -> None:
    drawing = Drawing(rules=RULES, seed=1)
    visit(drawing)
    kinds = [(fault.point, fault.kind, fault.amount) for fault in drawing.fired]
    assert 20 < kinds.count(("recv", "short", 3)) < 60
    assert kinds.count(("recv", "reset", None)) == 1
    assert {fault.actor for fault in drawing.fired if fault.point == "send"} == {"request 2"}
    assert len(drawing.hit) == 1


def test_counts_are_an_actors_own_where_one_is_named() -> None:
    drawing = Drawing([Fault("recv", "short", 2, "request 1"), Fault("recv", "eof", 2)])
    visit(drawing, 10)
    assert drawing.fired == [
        Fault("recv", "eof", 1, "request 1"),
        Fault("recv", "short", 2, "request 1"),
    ]
    assert drawing.hit == {1}
