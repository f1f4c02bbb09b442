"""The ways to serve on real sockets, and server classes made anew for them."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import attrs

from sansio_server.testing.servers.adoption import rebased

__all__ = ["REAL_BACKENDS", "RealBackend", "backend_named", "on_backend"]

_KINDS: Final = ("TCPServer", "UDPServer", "UnixStreamServer", "UnixDatagramServer")


@attrs.frozen
class RealBackend:
    """A way to serve on real sockets.

    :ivar summary: what becomes of a request.
    :ivar module: where its server classes are.
    :ivar mix_in: what their names begin with: "", "Threading", "Forking".
    :ivar attributes: what else is set on the class.
    :ivar in_trio: whether ``serve_forever()`` is a coroutine function, to be run by trio.
    :ivar sees_all: whether its trace tells all of each request; that of a forking server is spread
        over several processes.
    :ivar blocking_sockets: whether blocking handlers have blocking sockets.
    """

    summary: str
    module: str
    mix_in: str = ""
    attributes: Mapping[str, Any] = attrs.field(factory=dict)
    in_trio: bool = False
    sees_all: bool = True
    blocking_sockets: bool = True

    def serve(self, server: Any) -> None:
        """Run the loop of *server*, to its end."""
        if self.in_trio:
            import trio  # noqa: PLC0415 - loaded for those who ask for it

            trio.run(server.serve_forever)
        else:
            server.serve_forever()


#: The ways to serve on real sockets, by their names.
REAL_BACKENDS: Final[Mapping[str, RealBackend]] = MappingProxyType(
    {
        "inline": RealBackend("one request after the other", "sync_backend"),
        "threads": RealBackend("each request in a thread", "sync_backend", "Threading"),
        "forks": RealBackend(
            "each request in a child process", "sync_backend", "Forking", sees_all=False
        ),
        "trio": RealBackend(
            "each request in a trio task, blocking handlers in threads",
            "trio_backend",
            in_trio=True,
        ),
        "trio-threads": RealBackend(
            "the blocking classes, whose waiting is trio's", "trio_backend.blocking", "Threading"
        ),
        "trio-greenlets": RealBackend(
            "each request in a trio task, blocking handlers too",
            "trio_backend",
            attributes={"blocking_handlers": "greenlets"},
            in_trio=True,
            blocking_sockets=False,
        ),
    }
)


def backend_named(name: str) -> RealBackend:
    """Return one of :data:`REAL_BACKENDS`.

    :raises ValueError: there is none of that name.
    """
    if name not in REAL_BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(REAL_BACKENDS)}, not {name!r}")
    return REAL_BACKENDS[name]


def on_backend(server_class: type | None, way: RealBackend) -> type:
    """Return *server_class*, derived again from the classes of a backend and its way of serving.

    :param server_class: None for the plain TCP server.
    :raises TypeError: it is no class of servers, or one that the backend does not have.
    :raises ImportError: the backend needs something that is not installed.
    """
    classes = _classes(way)
    made = classes["TCPServer"] if server_class is None else rebased(server_class, classes)
    if not way.mix_in or issubclass(made, classes["ThreadingMixIn"]):
        return made
    return type(made.__name__, (classes["ThreadingMixIn"], made), {})


def _classes(way: RealBackend) -> dict[str, type]:
    """Return the classes of a backend by name, under the names of both mix-ins the way's own."""
    module = importlib.import_module(way.module)
    classes = {name: value for name, value in vars(module).items() if isinstance(value, type)}
    own = {f"{way.mix_in}{kind}": classes.get(f"{way.mix_in}{kind}") for kind in _KINDS}
    mix_in = classes[f"{way.mix_in}MixIn"] if way.mix_in else _AsItIs
    for other in ("Threading", "Forking"):
        classes[f"{other}MixIn"] = mix_in
        for kind in _KINDS:
            found = own[f"{way.mix_in}{kind}"]
            if found is not None:
                classes[f"{other}{kind}"] = found
    return classes


class _AsItIs:
    """Instead of a mix-in, where requests are served in another way."""
