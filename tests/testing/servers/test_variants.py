"""Server classes with attributes of a test's, and where they serve."""

from __future__ import annotations

import socket
import socketserver
from typing import Any

import pytest

import sync_backend
import trio_backend
from sansio_server.testing import Script, ScriptedServer, play
from sansio_server.testing.servers.variants import any_address, checked_handler, with_attributes


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


def test_what_is_no_class_of_servers_is_refused() -> None:
    with pytest.raises(TypeError, match="must be a class of servers, not <class 'dict'>"):
        with_attributes(dict, {})
    with pytest.raises(TypeError, match="must be a class of servers, not <class 'dict'>"):
        ScriptedServer(None, dict)


@pytest.mark.parametrize("server_class", [Own, socketserver.UDPServer, trio_backend.TCPServer])
def test_a_server_class_in_the_place_of_the_handler_is_refused(server_class: Any) -> None:
    match = f"{server_class.__name__} is a class of servers: that is given after the handler"
    with pytest.raises(TypeError, match=match):
        ScriptedServer(server_class)
    with pytest.raises(TypeError, match=match):
        play(Script(()), server_class)


@pytest.mark.parametrize("handler", [None, print, socketserver.BaseRequestHandler])
def test_handlers_are_left_as_they_are(handler: Any) -> None:
    assert checked_handler(handler) is handler
