"""A process for each column, in which its scenarios are played.

So the columns are played at the same time, none sees what another left in the interpreter, and the
process is small: what a fork costs grows with the process that forks, and pytest's is large.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs
import trio._core._thread_cache

from tests.leftovers import Held, left_behind
from tests.parity.columns import Column, column_named
from tests.parity.scenarios import SCENARIOS
from tests.parity.stage import play

ROOT = Path(__file__).parents[2]

# Warnings are errors; but servers fork while the threads of the test run, on all columns alike.
_WARNINGS = ("-Werror", "-Wignore:This process:DeprecationWarning")

# Not measured: a measurement written at the end of each of a thousand children takes minutes.
_ENVIRONMENT = {
    name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_PROCESS")
}


@attrs.frozen
class Answer:
    """Traces by the kind of server and their form, and what else went wrong."""

    traces: dict[str, dict[str, list[str]]]
    problems: list[str]


class Player:
    """Asks a process to play scenarios on one column."""

    def __init__(self, column: str) -> None:
        self.column = column
        self._waiting = False
        self._start()

    def _start(self) -> None:
        # Made here, since the process is killed and cannot remove it.
        self._directory = tempfile.TemporaryDirectory(prefix="parity-")
        self._process = subprocess.Popen(
            [sys.executable, *_WARNINGS, "-m", __name__, self.column, self._directory.name],
            cwd=ROOT,
            env=_ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, scenario: str, way: str, *forms: str) -> None:
        """Have a scenario played with each kind of server, and the traces told in these forms."""
        if self._waiting:  # nobody waited for the last answer, which may never come
            self.close()
            self._start()
        self._waiting = True
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([scenario, way, *forms]) + "\n")
        self._process.stdin.flush()

    def answer(self) -> Answer:
        """Return what became of what was asked for."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the process of {self.column} has ended"
        self._waiting = False
        return Answer(**json.loads(line))

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()
        self._directory.cleanup()


def answer_all(column: Column, directory: Path, requests: Iterable[str]) -> None:
    """Play what the lines of *requests* ask for, and print the traces, a line for each."""
    unraisable: list[str] = []
    sys.unraisablehook = lambda args: unraisable.append(f"{args.err_msg} {args.exc_value!r}")
    for request in requests:
        name, way, *forms = json.loads(request)
        answer = _play_each_kind(name, column, way, directory, forms)
        answer.problems.extend(unraisable)
        unraisable.clear()
        sys.stdout.write(json.dumps(attrs.asdict(answer)) + "\n")
        sys.stdout.flush()


def _play_each_kind(
    name: str, column: Column, way: str, directory: Path, forms: Sequence[str]
) -> Answer:
    answer = Answer({}, [])
    for kind in SCENARIOS[name].kinds:
        before = Held.now()
        try:
            answer.traces[kind] = play(SCENARIOS[name], column, way, kind, directory, forms)
        except Exception:
            answer.problems.append(f"{kind}: {traceback.format_exc()}")
        answer.problems.extend(f"{kind}: left behind: {found}" for found in left_behind(before))
        if answer.problems:
            break  # the other kinds would take as long to fail
    return answer


if __name__ == "__main__":
    # Idle threads of trio's would be taken for some that were left behind.
    trio._core._thread_cache.IDLE_TIMEOUT = 0.005  # type: ignore[assignment]
    answer_all(column_named(sys.argv[1]), Path(sys.argv[2]), sys.stdin)
