from __future__ import annotations

import sys

import pytest

from sansio_server.cli import blocking
from sansio_server.cli.backends import BACKENDS, Backend
from sansio_server.cli.console import CommandError


@pytest.mark.parametrize("backend", BACKENDS.values(), ids=list(BACKENDS))
def test_each_backend_can_be_loaded(backend: Backend) -> None:
    assert backend.load() is blocking.serve


def test_what_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "missing", None)
    with pytest.raises(CommandError, match="cannot be loaded: import of missing halted") as info:
        Backend("", "missing").load()
    assert info.value.status == 1
