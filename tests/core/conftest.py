"""What holds for every test of the core."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from sansio_server.deferred import waiting
from sansio_server.ledger import current


@pytest.fixture(autouse=True)
def nothing_waits() -> Iterator[None]:
    """Fail a test after which something is deferred, or a coroutine was never awaited."""
    yield
    gc.collect(0)  # a coroutine that nobody awaited warns here, and warnings are errors
    current.set(None)
    left, _ = waiting.get(), waiting.set(None)
    assert left is None
