from __future__ import annotations

import fcntl
import os
import select
import signal
import termios
import threading
from collections.abc import Iterator

import pytest

from sync_backend.wakeup import Wakeup
from tests.sync_backend.support import PATIENCE, in_thread


def is_readable(wakeup: Wakeup) -> bool:
    return bool(select.select([wakeup], [], [], 0)[0])


@pytest.fixture
def wakeup() -> Iterator[Wakeup]:
    wakeup = Wakeup()
    yield wakeup
    wakeup.close()


def test_it_is_readable_from_wake_to_clear(wakeup: Wakeup) -> None:
    assert not is_readable(wakeup)
    wakeup.wake()
    wakeup.wake()
    assert is_readable(wakeup)
    wakeup.clear()
    assert not is_readable(wakeup)
    wakeup.clear()


def test_it_wakes_however_often_it_was_woken(wakeup: Wakeup) -> None:
    for _ in range(20_000):  # more than a pipe holds
        wakeup.wake()
    assert is_readable(wakeup)


def test_its_descriptors_are_not_inherited_by_programs(wakeup: Wakeup) -> None:
    assert not os.get_inheritable(wakeup.fileno())


def test_a_closed_one_is_silent(wakeup: Wakeup) -> None:
    wakeup.close()
    wakeup.close()
    wakeup.wake()
    assert wakeup.fileno() == -1
    assert not wakeup.usable


def test_a_forgotten_one_gives_its_descriptors_back() -> None:
    descriptor = Wakeup().fileno()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_a_forked_child_does_not_wake_its_parent(wakeup: Wakeup) -> None:
    pid = os.fork()
    if pid == 0:
        usable = wakeup.usable
        wakeup.wake()
        os._exit(usable)
    assert os.waitpid(pid, 0)[1] == 0
    assert not is_readable(wakeup)
    wakeup.wake()
    assert is_readable(wakeup)


@pytest.fixture
def harmless_signal() -> Iterator[None]:
    former = signal.signal(signal.SIGUSR1, lambda *_: None)
    yield
    signal.signal(signal.SIGUSR1, former)


@pytest.mark.usefixtures("harmless_signal")
def test_a_signal_makes_it_readable_while_it_is_told_of_them(wakeup: Wakeup) -> None:
    with wakeup.told_of_signals() as told:
        assert told
        os.kill(os.getpid(), signal.SIGUSR1)
        assert is_readable(wakeup)
        wakeup.clear()
    os.kill(os.getpid(), signal.SIGUSR1)
    assert not is_readable(wakeup)


@pytest.mark.usefixtures("harmless_signal")
def test_who_is_told_of_signals_already_stays_so(wakeup: Wakeup) -> None:
    other = Wakeup()
    with other.told_of_signals():
        with wakeup.told_of_signals() as told:
            assert not told
        os.kill(os.getpid(), signal.SIGUSR1)
        assert is_readable(other)
        assert not is_readable(wakeup)
    assert signal.set_wakeup_fd(-1) == -1
    other.close()


def test_outside_the_main_thread_signals_are_nobodys_business(wakeup: Wakeup) -> None:
    def look() -> None:
        with wakeup.told_of_signals() as told:
            assert told

    with in_thread(look):
        pass
    assert signal.set_wakeup_fd(-1) == -1


def _hear_a_signal() -> None:
    """Be a child that looks for signals as a loop does; exit with 0 if it hears of one."""
    heard: list[int] = []
    signal.alarm(int(PATIENCE))
    signal.signal(signal.SIGUSR1, lambda number, _: heard.append(number))
    wakeup = Wakeup()
    with wakeup.told_of_signals():
        os.kill(os.getppid(), signal.SIGUSR1)
        # Not by waiting: a signal that interrupts that is heard in any case.
        while not any(fcntl.ioctl(wakeup.fileno(), termios.FIONREAD, bytes(4))):
            pass
        wakeup.clear()
        os._exit(not heard)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_forked_by_any_thread_hears_of_signals() -> None:
    ready = threading.Event()
    former = signal.signal(signal.SIGUSR1, lambda *_: ready.set())
    try:
        statuses: list[int] = []

        def fork() -> None:
            pid = os.fork()
            if pid == 0:
                _hear_a_signal()
            assert ready.wait(PATIENCE)
            os.kill(pid, signal.SIGUSR1)
            statuses.append(os.waitpid(pid, 0)[1])

        with in_thread(fork):
            pass
        assert statuses == [0]
    finally:
        signal.signal(signal.SIGUSR1, former)
