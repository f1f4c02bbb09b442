from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sync_backend.servers import PatientServer, Sleeps, Upper
from tests.sync_backend.support import (
    HERE,
)


@pytest.fixture
def server() -> Iterator[PatientServer]:
    with PatientServer(HERE, Upper) as server:
        yield server


@pytest.fixture
def sleeps(monkeypatch: pytest.MonkeyPatch) -> Sleeps:
    return Sleeps(monkeypatch)
