"""Servers that are run by an event loop, with the interface of `socketserver`.

What they serve in one call of ``serve_forever()`` or ``handle_request()`` is one run of the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import ModuleType
from typing import Any

import trio

import trio_backend
from tests.examples.modules import load
from tests.parity.instrument import KINDS
from tests.parity.scenarios import SCENARIOS

Run = Callable[[Callable[..., Any], tuple[Any, ...]], Any]


class ThreadingMixIn:
    """What makes no difference here: all requests are served at once."""


def on_trio(function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """Run an asynchronous function; let out bare what comes in a group."""
    try:
        return trio.run(function, *args)
    except BaseException as error:
        while len(getattr(error, "exceptions", ())) == 1:
            (error,) = error.exceptions  # type: ignore[attr-defined]
        raise error


def on_asyncio(function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """Run an asynchronous function."""
    return asyncio.run(function(*args))


def blocking(backend: Any, run: Run) -> ModuleType:
    """Return a module with the classes of *backend*, whose loops are to be called, not awaited."""
    module = ModuleType(f"blocking {backend.__name__}")
    for name in ("BaseServer", *KINDS):
        if hasattr(backend, name):
            setattr(module, name, _blocking(getattr(backend, name), run))
    for name in ("BaseRequestHandler", "StreamRequestHandler", "DatagramRequestHandler"):
        setattr(module, name, getattr(trio_backend, name))
    module.ThreadingMixIn = ThreadingMixIn  # type: ignore[attr-defined]
    return module


def _blocking(base: Any, run: Run) -> type:
    class Server(base):  # type: ignore[misc]  # which class it is, only the caller knows
        def serve_forever(self, poll_interval: float = 0.5) -> None:
            run(super().serve_forever, (poll_interval,))

        def handle_request(self) -> Any:
            return run(super().handle_request, ())

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *args: object) -> None:
            self.server_close()

    Server.__name__ = base.__name__
    return Server


TRIO = blocking(trio_backend, on_trio)
ASYNCIO = blocking(load("asyncio_backend"), on_asyncio)


def _matching(*parts: str) -> list[str]:
    found = [name for name in SCENARIOS if all(part in name for part in parts)]
    assert found, f"no scenario is about {parts}"
    return found


#: Scenarios that are not played where tasks serve, and why not.
WITHOUT = {
    name: reason
    for reason, names in {
        "there is no thread of a request, nor a hook for one": (
            *_matching("process_request_thread"),
            *_matching("queued to a pool"),
            *_matching("threads are left alone"),
            *_matching("attributes seen by the handler"),
            *_matching("when its thread has ended"),
            "served by the server's own threads",
            "no thread can be started",
        ),
        "what is no Exception ends the server and all requests, as in any nursery": (
            *(set(_matching("raises KeyboardInterrupt")) - set(_matching("get_request raises"))),
            *_matching("raises SystemExit"),
            "handle calls sys.exit()",
            "handle_request is interrupted",
            "serving again after an interrupt",
        ),
        "so does what handle_error() lets out": (
            *_matching("handle_error raises"),
            *_matching("handle_error re-raises"),
            *_matching("handle_error closes and re-raises"),
            *_matching("process_request and handle_error raise"),
        ),
        "what super() has left to be awaited is given up by an override that raises": (
            *_matching("process_request raises", "afterwards"),
        ),
        "what a request fails with goes back through process_request()": (
            "wrapped in process_request, fails",
            "the base called by name, fails",
        ),
        "requests that cannot be told apart": (
            "five datagrams of one client",
            "hooks not recorded, fails",
            "hooks set on the server",
            "hooks set on the server, fails",
        ),
        "a stop may come before the loop's next turn": ("service_actions raises",),
    }.items()
    for name in names
}

#: And where there is no BaseServer beside the classes with sockets.
WITHOUT_BASE = dict.fromkeys(
    ("the constructor skipped", "the base called by name", "requests from a pipe"),
    "there is no BaseServer",
)

#: And where handlers are asynchronous.
WITHOUT_ASYNC = {
    "a function": "it is blocking",
    **dict.fromkeys(_matching("wrapped in"), "what waits for what is no socket is the program's"),
    **dict.fromkeys(
        (
            *_matching("process_request in place"),
            *_matching("finish_request raises", "afterwards"),
            "kept until the end",
        ),
        "an override that counts on the handler being over when finish_request() has returned",
    ),
}
