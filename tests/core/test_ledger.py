"""Places are taken and given back; what is counted comes out even."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import Context

import attrs
import pytest

from sansio_server.ledger import Counters, Ledger, Place, add_counters, current, in_hand


class Lock(AbstractContextManager[None]):
    """Notes how often it was held, and that it is not taken twice."""

    def __init__(self) -> None:
        self.held = False
        self.count = 0

    def __enter__(self) -> None:
        assert not self.held
        self.held = True
        self.count += 1

    def __exit__(self, *_: object) -> None:
        self.held = False


def counts(ledger: Ledger) -> dict[str, int]:
    """The counters that are not 0."""
    return {name: n for name, n in attrs.asdict(ledger.counters).items() if n}


DEADLINES = ((3, 5.0), (7, math.inf))


# Taking and giving back.


def test_a_place_says_whose_it_is_and_since_when() -> None:
    place = Ledger().take("key", "client", 5.0)
    assert (place.key, place.number, place.client_address, place.since) == ("key", 1, "client", 5.0)
    assert place.deadline == math.inf
    assert place.open
    assert (place.request, place.worker) == (None, None)
    assert (place.in_place, place.cut, place.passed_back) == (False, False, False)


def test_places_are_numbered_and_counted() -> None:
    ledger = Ledger()
    places = [ledger.take(key, "client", 0.0) for key in "abc"]
    assert [place.number for place in places] == [1, 2, 3]
    assert len(ledger) == 3
    assert counts(ledger) == {"accepted": 3}


def test_a_ledger_can_stand_as_another_did() -> None:
    ledger = Ledger()
    places = [ledger.reserve(number, "client", 1.0, deadline) for number, deadline in DEADLINES]
    ledger.number_from(9)
    assert [(place.key, place.number, place.deadline) for place in places] == [
        (3, 3, 5.0),
        (7, 7, math.inf),
    ]
    assert (ledger.next_deadline(), ledger.numbered) == (5.0, 8)
    assert ledger.take("key", "client", 2.0).number == 9
    assert ledger.find_exactly(3) is places[0]


def test_a_place_is_given_back_once() -> None:
    ledger = Ledger()
    place = ledger.take("key", "client", 0.0)
    place.request = object()
    assert ledger.give_back(place)
    assert (place.open, place.request) == (False, None)
    assert not ledger.give_back(place)
    assert len(ledger) == 0
    assert counts(ledger) == {"accepted": 1, "closed": 1}


def test_the_open_places_come_in_the_order_of_their_requests() -> None:
    ledger = Ledger()
    first, second, third = (ledger.take(key, "client", 0.0) for key in (7, 5, 6))
    ledger.give_back(second)
    fourth = ledger.take(5, "client", 0.0)
    assert list(ledger) == [first, third, fourth]


def test_a_ledger_may_change_while_it_is_looked_through() -> None:
    ledger = Ledger()
    for key in range(5):
        ledger.take(key, "client", 0.0)
    for place in ledger:
        ledger.give_back(place)
    assert len(ledger) == 0


def test_a_place_shows_whose_it_is() -> None:
    assert repr(Ledger().take("key", ("::1", 9), 0.0)) == "<Place 1 of ('::1', 9)>"


def test_places_are_themselves_alone() -> None:
    assert Place("key", 1, "client", 0.0) != Place("key", 1, "client", 0.0)
    assert len({Place("key", 1, "client", 0.0), Place("key", 1, "client", 0.0)}) == 2


# Keys.


def test_a_place_is_found_by_its_key() -> None:
    ledger = Ledger()
    place = ledger.take("key", "client", 0.0)
    assert ledger.find("key") is ledger.find_exactly("key") is place
    assert ledger.find("other") is ledger.find_exactly("other") is None
    ledger.give_back(place)
    assert ledger.find("key") is None


def test_a_key_that_comes_up_again_closes_the_former_place() -> None:
    ledger = Ledger()
    former = ledger.take("key", "client", 0.0)
    place = ledger.take("key", "client", 0.0)
    assert (former.open, place.open) == (False, True)
    assert list(ledger) == [place]
    assert counts(ledger) == {"accepted": 2, "closed": 1}
    assert not ledger.give_back(former)
    assert ledger.find("key") is place


class Descriptor(int):
    """A key, equal to its number; what is in `before` happens before it is looked up."""

    before: Callable[[], object] | None = None

    def __hash__(self) -> int:
        before, self.before = self.before, None
        if before is not None:
            before()
        return super().__hash__()


def test_a_key_may_come_up_again_while_its_former_place_is_being_given_back() -> None:
    """A worker has closed its descriptor, and gives back; in between the loop accepts it anew."""
    ledger = Ledger()
    key = Descriptor(7)
    former = ledger.take(key, "client", 0.0)
    key.before = lambda: ledger.take(7, "next", 0.0)
    ledger.give_back(former)
    [place] = ledger
    assert (former.open, place.open, place.client_address) == (False, True, "next")
    assert ledger.find(7) is place
    assert counts(ledger) == {"accepted": 2, "closed": 1}


def test_the_new_place_may_be_given_back_too_before_that_is_over() -> None:
    ledger = Ledger()
    key, same = Descriptor(7), Descriptor(7)
    former = ledger.take(key, "client", 0.0)

    def accept() -> None:
        place = ledger.take(same, "next", 0.0)
        same.before = lambda: ledger.give_back(place)

    key.before = accept
    ledger.give_back(former)
    assert list(ledger) == []
    assert counts(ledger) == {"accepted": 2, "closed": 2}


def test_the_owner_of_the_ledger_may_release_a_place_whose_key_comes_up_again() -> None:
    released: list[Place] = []
    ledger = Ledger(release=released.append)
    former = ledger.take("key", "client", 0.0)
    place = ledger.take("key", "client", 0.0)
    assert released == [former]
    assert ledger.find("key") is place


def test_a_place_may_move_to_another_key() -> None:
    ledger = Ledger()
    place = ledger.take("key", "client", 0.0)
    ledger.move(place, "pid")
    assert place.key == "pid"
    assert (ledger.find("key"), ledger.find("pid")) == (None, place)
    assert len(ledger) == 1
    assert ledger.give_back(place)
    assert len(ledger) == 0


def test_a_place_given_back_does_not_move() -> None:
    ledger = Ledger()
    place = ledger.take("key", "client", 0.0)
    ledger.give_back(place)
    ledger.move(place, "pid")
    assert ledger.find("pid") is None
    assert len(ledger) == 0


# Requests that were wrapped.


def context_of(place: Place | None) -> Context:
    """A context whose hooks have `place` in hand."""
    context = Context()
    context.run(current.set, place)
    return context


def test_an_unknown_key_is_another_name_of_what_is_in_hand() -> None:
    ledger = Ledger()
    place = ledger.take("key", "client", 0.0)
    context = context_of(place)
    assert context.run(ledger.find_exactly, "wrapped") is None
    assert context.run(ledger.find, "wrapped") is place
    assert ledger.find("wrapped") is ledger.find_exactly("wrapped") is place
    assert len(ledger) == 1
    assert list(ledger) == [place]


def test_with_its_place_all_names_of_a_request_are_forgotten() -> None:
    ledger = Ledger()
    place, other = ledger.take("key", "client", 0.0), ledger.take("other", "client", 0.0)
    context_of(place).run(ledger.find, "wrapped")
    context_of(other).run(ledger.find, "other wrapped")
    assert ledger.give_back(place)
    assert (ledger.find("key"), ledger.find("wrapped")) == (None, None)
    assert ledger.find("other wrapped") is other


def test_a_place_that_moves_is_not_found_by_its_former_names() -> None:
    ledger = Ledger()
    place = ledger.take("key", "client", 0.0)
    context_of(place).run(ledger.find, "wrapped")
    ledger.move(place, "pid")
    assert (ledger.find("wrapped"), ledger.find("pid")) == (None, place)


def test_a_name_that_comes_up_as_a_key_is_no_other_name_any_more() -> None:
    ledger = Ledger()
    place = ledger.take("key", "client", 0.0)
    context_of(place).run(ledger.find, "wrapped")
    other = ledger.take("wrapped", "client", 0.0)
    assert ledger.find("wrapped") is other
    ledger.give_back(other)
    assert ledger.find("wrapped") is None
    assert list(ledger) == [place]


def test_what_is_in_hand_can_be_asked_for() -> None:
    place = Ledger().take("key", "client", 0.0)
    assert context_of(place).run(in_hand) is place
    with pytest.raises(LookupError, match="no request is being served here"):
        context_of(None).run(in_hand)


def test_nothing_is_named_after_what_is_over_or_another_servers() -> None:
    ledger = Ledger()
    place = ledger.take("key", "client", 0.0)
    ledger.give_back(place)
    assert context_of(place).run(ledger.find, "wrapped") is None
    assert context_of(Ledger().take("key", "client", 0.0)).run(ledger.find, "wrapped") is None


def test_a_request_that_has_no_place_gets_one_but_was_not_accepted() -> None:
    ledger = Ledger()
    place = ledger.adopt("key", "client", 0.0, 5.0)
    assert (place.number, place.deadline) == (1, 5.0)
    assert counts(ledger) == {}
    ledger.give_back(place)
    assert counts(ledger) == {"closed": 1}


# Deadlines.


def test_without_deadlines_nothing_is_overdue() -> None:
    ledger = Ledger()
    ledger.take("key", "client", 0.0)
    assert ledger.next_deadline() == math.inf
    assert ledger.overdue(1e9) == []


def test_each_request_is_overdue_once_and_from_its_deadline_on() -> None:
    ledger = Ledger()
    late = ledger.take("late", "client", 0.0, 5.0)
    early = ledger.take("early", "client", 1.0, 2.0)
    assert (late.deadline, early.deadline) == (5.0, 3.0)
    assert ledger.next_deadline() == 3.0
    assert ledger.overdue(2.9) == []
    assert ledger.overdue(3.0) == [early]
    assert ledger.overdue(3.0) == []
    assert ledger.next_deadline() == 5.0
    assert ledger.overdue(9.0) == [late]
    assert ledger.next_deadline() == math.inf


def test_of_two_with_one_deadline_both_are_overdue() -> None:
    ledger = Ledger()
    places = [ledger.take(key, "client", 0.0, 5.0) for key in "ab"]
    assert ledger.overdue(5.0) == places


def test_what_is_closed_or_cut_is_not_overdue() -> None:
    ledger = Ledger()
    closed, cut = (ledger.take(key, "client", 0.0, 5.0) for key in "ab")
    ledger.give_back(closed)
    cut.cut = True
    assert ledger.next_deadline() == math.inf
    assert ledger.overdue(9.0) == []


def test_what_is_over_is_not_remembered_till_its_deadline() -> None:
    ledger = Ledger()
    slow = ledger.take("slow", "client", 0.0, 3600.0)
    for _ in range(1000):
        ledger.give_back(ledger.take("quick", "client", 0.0, 3601.0))
    assert len(ledger.deadlines) < 100
    assert ledger.next_deadline() == slow.deadline


# Counting, and the rest.


def test_anything_with_a_counter_is_counted() -> None:
    ledger = Ledger()
    for name in attrs.fields_dict(Counters):
        ledger.count(name)
    ledger.count("errors", 2)
    assert counts(ledger) == {**dict.fromkeys(attrs.fields_dict(Counters), 1), "errors": 3}


def test_errors_can_be_read_by_themselves() -> None:
    ledger = Ledger()
    ledger.count("errors")
    assert ledger.errors == ledger.counters.errors == 1


def test_what_has_no_counter_is_a_mistake() -> None:
    with pytest.raises(AttributeError):
        Ledger().count("luck")


def test_counters_that_were_read_do_not_change() -> None:
    ledger = Ledger()
    before = ledger.counters
    ledger.take("key", "client", 0.0)
    ledger.count("errors")
    assert before == Counters()


def test_places_that_nobody_has_in_hand_are_kept_by_an_override() -> None:
    ledger = Ledger()
    asked, served, kept = (ledger.take(key, "client", 0.0) for key in "abc")
    asked.request = object()
    served.worker = "thread"
    assert ledger.kept() == [kept]


def test_a_child_keeps_one_place_and_has_a_lock_of_its_own() -> None:
    former, latter = Lock(), Lock()
    ledger = Ledger(former)
    mine, other = (ledger.take(key, "client", 0.0, 5.0) for key in ("mine", "other"))
    context_of(mine).run(ledger.find, "mine wrapped")
    context_of(other).run(ledger.find, "other wrapped")
    former.held = True  # by a thread that a forked child does not have
    ledger.keep_only(mine, latter)
    assert list(ledger) == [mine]
    assert ledger.find_exactly("mine") is ledger.find_exactly("mine wrapped") is mine
    assert ledger.find_exactly("other") is ledger.find_exactly("other wrapped") is None
    assert ledger.overdue(9.0) == [mine]
    ledger.count("errors")
    assert latter.count == 2


def test_a_child_without_other_names_or_deadlines_keeps_its_place() -> None:
    ledger = Ledger()
    mine, _ = ledger.take("mine", "client", 0.0), ledger.take("other", "client", 0.0)
    ledger.keep_only(mine, Lock())
    assert list(ledger) == [mine]
    assert ledger.counters == Counters(accepted=2, closed=1)


def test_no_lock_is_taken_twice() -> None:
    lock = Lock()
    ledger = Ledger(lock)
    place = ledger.take("key", "client", 0.0, 5.0)
    context_of(place).run(ledger.find, "wrapped")
    ledger.adopt("key", "client", 0.0, 1.0)
    ledger.take("wrapped", "client", 0.0, 5.0)
    ledger.overdue(1.0)
    for other in ledger:
        ledger.give_back(other)
    assert len(ledger) == 0


def test_a_place_whose_key_comes_up_again_is_released_by_its_server() -> None:
    """Or its end would be missing in the trace: the thread that closed it comes too late."""
    released: list[Place] = []
    ledger = Ledger(release=released.append)
    former = ledger.take("key", "client", 0.0)
    ledger.take("key", "next", 0.0)
    assert released == [former]


def test_counters_are_added_reason_by_reason() -> None:
    assert add_counters(Counters(accepted=2, shed=1), Counters(accepted=3, closed=4)) == Counters(
        accepted=5, shed=1, closed=4
    )
    assert add_counters(Counters(cut=1)) == Counters(cut=1)
