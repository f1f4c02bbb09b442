from __future__ import annotations

import io
import sys
import time

import pytest

from sansio_server.cli.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    @property
    def shown(self) -> list[str]:
        return self.getvalue().split("\r\x1b[2K")[1:]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which goes on by a second whenever somebody looks."""
    times = [0.0]

    def monotonic() -> float:
        times[0] += 1.0
        return times[0]

    monkeypatch.setattr(time, "monotonic", monotonic)
    monkeypatch.setenv("TERM", "xterm")
    return times


def test_a_bar_grows(clock: list[float]) -> None:
    terminal = Terminal()
    progress = Progress(4, "seeds", terminal)
    for done in range(1, 5):
        progress.show(done)
    progress.clear()
    assert terminal.shown == [
        "███████·······················" + " 1 of 4 seeds, 1/s",
        "███████████████···············" + " 2 of 4 seeds, 1/s",
        "██████████████████████········" + " 3 of 4 seeds, 1/s",
        "██████████████████████████████" + " 4 of 4 seeds, 1/s",
        "",
    ]


def test_failures_are_counted(clock: list[float]) -> None:
    terminal = Terminal()
    Progress(2000, "seeds", terminal).show(1, 1)
    assert terminal.shown[0].endswith(" 1 of 2,000 seeds, 1/s, 1 failed")


def test_it_is_not_drawn_more_often_than_anybody_can_see(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sansio_server.cli.progress._INTERVAL", 10.0)
    terminal = Terminal()
    progress = Progress(100, "seeds", terminal)
    for done in range(1, 101):
        progress.show(done)
    assert len(terminal.shown) == 10


def test_nothing_is_shown_where_nobody_looks(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.StringIO()
    progress = Progress(2, "seeds", out)
    progress.show(1)
    progress.clear()
    assert out.getvalue() == ""
    monkeypatch.setenv("TERM", "dumb")
    terminal = Terminal()
    Progress(2, "seeds", terminal).show(1)
    assert terminal.getvalue() == ""


@pytest.mark.parametrize("error", [OSError("gone"), UnicodeEncodeError("ascii", "█", 0, 1, "no")])
def test_a_terminal_that_takes_nothing_is_left_alone(
    clock: list[float], error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    asked = 0

    def write(text: str) -> int:
        nonlocal asked
        asked += 1
        raise error

    monkeypatch.setattr(terminal, "write", write)
    progress = Progress(2, "seeds", terminal)
    progress.show(1)
    progress.show(2)
    progress.clear()
    assert asked == 1


def test_a_bar_that_has_nowhere_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    progress = Progress(2, "seeds")
    progress.show(1)
    progress.clear()
