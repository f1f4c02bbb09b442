"""Server classes on other bases: what the program wrote stays, what the library wrote goes."""

from __future__ import annotations

import abc
import functools
import http.server
import socketserver
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sync_backend
import trio_backend
from sansio_server.testing import ScriptedServer, in_memory
from sansio_server.testing.servers.adoption import rebased
from trio_backend import blocking


class TCPServer:
    """Notes what it is told."""

    socket_type = "memory"

    def __init__(self, *args: object) -> None:
        self.log: list[str] = []

    def verify_request(self, request: object, client_address: object) -> bool:
        self.log.append("verify")
        return True

    def server_bind(self) -> None:
        self.log.append("bind")


class ThreadingMixIn:
    def verify_request(self, request: object, client_address: object) -> Any:
        self.log.append("in memory, concurrently")  # type: ignore[attr-defined]
        return super().verify_request(request, client_address)  # type: ignore[misc]


class ThreadingTCPServer(ThreadingMixIn, TCPServer):
    pass


MEMORY: dict[str, type] = {
    each.__name__: each for each in (TCPServer, ThreadingMixIn, ThreadingTCPServer)
}


class Plain:
    """A mix-in of the program's with nothing of a library behind it."""

    def verify_request(self, request: object, client_address: object) -> Any:
        self.log.append("plain")  # type: ignore[attr-defined]
        return super().verify_request(request, client_address)  # type: ignore[misc]


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(self: Any, *args: Any) -> Any:
        self.log.append("decorated")
        return function(self, *args)

    return wrapper


def bare(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, *args: function(self, *args)


class Mine(socketserver.TCPServer):
    allow_reuse_address = True

    def verify_request(self, request: Any, client_address: Any) -> bool:
        self.log.append("mine")  # type: ignore[attr-defined]
        return super().verify_request(request, client_address)


class Derived(Plain, Mine):
    @logged
    def verify_request(self, request: Any, client_address: Any, *, quiet: bool = False) -> bool:
        return bool(super().verify_request(request, client_address))


def test_methods_call_what_is_behind_them_now() -> None:
    made: Any = rebased(Derived, MEMORY)
    server = made()
    assert server.verify_request(None, None)
    assert server.log == ["decorated", "plain", "mine", "verify"]
    assert isinstance(server, TCPServer)
    assert not isinstance(server, socketserver.BaseServer)
    assert (made.__name__, made.__module__, made.__qualname__) == ("Derived", __name__, "Derived")
    assert made.allow_reuse_address is True


def test_what_was_there_stays_as_it_was() -> None:
    before = Derived.__mro__, dict(vars(Derived))
    rebased(Derived, MEMORY)
    assert (Derived.__mro__, dict(vars(Derived))) == before
    assert Plain in rebased(Derived, MEMORY).__mro__


@pytest.mark.parametrize("library", [socketserver, sync_backend, trio_backend])
def test_classes_of_every_library(library: Any) -> None:
    assert rebased(library.TCPServer, MEMORY) is TCPServer
    made = rebased(type("Own", (library.TCPServer,), {}), MEMORY)
    assert made.__bases__ == (TCPServer,)


def test_a_mix_in_of_the_library() -> None:
    class Server(Plain, socketserver.ThreadingMixIn, Mine):
        pass

    server = rebased(Server, MEMORY)()
    server.verify_request(None, None)
    assert server.log == ["plain", "in memory, concurrently", "mine", "verify"]


def test_what_is_in_memory_already_stays() -> None:
    class Here(ThreadingTCPServer):
        pass

    assert rebased(Here, MEMORY) is Here
    assert rebased(TCPServer, MEMORY) is TCPServer


def test_a_server_of_the_standard_library_of_its_own() -> None:
    made = rebased(http.server.HTTPServer, MEMORY)
    assert made.__mro__[:2] == (made, TCPServer)
    assert made.allow_reuse_address  # type: ignore[attr-defined]


def test_all_that_a_class_can_hold() -> None:
    class Full(abc.ABC, socketserver.TCPServer):
        __slots__ = ("slot",)

        @property
        def shown(self) -> str:
            return super().socket_type  # type: ignore[return-value]

        @functools.cached_property
        def kept(self) -> str:
            return super().socket_type  # type: ignore[return-value]

        @classmethod
        def made(cls) -> type:
            return __class__  # type: ignore[name-defined, no-any-return]

        @staticmethod
        def known() -> type:
            return __class__  # type: ignore[name-defined, no-any-return]

        @bare
        def server_bind(self) -> None:
            super().server_bind()

        def with_defaults(self, a: int = 1, *, b: int = 2) -> tuple[type, int, int]:
            """Explain."""
            return __class__, a, b  # type: ignore[name-defined]

        def abstract(self) -> None:
            raise NotImplementedError

    kind: type = rebased(Full, MEMORY)
    assert type(kind) is abc.ABCMeta
    made: Any = kind
    server = made()
    assert (server.shown, server.kept) == ("memory", "memory")
    assert (server.made(), made.known(), server.with_defaults()) == (made, made, (made, 1, 2))
    server.server_bind()
    assert server.log == ["bind"]
    assert made.with_defaults.__doc__ == "Explain."
    assert made.abstract is Full.abstract
    assert not hasattr(made.with_defaults, "__wrapped__")


def test_a_wrapped_function_knows_what_it_wraps() -> None:
    made: Any = rebased(Derived, MEMORY)
    assert made.verify_request.__wrapped__ is not Derived.verify_request.__wrapped__  # type: ignore[attr-defined]
    assert made.verify_request.__wrapped__.__kwdefaults__ == {"quiet": False}


def test_a_variable_that_is_not_bound_yet() -> None:
    class Early(socketserver.TCPServer):
        def server_bind(self) -> None:
            later()

    with pytest.raises(NameError, match="later"):
        rebased(Early, MEMORY)().server_bind()
    later = str


def test_another_class_is_left_alone() -> None:
    class Other(Mine):
        verify_request = Derived.verify_request

    class Server(Other):
        pass

    # The function's super() is that of Derived, which Server is not: as before.
    with pytest.raises(TypeError):
        rebased(Server, MEMORY)().verify_request(None, None)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("TCPServer", "server_class must be a class of servers, not 'TCPServer'"),
        (sync_backend.UDPServer, "there is nothing to take instead of sync_backend.*UDPServer"),
    ],
)
def test_what_has_no_place_in_memory(given: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        rebased(given, MEMORY)


# In a world.


class Echo(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line)


@pytest.mark.parametrize("library", [socketserver, sync_backend, trio_backend, blocking])
def test_a_server_of_any_library_serves_in_memory(library: Any) -> None:
    class Server(library.TCPServer):  # type: ignore[misc]
        def verify_request(self, request: Any, client_address: Any) -> bool:
            self.asked = client_address
            return bool(super().verify_request(request, client_address))

    with ScriptedServer(Echo, Server) as server:
        client = server.connect()
        client.send(b"hello\n")
        assert client.readline() == b"hello\n"
        assert server.server.asked == client.address


@pytest.mark.parametrize("kind", [http.server.HTTPServer, http.server.ThreadingHTTPServer])
def test_http_servers_run_as_they_are(kind: type, tmp_path: Path) -> None:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    (tmp_path / "page.txt").write_text("a page")
    handler = functools.partial(Quiet, directory=str(tmp_path))
    with ScriptedServer(handler, kind) as server:
        assert server.server.server_port == server.server.server_address[1]
        client = server.connect()
        client.send(b"GET /page.txt HTTP/1.0\r\n\r\n")
        head, _, body = client.read_to_end().partition(b"\r\n\r\n")
        assert body == b"a page"
        assert b"Date: Sat, 01 Jan 2000 00:00:00 GMT" in head.splitlines()


def test_every_server_of_the_standard_library_has_one_in_memory() -> None:
    names = [name for name in socketserver.__all__ if "RequestHandler" not in name]
    made = {name: in_memory(getattr(socketserver, name)) for name in names}
    assert {each.__module__.rpartition(".")[0] for each in made.values()} == {
        "sansio_server.testing.servers"
    }
    assert [each.__name__ for each in made.values()] == names
