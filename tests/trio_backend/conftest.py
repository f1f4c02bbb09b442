"""What holds for every test of the trio backend: async tests are run by trio."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from pytest_trio.enable_trio_mode import *  # type: ignore[import-untyped]  # noqa: F403

from sansio_server.deferred import waiting
from tests.idle_threads import idle_threads_end_soon  # noqa: F401 - pytest finds it here


@pytest.fixture(autouse=True)
def nothing_waits() -> Iterator[None]:
    """Fail a test after which something is deferred, or a coroutine was never awaited."""
    yield
    gc.collect(0)  # a coroutine that nobody awaited warns here, and warnings are errors
    left, _ = waiting.get(), waiting.set(None)
    assert left is None
