"""Server classes with attributes of a test's, and where they serve."""

from __future__ import annotations

import socket
from typing import Any

import pytest

import sync_backend
from sansio_server.testing.servers.variants import any_address, with_attributes


class Own(sync_backend.TCPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Its own."""


def test_attributes_are_those_of_a_subclass() -> None:
    made = with_attributes(Own, {"max_connections": 3})
    assert made.max_connections == 3
    assert Own.max_connections is None
    assert (made.__name__, made.__bases__) == ("Own", (Own,))


def test_without_any_it_is_the_class_itself() -> None:
    assert with_attributes(Own, {}) is Own
    assert with_attributes(Own, {}, quiet=True) is Own


def test_what_it_does_not_have_is_refused() -> None:
    with pytest.raises(TypeError, match="Own has no attribute 'max_connection'"):
        with_attributes(Own, {"max_connection": 3})


def test_a_quiet_one_prints_no_errors(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise ValueError("for nobody to read")
    except ValueError:
        quiet = with_attributes(sync_backend.TCPServer, {}, quiet=True)
        quiet.handle_error(None, None, None)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("family", "address"),
    [
        (socket.AF_INET, ("127.0.0.1", 0)),
        (socket.AF_INET6, ("::1", 0)),
        (socket.AF_UNIX, "/folder/server"),
    ],
)
def test_any_address(family: int, address: Any) -> None:
    made = with_attributes(Own, {"address_family": family})
    assert any_address(made, "/folder") == address
