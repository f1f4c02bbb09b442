from __future__ import annotations

import pytest

from benchmarks.works import DEFAULT_WORKS, GROWTH_ALL, GROWTH_OPEN, QUICK_WORKS, Work


def test_a_name_says_everything() -> None:
    work = Work.parse("echo:64:p16:o100:free")
    assert (work.mode, work.peers, work.depth, work.open, work.free) == ("echo", 64, 16, 100, True)
    assert work.connections == 164


@pytest.mark.parametrize(
    ("name", "handler", "figure", "connections"),
    [
        ("echo:5", "lines", "cpu_us", 5),
        ("churn:16", "line", "cpu_us", 1),
        ("udp:16", "datagram", "cpu_us", 1),
        ("bulk:8", "blocks", "cpu_us", 8),
        ("idle:5000", "lines", "pss_kib", 5000),
        ("stop", "line", "stop_ms", 1),
        ("flood:64", "lines", "p99_us", 65),
    ],
)
def test_a_mode_decides_what_serves_and_what_counts(
    name: str, handler: str, figure: str, connections: int
) -> None:
    work = Work.parse(name)
    assert (work.handler, work.figure, work.connections) == (handler, figure, connections)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("ping:5", "'ping' is none of echo, churn"),
        ("echo:many", "'many' is not a number of peers"),
        ("echo:²", "'²' is not a number of peers"),
        ("echo:p", "'p' is not a number of peers"),
        ("echo:0", "peers are 1 to 10000"),
        ("echo:10001", "peers are 1 to 10000"),
        ("echo:1:p65", "the depth is 1 to 64"),
        ("echo:1:o10001", "open ones 0 to 10000"),
        ("churn:16:p2", "for echo alone"),
        ("udp:16:o2", "for echo alone"),
    ],
)
def test_a_name_without_a_meaning_is_refused(name: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Work.parse(name)


def test_the_works_of_a_run_are_named_once_each() -> None:
    for works in (DEFAULT_WORKS, QUICK_WORKS):
        assert len(set(works)) == len(works)
        for name in works:
            assert Work.parse(name).name == name
    assert {*GROWTH_ALL, *GROWTH_OPEN} <= set(DEFAULT_WORKS)


def test_growth_goes_by_powers_of_ten() -> None:
    for works in (GROWTH_ALL, GROWTH_OPEN):
        assert [Work.parse(name).connections for name in works] == [10, 100, 1000, 10_000]


def test_what_takes_long_gets_few_rounds() -> None:
    assert Work.parse("echo:10000").rounds == 1
    assert Work.parse("idle:5000").rounds == 2
    assert Work.parse("echo:64").rounds > 5
    assert Work.parse("flood:64").is_long
    assert not Work.parse("echo:1000").is_long
