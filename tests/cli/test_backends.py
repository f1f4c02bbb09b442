from __future__ import annotations

import sys

import pytest

from sansio_server.cli import blocking, nursery
from sansio_server.cli.backends import BACKENDS, Backend
from sansio_server.cli.console import CommandError


@pytest.mark.parametrize("name", BACKENDS)
def test_each_backend_can_be_loaded(name: str) -> None:
    module = nursery if name.startswith("trio") else blocking
    assert BACKENDS[name].load() is module.serve


def test_what_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "missing", None)
    with pytest.raises(CommandError, match="cannot be loaded: import of missing halted") as info:
        Backend("", "missing").load()
    assert info.value.status == 1
