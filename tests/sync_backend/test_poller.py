from __future__ import annotations

import math
import os
import socket
from collections.abc import Iterator

import pytest

from sync_backend.poller import Poller
from sync_backend.wakeup import Wakeup


class Listener:
    """Something with a descriptor, which may change."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()

    def fileno(self) -> int:
        return self.ours.fileno()

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.close()


@pytest.fixture
def wakeup() -> Iterator[Wakeup]:
    wakeup = Wakeup()
    yield wakeup
    wakeup.close()


@pytest.fixture
def poller(listener: Listener, wakeup: Wakeup) -> Iterator[Poller]:
    poller = Poller(listener, wakeup, ())
    yield poller
    poller.close()


def test_a_client_ends_the_sleep(poller: Poller, listener: Listener) -> None:
    listener.theirs.send(b"x")
    assert poller.wait(True, math.inf)


def test_time_ends_the_sleep(poller: Poller) -> None:
    assert not poller.wait(True, 0.001)
    assert not poller.wait(True, -1)


def test_a_wake_up_ends_the_sleep_once(poller: Poller, wakeup: Wakeup) -> None:
    wakeup.wake()
    assert not poller.wait(True, math.inf)
    assert not poller.wait(True, 0)


def test_nobody_is_listened_to_unless_wanted(poller: Poller, listener: Listener) -> None:
    listener.theirs.send(b"x")
    assert not poller.wait(False, 0)
    assert poller.wait(True, math.inf)
    assert not poller.wait(False, 0)


def test_another_descriptor_ends_the_sleep(listener: Listener, wakeup: Wakeup) -> None:
    reader, writer = os.pipe()
    poller = Poller(listener, wakeup, [reader])
    os.write(writer, b"x")
    assert not poller.wait(True, math.inf)
    poller.close()
    os.close(reader)
    os.close(writer)


def test_a_listener_that_was_swapped_is_followed(poller: Poller, listener: Listener) -> None:
    assert not poller.wait(True, 0)
    other = Listener()
    listener.ours, other.ours = other.ours, listener.ours
    listener.theirs.send(b"x")  # to the socket that is no longer the listener
    assert not poller.wait(True, 0)
    other.theirs.send(b"x")
    assert poller.wait(True, math.inf)
    other.close()


def test_a_closed_listener_is_an_error_only_where_it_is_listened_to(
    poller: Poller, listener: Listener
) -> None:
    assert not poller.wait(True, 0)
    listener.close()
    assert not poller.wait(False, 0)
    with pytest.raises(ValueError, match="-1"):
        poller.wait(True, 0)


def test_a_sleep_may_be_longer_than_the_system_can_count(
    poller: Poller, listener: Listener
) -> None:
    listener.theirs.send(b"x")
    assert poller.wait(True, 1e300)
