"""Server classes made anew for each way to serve on real sockets."""

from __future__ import annotations

import socketserver

import pytest

import sync_backend
import trio_backend
from sansio_server.testing.real_sockets.backends import REAL_BACKENDS, backend_named, on_backend


def test_what_it_is_made_of() -> None:
    class Mixed(socketserver.ThreadingMixIn, socketserver.TCPServer):
        pass

    ways = {name: on_backend(Mixed, way) for name, way in REAL_BACKENDS.items()}
    assert issubclass(ways["threads"], sync_backend.ThreadingTCPServer.__bases__)
    assert issubclass(ways["forks"], (sync_backend.ForkingMixIn, sync_backend.TCPServer))
    assert not issubclass(ways["inline"], sync_backend.ThreadingMixIn)
    assert issubclass(ways["trio"], trio_backend.TCPServer)
    assert (
        on_backend(socketserver.ForkingTCPServer, REAL_BACKENDS["trio"]) is trio_backend.TCPServer
    )
    plain = on_backend(sync_backend.TCPServer, REAL_BACKENDS["threads"])
    assert issubclass(plain, sync_backend.ThreadingMixIn)


@pytest.mark.parametrize("backend", REAL_BACKENDS)
def test_the_plain_class_serves_streams(backend: str) -> None:
    made = on_backend(None, REAL_BACKENDS[backend])
    assert "TCPServer" in {base.__name__ for base in made.__mro__}


def test_a_name_that_no_backend_has() -> None:
    assert backend_named("trio") is REAL_BACKENDS["trio"]
    with pytest.raises(ValueError, match=r"backend must be one of inline, .*, not 'smoke'"):
        backend_named("smoke")
