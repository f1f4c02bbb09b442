"""Makes the instrumented classes: one way of recording for every column."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

from tests.parity.recorder import Recorder, describe, describe_request

# Kinds of server, by the name of the class that serves one request at a time.
STREAMS = ("TCPServer", "UnixStreamServer")
DATAGRAMS = ("UDPServer", "UnixDatagramServer")
KINDS = STREAMS + DATAGRAMS
INET = ("TCPServer", "UDPServer")
UNIX = ("UnixStreamServer", "UnixDatagramServer")

# Ways of serving, and the mixin that makes each.
WAYS = {"inline": None, "threads": "ThreadingMixIn", "forks": "ForkingMixIn"}

# The ways of scenarios in which the way makes no difference, or only some make any.
INLINE = ("inline",)
THREADS = ("threads",)
FORKS = ("forks",)
NO_FORKS = ("inline", "threads")

# Hooks of a server, and whether each is told the client's address. `service_actions` and
# `collect_children` run once a turn of the loop, so only scenarios about them record them.
SERVER_HOOKS = {
    "server_bind": False,
    "server_activate": False,
    "server_close": False,
    "handle_timeout": False,
    "get_request": False,
    "verify_request": True,
    "process_request": True,
    "process_request_thread": True,
    "finish_request": True,
    "handle_error": True,
    "shutdown_request": False,
    "close_request": False,
}
# Those that are not called for a request.
OF_NO_REQUEST = {"server_bind", "server_activate", "server_close", "handle_timeout", "get_request"}
HANDLER_HOOKS = {"setup": False, "handle": False, "finish": False}


def base_of(module: ModuleType, kind: str, way: str) -> type:
    """Return the class of *module* that serves in this way, put together from its parts."""
    base: type = getattr(module, kind)
    if kind == "BaseServer":
        base = _server_of_a_pipe(base)
    mixin = WAYS[way]
    return base if mixin is None else type(kind, (getattr(module, mixin), base), {})


def _server_of_a_pipe(base: Any) -> type:
    """Return a server without a socket: each write to its pipe is a request."""

    class PipeServer(base):  # type: ignore[misc]  # which class it is, only the column knows
        def __init__(self, server_address: Any, handler: Any) -> None:
            super().__init__(server_address, handler)
            self.reading, self.writing = os.pipe()
            self.server_activate()

        def fileno(self) -> int:
            return self.reading

        def get_request(self) -> tuple[str, str]:
            return os.read(self.reading, 100).decode(), "a"

        def server_close(self) -> None:
            super().server_close()
            os.close(self.reading)
            os.close(self.writing)

    return PipeServer


def instrument(
    base: type,
    override: type | None,
    recorder: Recorder,
    hooks: dict[str, bool],
    *,
    asynchronous: bool = False,
) -> type:
    """Return *base* with all its hooks recorded and *override* on top.

    What *override* defines is recorded too, around the base's own hook, which is then called
    ``super().hook``: the trace shows how the two nest.

    :param asynchronous: whether the hooks, which are those of a handler, are.
    """
    overridden = _defined_by(override)
    labels = {name: f"super().{name}" if name in overridden else name for name in hooks}
    inner = _record(base, recorder, labels, asynchronous)
    if override is None:
        return inner
    combined = type(base.__name__, (override, inner), {})
    labels = {name: name for name in hooks if name in overridden}
    return _record(combined, recorder, labels, asynchronous)


def _defined_by(override: type | None) -> set[str]:
    classes: Iterable[type] = () if override is None else override.__mro__[:-1]
    return {name for cls in classes for name in vars(cls)}


def _record(base: type, recorder: Recorder, labels: dict[str, str], asynchronous: bool) -> type:
    layer: type
    namespace: dict[str, Any] = {}
    for hook, label in labels.items():
        if hasattr(base, hook):
            namespace[hook] = _recording(hook, label, recorder, lambda: layer, asynchronous)
    layer = type(base.__name__, (base,), namespace)
    return layer


def _recording(
    hook: str, label: str, recorder: Recorder, layer: Callable[[], type], asynchronous: bool
) -> Callable[..., Any]:
    takes_address = SERVER_HOOKS.get(hook, False)

    def recorded(self: Any, *args: Any) -> Any:
        client = (
            args[1] if takes_address else self.client_address if hook in HANDLER_HOOKS else None
        )
        told = takes_address or hook in HANDLER_HOOKS
        whose = repr(client) if told else "" if hook in OF_NO_REQUEST else None
        with recorder.hook(label, _details(hook, args), client, whose=whose) as left:
            result = getattr(super(layer(), self), hook)(*args)
            if result is not None and not hasattr(result, "__await__"):
                left.result = _describe_result(result)
            if hook == "get_request":
                recorder.keep(*result)
        return result

    async def recorded_asynchronously(self: Any) -> None:
        with recorder.hook(label, "", self.client_address, whose=repr(self.client_address)):
            result = getattr(super(layer(), self), hook)()
            if result is not None:
                await result

    if asynchronous:
        recorded = recorded_asynchronously
    recorded.__name__ = hook
    return recorded


def _details(hook: str, args: tuple[Any, ...]) -> str:
    details = [
        describe_request(arg) if number == 0 else repr(arg) for number, arg in enumerate(args)
    ]
    if hook == "handle_error":
        error = sys.exc_info()[1]
        details.append("no exception" if error is None else describe(error))
    return ", ".join(details)


def _describe_result(result: Any) -> str:
    if isinstance(result, tuple):
        return f"{describe_request(result[0])}, {result[1]!r}"
    if isinstance(result, bool | int | str):
        return repr(result)
    return type(result).__name__
