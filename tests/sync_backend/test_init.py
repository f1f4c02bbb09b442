from __future__ import annotations

import importlib
import os
import socket
import socketserver
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import sync_backend

#: The names of the standard library's module as of Python 3.14, where there is all that they need.
NAMES = {
    "BaseServer",
    "TCPServer",
    "UDPServer",
    "ThreadingMixIn",
    "ThreadingTCPServer",
    "ThreadingUDPServer",
    "BaseRequestHandler",
    "StreamRequestHandler",
    "DatagramRequestHandler",
}
UNIX_NAMES = {
    "UnixStreamServer",
    "UnixDatagramServer",
    "ThreadingUnixStreamServer",
    "ThreadingUnixDatagramServer",
}
#: Those that are not in the standard library.
POOL_NAMES = {"PoolMixIn", "PoolTCPServer", "PoolUDPServer"}
UNIX_POOL_NAMES = {"PoolUnixStreamServer", "PoolUnixDatagramServer"}
FORK_NAMES = {"ForkingMixIn", "ForkingTCPServer", "ForkingUDPServer"}
FORK_NAMES |= {"PreforkMixIn", "PreforkTCPServer", "PreforkUDPServer"}
UNIX_FORK_NAMES = {"ForkingUnixStreamServer", "ForkingUnixDatagramServer"}
UNIX_FORK_NAMES |= {"PreforkUnixStreamServer", "PreforkUnixDatagramServer"}
NAMES |= POOL_NAMES
UNIX_NAMES |= UNIX_POOL_NAMES


@contextmanager
def imported_where(monkeypatch: pytest.MonkeyPatch, *, unix: bool, fork: bool) -> Iterator[Any]:
    """Import the package anew, as on a system that lacks something."""
    with monkeypatch.context() as patch:
        for name in [name for name in sys.modules if name.startswith("sync_backend")]:
            patch.delitem(sys.modules, name)
        if not unix:
            patch.delattr(socket, "AF_UNIX")
        if not fork:
            patch.delattr(os, "fork")
        yield importlib.import_module("sync_backend")


def test_all_names_are_here() -> None:
    assert set(sync_backend.__all__) == NAMES | UNIX_NAMES | FORK_NAMES | UNIX_FORK_NAMES
    assert set(sync_backend.__all__) >= set(socketserver.__all__)
    for name in sync_backend.__all__:
        assert getattr(sync_backend, name).__name__ == name


@pytest.mark.parametrize(
    ("unix", "fork", "names"),
    [
        (False, True, NAMES | FORK_NAMES),
        (True, False, NAMES | UNIX_NAMES),
        (False, False, NAMES),
    ],
)
def test_a_system_that_lacks_something_has_the_other_names(
    unix: bool, fork: bool, names: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with imported_where(monkeypatch, unix=unix, fork=fork) as package:
        assert set(package.__all__) == names
        assert all(hasattr(package, name) for name in names)


def test_what_few_programs_use_is_loaded_when_it_is_asked_for() -> None:
    program = """if True:
        import sys
        before = set(sys.modules)  # What measures coverage loads some of them.
        import sync_backend
        rare = {"sync_backend.pool", "sync_backend.prefork", "logging", "random", "mmap"}
        loaded = rare & (set(sys.modules) - before)
        assert not loaded, loaded
        assert set(sync_backend.__all__) < set(dir(sync_backend))
        sync_backend.PoolTCPServer
        assert "sync_backend.prefork" not in sys.modules
        from sync_backend import *
        assert PreforkTCPServer is sync_backend.PreforkTCPServer
        """
    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_is_not_there_is_named() -> None:
    with pytest.raises(AttributeError, match="module 'sync_backend' has no attribute 'Pool'"):
        sync_backend.Pool  # type: ignore[attr-defined]  # noqa: B018 - asking is the test


def bases_of_sockets(module: Any) -> dict[str, list[str]]:
    """The ancestors of each server class that the standard library names too."""
    servers = {name for name in sync_backend.__all__ if name.endswith(("Server", "MixIn"))}
    return {
        name: [base.__name__ for base in getattr(module, name).__mro__ if base.__name__ in servers]
        for name in servers
        if hasattr(module, name)
    }


def test_classes_derive_from_each_other_as_in_the_standard_library() -> None:
    ours = bases_of_sockets(sync_backend)
    assert {name: ours[name] for name in bases_of_sockets(socketserver)} == bases_of_sockets(
        socketserver
    )
