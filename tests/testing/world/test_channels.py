"""What lies between two sockets: bytes, ends, resets, and what may go wrong on the way."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator

import attrs
import pytest

from sansio_server.testing.world.channels import End, connect_ends
from sansio_server.testing.world.scheduler import Scheduler


@attrs.frozen
class Line:
    """A connection between two ends."""

    scheduler: Scheduler
    one: End
    other: End


@pytest.fixture
def line() -> Iterator[Line]:
    scheduler = Scheduler()
    yield Line(scheduler, *connect_ends(scheduler, 10))
    scheduler.close()


def put(end: End, data: bytes) -> int:
    return end.put(memoryview(data))


def number_of(call: Callable[[], object]) -> int | None:
    with pytest.raises(OSError) as caught:  # noqa: PT011 - its number is returned
        call()
    return caught.value.errno


def test_bytes_arrive_in_order_in_both_directions(line: Line) -> None:
    assert not line.other.ready_to_read()
    assert put(line.one, b"abc") == 3
    assert put(line.other, b"xyz") == 3
    assert line.other.ready_to_read()
    assert line.other.take(2, peek=True) == line.other.take(2) == b"ab"
    assert line.other.take(10) == b"c"
    assert line.one.take(10) == b"xyz"
    assert not line.one.ready_to_read()


def test_no_more_fits_than_there_is_room_for(line: Line) -> None:
    assert put(line.one, b"0123456789abc") == 10
    assert line.one.would_wait()
    assert put(line.one, b"abc") == 0
    assert line.other.take(4) == b"0123"
    assert not line.one.would_wait()
    assert put(line.one, b"abcdef") == 4


@pytest.mark.parametrize(
    ("wait_for", "act"),
    [
        ("incoming.readable", lambda line: put(line.other, b"x")),
        ("incoming.readable", lambda line: line.other.end()),
        ("incoming.readable", lambda line: line.other.reset()),
        ("incoming.readable", lambda line: line.one.stop_reading()),
        ("outgoing.writable", lambda line: line.other.take(1)),
        ("outgoing.writable", lambda line: line.other.reset()),
        ("outgoing.writable", lambda line: line.other.close()),
    ],
)
def test_who_waits_is_told(line: Line, wait_for: str, act: Callable[[Line], object]) -> None:
    put(line.one, b"0123456789")
    channel, _, name = wait_for.partition(".")
    signal = getattr(getattr(line.one, channel), name)
    woken: list[bool] = []
    line.scheduler.spawn("waiter", lambda: woken.append(line.scheduler.wait(signal)))
    line.scheduler.settle()
    assert woken == []
    act(line)
    line.scheduler.settle()
    assert woken == [True]


def test_the_end_comes_after_what_was_sent(line: Line) -> None:
    put(line.one, b"abc")
    line.one.end()
    assert (line.other.take(10), line.other.take(10), line.other.take(10)) == (b"abc", b"", b"")
    # The other direction goes on.
    put(line.other, b"x")
    assert line.one.take(1) == b"x"
    assert number_of(lambda: put(line.one, b"more")) == errno.EPIPE


def test_closing_ends_both_directions(line: Line) -> None:
    put(line.one, b"abc")
    line.one.close()
    assert line.other.take(10) == b"abc"
    assert line.other.take(10) == b""
    # What is sent to it is swallowed once; then it is known that nobody is there (tcp(7)).
    assert put(line.other, b"x") == 1
    assert number_of(lambda: put(line.other, b"y")) == errno.EPIPE


def test_closing_with_bytes_unread_resets_the_other_end(line: Line) -> None:
    put(line.other, b"unread")
    line.one.close()
    assert number_of(lambda: line.other.take(10)) == errno.ECONNRESET
    assert number_of(lambda: put(line.other, b"x")) == errno.EPIPE


def test_a_reset_is_told_once_to_each_end(line: Line) -> None:
    line.one.reset()
    assert line.other.ready_to_read()
    assert number_of(lambda: line.other.take(10)) == errno.ECONNRESET
    assert number_of(lambda: put(line.other, b"x")) == errno.EPIPE
    assert not line.other.would_wait()
    assert number_of(lambda: line.one.take(10)) == errno.ECONNRESET


def test_a_reset_after_the_end_is_told_to_who_sends(line: Line) -> None:
    line.one.end()
    assert line.other.take(10) == b""
    line.one.reset()
    assert line.other.take(10) == b""
    assert number_of(lambda: put(line.other, b"x")) == errno.EPIPE


def test_on_unix_sockets_a_closed_end_is_known_at_once(line: Line) -> None:
    line.one.told_at_once = line.other.told_at_once = True
    line.one.close()
    assert line.other.take(10) == b""
    assert number_of(lambda: put(line.other, b"x")) == errno.EPIPE


def test_an_end_that_is_shown_hides_what_was_sent(line: Line) -> None:
    put(line.one, b"lost")
    line.other.show_end()
    assert line.other.take(10) == b""
    assert put(line.one, b"lost, too, however much it is") == 10
    assert line.other.take(10) == b""
    # It does not count as unread.
    line.other.close()
    assert line.one.take(10) == b""


def test_a_mute_peer_is_given_up_in_time(line: Line) -> None:
    put(line.one, b"lost")
    line.other.mute(300.0)
    assert not line.other.ready_to_read()
    put(line.one, b"lost, too")
    line.one.end()
    line.scheduler.sleep(299.0)
    assert not line.other.ready_to_read()
    line.scheduler.sleep(1.0)
    assert number_of(lambda: line.other.take(10)) == errno.ECONNRESET


def test_who_has_closed_is_not_reset_by_time(line: Line) -> None:
    line.other.mute(300.0)
    line.other.close()
    line.scheduler.sleep(300.0)
    assert line.one.take(10) == b""


def test_a_slow_reader_takes_nothing_for_a_while(line: Line) -> None:
    line.one.hold(5.0)
    assert line.one.would_wait()
    assert put(line.one, b"x") == 0
    line.scheduler.sleep(5.0)
    assert not line.one.would_wait()
    assert put(line.one, b"x") == 1
