"""Trio keeps threads for ten seconds; a test that looks for what is left would have to wait."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trio._core._thread_cache


@pytest.fixture(autouse=True, scope="session")
def idle_threads_end_soon() -> Iterator[None]:
    """Let trio's idle threads end before the end of the test is looked at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trio._core._thread_cache, "IDLE_TIMEOUT", 0.005)
        yield
