from __future__ import annotations

import os
import signal

import pytest

from sansio_server.cli.signals import STOP_SIGNALS, telling


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_each_signal_is_told_and_does_nothing_else(number: signal.Signals) -> None:
    before = [signal.getsignal(each) for each in STOP_SIGNALS]
    told: list[signal.Signals] = []
    with telling(told.append):
        signal.raise_signal(number)
        signal.raise_signal(number)
    assert told == [number, number]
    assert [signal.getsignal(each) for each in STOP_SIGNALS] == before


def test_a_handler_that_python_did_not_set_becomes_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_handler = signal.signal
    former = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patched:
        patched.setattr(signal, "signal", lambda *args: set_handler(*args) and None)
        with telling(print):
            pass
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    signal.signal(signal.SIGTERM, former)
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 7), (signal.SIGTERM, -signal.SIGTERM)]
)
def test_a_forked_child_outlives_ctrl_c_alone(number: signal.Signals, status: int) -> None:
    told: list[signal.Signals] = []
    with telling(told.append):
        pid = os.fork()
        if pid == 0:
            signal.raise_signal(number)
            os._exit(7)
        _, ended = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(ended) == status
    assert told == []
