"""What the short forms refuse, and how they say so."""

from __future__ import annotations

import socket
import socketserver
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import trio

from sansio_server.limits import Limits
from trio_backend import (
    ListenerServer,
    TCPServer,
    UDPServer,
    UnixDatagramServer,
    UnixStreamServer,
    serve_listeners,
    serve_tcp,
    serve_udp,
    serve_unix,
)
from trio_backend.arguments import (
    check,
    given_listeners,
    is_listener,
    look_up,
    named_hosts,
)

from .support import MemoryListener

HERE = "127.0.0.1"


# What no type checker lets through.
NOTHING: Any = None
TCP: Any = TCPServer
LISTENERS: Any = ListenerServer


async def handler(request: Any, client_address: Any, server: Any) -> None:
    """Nobody is served."""


def test_what_a_server_can_be_made_of() -> None:
    check(handler, Limits(), "threads", TCPServer, TCPServer)
    check(print, Limits(), "greenlets", UnixDatagramServer, UnixStreamServer, UnixDatagramServer)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (None, Limits(), "threads", TCPServer, TCPServer),
            "handler must be callable .*, not None",
        ),
        (
            (handler, None, "threads", TCPServer, TCPServer),
            "limits must be a sansio_server.Limits, not None",
        ),
        ((handler, {"a": 1}, "threads", TCPServer, TCPServer), "limits .*, not {'a': 1}"),
        (
            (handler, Limits(), "threads", socketserver.TCPServer, TCPServer),
            r"must be trio_backend\.TCPServer or derived from it, not <class 'socketserver\.TCP",
        ),
        (
            (handler, Limits(), "threads", TCPServer, UnixStreamServer, UnixDatagramServer),
            r"must be trio_backend\.UnixStreamServer or trio_backend\.UnixDatagramServer or deriv",
        ),
        ((handler, Limits(), "threads", "TCPServer", TCPServer), "not 'TCPServer'"),
    ],
)
def test_what_it_cannot_be_made_of(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        check(*arguments)


def test_where_handlers_cannot_run() -> None:
    with pytest.raises(ValueError, match=r"one of \['greenlets', 'threads'\], not 'tasks'"):
        check(handler, Limits(), "tasks", TCPServer, TCPServer)


@pytest.mark.parametrize(
    ("host", "hosts"),
    [
        (None, [None]),
        ("", [None]),
        (b"", [None]),
        ("name", ["name"]),
        (b"name", [b"name"]),
        (["one", "", b"two"], ["one", None, b"two"]),
        (iter(("one", "two")), ["one", "two"]),
    ],
)
def test_hosts(host: Any, hosts: list[Any]) -> None:
    assert named_hosts(host) == hosts


@pytest.mark.parametrize("host", [5, [HERE, 5], [None]])
def test_what_is_no_host(host: Any) -> None:
    with pytest.raises(TypeError, match="host must be a name or an address"):
        named_hosts(host)


def test_no_host_at_all() -> None:
    with pytest.raises(ValueError, match="no host"):
        named_hosts([])


async def test_each_address_is_looked_up_once() -> None:
    found = await look_up([HERE, "127.0.0.2", HERE.encode()], 65535, socket.SOCK_STREAM)
    assert found == [
        (socket.AF_INET, (HERE, 65535)),
        (socket.AF_INET, ("127.0.0.2", 65535)),
    ]


@pytest.mark.parametrize(
    ("port", "kind", "message"),
    [
        (-1, ValueError, "port must be 0 or more, not -1"),
        (65536, ValueError, "port must be 65535 or less, not 65536"),
        ("80", TypeError, "port must be a whole number, not '80'"),
        (None, TypeError, "port must be a whole number, not None"),
    ],
)
async def test_what_is_no_port(port: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        await look_up([HERE], port, socket.SOCK_STREAM)


async def test_a_host_that_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(*_: Any, **__: Any) -> Any:
        await trio.lowlevel.checkpoint()
        raise socket.gaierror(socket.EAI_NONAME, "unknown name")

    monkeypatch.setattr(trio.socket, "getaddrinfo", unknown)
    with pytest.raises(socket.gaierror, match="unknown name: cannot look up 'nowhere'") as caught:
        await look_up(["nowhere"], 0, socket.SOCK_STREAM)
    assert caught.value.errno == socket.EAI_NONAME


async def test_a_host_that_cannot_be_a_name() -> None:
    name = 70 * "x" + ".example.org"
    with pytest.raises(ValueError, match=f"host must be a name or an address, not '{name}'"):
        await look_up([name], 0, socket.SOCK_STREAM)


def test_listeners() -> None:
    listener = MemoryListener()
    assert is_listener(listener)
    assert given_listeners(iter([listener])) == [listener]
    with socket.socket() as sock:
        assert not is_listener(sock)  # it cannot be closed as trio does it


def test_one_listener_is_not_several() -> None:
    with pytest.raises(TypeError, match="listeners must be several of trio's listeners"):
        given_listeners(MemoryListener())


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (partial(serve_tcp, handler, 99999, host=HERE), "port must be 65535 or less"),
        (partial(serve_tcp, NOTHING, 0, host=HERE), "handler must be"),
        (partial(serve_tcp, handler, 0, host=HERE, limits=NOTHING), "limits must be"),
        (partial(serve_tcp, handler, 0, host=HERE, server_class=UDPServer), "one for streams"),
        (partial(serve_tcp, handler, 0, server_class=LISTENERS), r"trio_backend\.TCPServer"),
        (partial(serve_udp, handler, 99999, host=HERE), "port must be 65535 or less"),
        (partial(serve_udp, handler, 0, server_class=TCP), r"trio_backend\.UDPServer"),
        (partial(serve_unix, handler, "/x", server_class=TCP), r"trio_backend\.Unix"),
        (partial(serve_unix, NOTHING, "/x"), "handler must be"),
        (partial(serve_listeners, handler, NOTHING), "listeners must be"),
    ],
)
async def test_the_short_forms_refuse_it(start: Callable[..., Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        await start()


@pytest.mark.parametrize(
    "wrong",
    [
        {"handler": None},
        {"limits": None},
        {"server_class": TCPServer},
        {"blocking_handlers": "tasks"},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
async def test_listeners_are_closed_that_cannot_be_served_on(wrong: dict[str, Any]) -> None:
    listeners = [MemoryListener(), MemoryListener()]
    arguments = {"handler": handler, "listeners": listeners, **wrong}
    with pytest.raises((TypeError, ValueError)):
        await serve_listeners(**arguments)
    for listener in listeners:
        with pytest.raises(trio.ClosedResourceError):
            await listener.accept()


async def test_listeners_beside_something_else_are_closed() -> None:
    listeners = [MemoryListener(), MemoryListener()]
    given: list[Any] = [listeners[0], "no listener", listeners[1]]
    with pytest.raises(TypeError, match=r"must be a trio\.abc\.Listener, not 'no listener'"):
        await serve_listeners(handler, given)
    for listener in listeners:
        with pytest.raises(trio.ClosedResourceError):
            await listener.accept()
