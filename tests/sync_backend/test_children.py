"""Which children have exited.

Real children: what is tested is what the kernel tells of them.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import time
from collections.abc import Iterator

import pytest

from sync_backend.children import LOOK_INTERVAL, Children
from tests.sync_backend.support import PATIENCE, descriptors


class Child:
    """A child process that lives until it is ended."""

    def __init__(self) -> None:
        self.pid = os.fork()
        if self.pid == 0:
            while True:
                signal.pause()

    def end(self) -> None:
        """Let it exit, and wait until it has, but do not reap it."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)

    def reap(self) -> None:
        self.end()
        os.waitpid(self.pid, 0)


@pytest.fixture
def children() -> Iterator[Children]:
    children = Children()
    yield children
    children.close()


@pytest.fixture
def child() -> Iterator[Child]:
    child = Child()
    yield child
    child.reap()


def without_pidfds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")


def test_only_a_child_that_has_exited_is_named(children: Children, child: Child) -> None:
    other = Child()
    pids = [child.pid, other.pid]
    children.watch(child.pid)
    children.watch(other.pid)
    assert children.all_watched(pids)
    assert children.maybe_exited(pids) == []
    child.end()
    assert children.maybe_exited(pids) == [child.pid]
    children.unwatch(child.pid)
    assert children.maybe_exited([other.pid]) == []
    other.reap()


def test_a_child_that_is_not_watched_may_have_exited(children: Children, child: Child) -> None:
    assert not children.all_watched([child.pid])
    assert children.maybe_exited([child.pid]) == [child.pid]


def test_a_child_that_exited_before_it_was_watched_is_named(
    children: Children, child: Child
) -> None:
    child.end()
    children.watch(child.pid)
    assert children.all_watched([child.pid])
    assert children.maybe_exited([child.pid]) == [child.pid]


def test_the_descriptor_becomes_readable_at_an_exit(children: Children, child: Child) -> None:
    [descriptor] = children.descriptors()
    children.watch(child.pid)
    assert [descriptor] == list(children.descriptors())
    assert select.select([descriptor], [], [], 0)[0] == []
    child.end()
    assert select.select([descriptor], [], [], PATIENCE)[0] == [descriptor]
    children.unwatch(child.pid)
    assert select.select([descriptor], [], [], 0)[0] == []


def test_a_child_forked_later_does_not_keep_a_reaped_one_readable(
    children: Children, child: Child
) -> None:
    children.watch(child.pid)
    heir = Child()  # which has the descriptor of the first
    child.end()
    children.unwatch(child.pid)
    assert children.maybe_exited([]) == []
    heir.reap()


def test_waiting_ends_with_a_child(children: Children, child: Child) -> None:
    children.watch(child.pid)
    child.end()
    children.wait([child.pid], 60)


def test_waiting_ends_with_its_time(children: Children, child: Child) -> None:
    children.watch(child.pid)
    children.wait([child.pid], 0.001)


@pytest.mark.parametrize("timeout", [60, 0])
def test_waiting_for_an_unwatched_child_ends_soon(
    children: Children, child: Child, timeout: float
) -> None:
    begun = time.monotonic()
    children.wait([child.pid], timeout)
    assert time.monotonic() - begun < PATIENCE
    assert LOOK_INTERVAL < PATIENCE


def test_waiting_without_a_descriptor_to_spare_ends_soon(
    children: Children, child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_descriptor: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    children.watch(child.pid)
    with monkeypatch.context() as patch:
        patch.setattr(os, "dup", fail)
        children.wait([child.pid], 60)


def test_waiting_leaves_no_descriptor_open(children: Children, child: Child) -> None:
    children.watch(child.pid)
    before = descriptors()
    children.wait([child.pid], 0)
    assert descriptors() == before


def test_without_pidfds_every_child_is_to_be_asked_for(
    children: Children, child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_pidfds(monkeypatch)
    children.watch(child.pid)
    assert children.maybe_exited([child.pid]) == [child.pid]


def test_without_epoll_there_is_no_descriptor(
    children: Children, child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    before = descriptors()
    monkeypatch.setattr(select, "epoll", fail)
    assert list(children.descriptors()) == []
    children.watch(child.pid)
    assert not children.all_watched([child.pid])
    assert descriptors() == before


def test_a_dead_pid_is_not_watched(children: Children) -> None:
    child = Child()
    child.reap()
    children.watch(child.pid)
    assert not children.all_watched([child.pid])
    children.unwatch(child.pid)


def test_closing_gives_all_back_and_watching_begins_anew(children: Children, child: Child) -> None:
    before = descriptors()
    children.watch(child.pid)
    assert descriptors() == before + 2
    children.close()
    children.close()
    assert descriptors() == before
    assert children.maybe_exited([child.pid]) == [child.pid]
    children.watch(child.pid)
    assert children.all_watched([child.pid])
    child.end()
    children.wait([child.pid], 60)


def test_closing_while_another_looks_is_harmless(children: Children, child: Child) -> None:
    children.watch(child.pid)
    children._epoll.close()  # as seen by who asked for it before it was closed
    assert children.maybe_exited([child.pid]) == []
    other = Child()
    children.watch(other.pid)
    assert not children.all_watched([other.pid])
    children.unwatch(child.pid)
    assert children.maybe_exited([child.pid]) == [child.pid]
    other.reap()


class Vanishing:
    """An epoll instance that another thread closes during each call."""

    def poll(self, _timeout: float) -> list[tuple[int, int]]:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    def fileno(self) -> int:
        raise ValueError("I/O operation on closed epoll object")

    def close(self) -> None:
        """Closed it is."""


def test_closing_while_another_is_looking_is_harmless(children: Children, child: Child) -> None:
    children._epoll = Vanishing()
    assert children.maybe_exited([child.pid]) == [child.pid]
    assert children.descriptors() == ()


@pytest.mark.parametrize("watched", [True, False])
def test_a_signal_reaches_a_child(children: Children, watched: bool) -> None:
    child = Child()
    if watched:
        children.watch(child.pid)
    children.send_signal(child.pid, signal.SIGTERM)
    _, status = os.waitpid(child.pid, 0)
    assert os.WTERMSIG(status) == signal.SIGTERM
    children.send_signal(child.pid, signal.SIGTERM)  # to nobody


def test_no_stranger_gets_a_signal(
    children: Children, child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    children.watch(child.pid)
    monkeypatch.setattr(os, "kill", None)  # by pid it might be one
    children.send_signal(child.pid, signal.SIGCONT)
    monkeypatch.undo()
