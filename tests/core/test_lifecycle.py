"""The server's table, said a second time as rules, and what the machine makes of it."""

from __future__ import annotations

from itertools import product

import pytest

from sansio_server.exceptions import IllegalTransition
from sansio_server.lifecycle import REGIONS, SERVER_STATES, Event, Lifecycle, State

RUNNING = {State.SERVING, State.WAITING}
STOPPED = {State.STOP_KEPT, State.STOPPING}
DRAINING = {State.GRACE, State.CUTTING}

PAIRS = list(product(State, Event))


def region_of(state: State) -> str:
    [region] = [region for region, states in REGIONS.items() if state in states]
    return region


def after_in_loop(state: State, event: Event) -> State | None:
    running = state in RUNNING
    match event:
        # A stop ends what runs, or else what runs next; a close ends only what runs.
        case Event.SHUTDOWN if state is State.IDLE:
            return State.STOP_KEPT
        case Event.SHUTDOWN | Event.CLOSE:
            return State.STOPPING if running else state
        # No loop begins that would outrun a stop.
        case Event.SERVE | Event.WAIT if state in STOPPED:
            return State.STOPPING
        case Event.WAIT if state is not State.SERVING:
            return State.WAITING
        case Event.SERVE | Event.WAIT:
            return State.SERVING
        # What has begun may end at any time; it finds what it waits for only while it runs.
        case Event.LEAVE if running or state is State.STOPPING:
            return State.IDLE
        case Event.REQUEST | Event.TIMEOUT if running:
            return State.IDLE
    return None


def after_in_drain(state: State, event: Event) -> State | None:
    if event is Event.DRAIN:
        return State.GRACE
    if event is Event.EMPTY and state in DRAINING:
        return State.DRAINED
    if event is Event.DEADLINE and state in DRAINING:
        return State.CUTTING if state is State.GRACE else State.ABANDONED
    return None


# Where an event leads whatever came before: what a program does to its listener is its business.
ALWAYS = {
    "listener": {
        Event.BIND: State.BOUND,
        Event.ACTIVATE: State.ACTIVE,
        Event.CLOSE: State.CLOSED,
    },
    "accepting": {Event.SUSPEND: State.SUSPENDED, Event.RESUME: State.OPEN},
}


def after(state: State, event: Event) -> State | None:
    """Where an event leads, by rules; None where it cannot happen, or is none of the region's."""
    region = region_of(state)
    if region == "loop":
        return after_in_loop(state, event)
    if region == "drain":
        return after_in_drain(state, event)
    return ALWAYS[region].get(event)


def in_state(state: State) -> Lifecycle:
    """A machine with one region in `state` and the others at their beginning."""
    lifecycle = Lifecycle()
    setattr(lifecycle, region_of(state), state)
    lifecycle.loops = int(state in RUNNING | {State.STOPPING})
    return lifecycle


def states_of(lifecycle: Lifecycle) -> dict[str, State]:
    return {region: getattr(lifecycle, region) for region in REGIONS}


def knows(region: str, event: Event) -> bool:
    return any(after(state, event) is not None for state in REGIONS[region])


@pytest.mark.parametrize(("state", "event"), PAIRS, ids=lambda member: member.name)
def test_each_event_leads_where_the_rules_say(state: State, event: Event) -> None:
    assert SERVER_STATES[state].get(event) == after(state, event)


@pytest.mark.parametrize(("state", "event"), PAIRS, ids=lambda member: member.name)
def test_the_machine_moves_every_region_that_knows_the_event(state: State, event: Event) -> None:
    lifecycle = in_state(state)
    before = states_of(lifecycle)
    expected = {
        region: after(present, event) if knows(region, event) else present
        for region, present in before.items()
    }
    if None in expected.values():
        with pytest.raises(IllegalTransition, match=event.name):
            lifecycle.put(event)
        assert states_of(lifecycle) == before
        assert lifecycle.loops == int(state in RUNNING | {State.STOPPING})
    else:
        lifecycle.put(event)
        assert states_of(lifecycle) == expected


def test_a_refusal_says_what_was_refused_and_why() -> None:
    with pytest.raises(
        IllegalTransition, match=r"^LEAVE cannot happen to a server that is IDLE \(loop\)$"
    ):
        Lifecycle().put(Event.LEAVE)


def test_every_state_is_in_one_region_and_has_a_row() -> None:
    assert sorted(state for states in REGIONS.values() for state in states) == list(State)
    assert list(SERVER_STATES) == list(State)


def test_no_row_leads_out_of_its_region() -> None:
    for state, row in SERVER_STATES.items():
        assert {region_of(target) for target in row.values()} == {region_of(state)}


def test_every_event_is_known_to_some_region() -> None:
    assert {event for row in SERVER_STATES.values() for event in row} == set(Event)


def test_a_server_begins_at_the_first_state_of_each_region() -> None:
    assert states_of(Lifecycle()) == {region: states[0] for region, states in REGIONS.items()}


@pytest.mark.parametrize("region", REGIONS)
def test_every_state_can_be_reached(region: str) -> None:
    reached = {REGIONS[region][0]}
    while more := {t for s in reached for t in SERVER_STATES[s].values()} - reached:
        reached |= more
    assert reached == set(REGIONS[region])


@pytest.mark.parametrize("state", State, ids=lambda state: state.name)
def test_no_state_is_a_dead_end(state: State) -> None:
    assert set(SERVER_STATES[state].values()) - {state}


# Stopping.


@pytest.mark.parametrize("state", REGIONS["loop"], ids=lambda state: state.name)
@pytest.mark.parametrize("entry", [Event.SERVE, Event.WAIT], ids=lambda event: event.name)
def test_a_stop_ends_whatever_runs_or_comes_next(state: State, entry: Event) -> None:
    lifecycle = in_state(state)
    lifecycle.put(Event.SHUTDOWN)
    assert not lifecycle.running
    lifecycle.put(entry)
    assert not lifecycle.running


def test_a_stop_asked_for_early_ends_one_serve_even_on_a_closed_server() -> None:
    lifecycle = Lifecycle()
    lifecycle.put(Event.SHUTDOWN)
    lifecycle.put(Event.CLOSE)
    lifecycle.put(Event.SERVE)
    assert not lifecycle.running
    lifecycle.put(Event.LEAVE)
    lifecycle.put(Event.SERVE)
    assert lifecycle.running


def test_a_close_ends_the_loop_but_is_not_kept() -> None:
    lifecycle = Lifecycle()
    lifecycle.put(Event.SERVE)
    lifecycle.put(Event.CLOSE)
    assert not lifecycle.running
    lifecycle.put(Event.LEAVE)
    assert (lifecycle.listener, lifecycle.loop) == (State.CLOSED, State.IDLE)


def test_a_stop_while_loops_run_side_by_side_ends_all_and_any_that_begins() -> None:
    lifecycle = Lifecycle()
    for event in (Event.SERVE, Event.WAIT, Event.SHUTDOWN, Event.LEAVE):
        lifecycle.put(event)
    assert lifecycle.loop is State.STOPPING
    lifecycle.put(Event.WAIT)
    assert lifecycle.loop is State.STOPPING
    lifecycle.put(Event.LEAVE)
    lifecycle.put(Event.LEAVE)
    assert (lifecycle.loop, lifecycle.loops) == (State.IDLE, 0)


@pytest.mark.parametrize(
    "event", [Event.REQUEST, Event.TIMEOUT, Event.LEAVE], ids=lambda event: event.name
)
def test_a_loop_that_ends_leaves_those_beside_it_running(event: Event) -> None:
    lifecycle = Lifecycle()
    lifecycle.put(Event.WAIT)
    lifecycle.put(Event.WAIT)
    lifecycle.put(event)
    assert (lifecycle.loop, lifecycle.loops) == (State.WAITING, 1)
    lifecycle.put(event)
    assert (lifecycle.loop, lifecycle.loops) == (State.IDLE, 0)


# What a backend asks.


@pytest.mark.parametrize("loop", REGIONS["loop"], ids=lambda state: state.name)
@pytest.mark.parametrize("accepting", REGIONS["accepting"], ids=lambda state: state.name)
def test_requests_come_in_while_a_loop_runs_and_nobody_has_suspended_it(
    loop: State, accepting: State
) -> None:
    lifecycle = Lifecycle(loop=loop, accepting=accepting)
    assert lifecycle.running == (loop in RUNNING)
    assert lifecycle.may_accept == (loop in RUNNING and accepting is State.OPEN)


@pytest.mark.parametrize("state", REGIONS["loop"], ids=lambda state: state.name)
def test_in_a_child_no_loop_runs_and_a_kept_stop_is_kept(state: State) -> None:
    lifecycle = in_state(state)
    lifecycle.forget_loops()
    assert lifecycle.loops == 0
    assert lifecycle.loop is (State.STOP_KEPT if state is State.STOP_KEPT else State.IDLE)


def test_machines_are_themselves_alone() -> None:
    assert Lifecycle() != Lifecycle()
