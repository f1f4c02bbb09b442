from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

from sansio_server.cli.events import Events


@contextmanager
def another_thread() -> Iterator[int]:
    """The ident of a thread that does nothing."""
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    try:
        assert thread.ident is not None
        yield thread.ident
    finally:
        end.set()
        thread.join()


def test_events_come_in_their_order() -> None:
    with closing(Events()) as events:
        events.put("first")
        events.put("second")
        assert [events.get(), events.get()] == ["first", "second"]


def test_there_may_be_none_in_time() -> None:
    with closing(Events()) as events:
        assert events.get(time.monotonic()) is None


def test_a_thread_ends_the_wait() -> None:
    with closing(Events()) as events:
        thread = threading.Thread(target=events.put, args=("from a thread",))
        thread.start()
        assert events.get() == "from a thread"
        thread.join()


def test_a_signal_ends_the_wait_though_no_call_is_interrupted() -> None:
    # As when it comes between the last look of the interpreter and the system call that waits.
    former = signal.getsignal(signal.SIGTERM)
    with closing(Events()) as events, another_thread() as other:
        try:
            signal.signal(signal.SIGTERM, lambda number, _: events.put(number))
            begin = threading.Timer(0, signal.pthread_kill, (other, signal.SIGTERM))
            begin.start()
            assert events.get(time.monotonic() + 30) == signal.SIGTERM
            begin.join()
        finally:
            signal.signal(signal.SIGTERM, former)


def test_what_comes_late_is_put_in_vain() -> None:
    events = Events()
    events.close()
    events.put("late")
    assert signal.set_wakeup_fd(-1) == -1
