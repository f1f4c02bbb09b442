"""What holds for every test: nothing is left behind, and random choices are the same each time."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.leftovers import Held, left_behind

# The same examples in each run, on each machine; a slow machine is no failure.
settings.register_profile(
    "repeatable",
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("repeatable")

# Compiled once, even where the environment is against it: to do so in each of the hundreds of
# processes that tests start, and to rewrite each assertion in each run, is a tenth of all the work.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A shell has what it starts in the background ignore Ctrl-C, and children would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Spare the collector what is there for good: the tests, and the modules that they are in."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail a test that leaves a thread, a child process or an open descriptor."""
    before = Held.now()
    yield
    if found := left_behind(before):
        pytest.fail("left behind:\n  " + "\n  ".join(found), pytrace=False)
