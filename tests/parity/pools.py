"""The pools of `sync_backend` as columns: whoever serves was there before, and accepts."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import sync_backend
from tests.parity.instrument import KINDS
from tests.parity.scenarios import SCENARIOS
from tests.parity.steps import HandleRequest, Serve, StartHandleRequest


class NoMixIn:
    """What makes no difference here: all servers of the module have the pool's."""


def pooled(mixin: Any, **attributes: object) -> ModuleType:
    """Return a module whose servers are all pools of this kind."""
    module = ModuleType(mixin.__name__)
    for name in sync_backend.__all__:
        setattr(module, name, getattr(sync_backend, name))
    for kind in ("BaseServer", *KINDS):
        base = getattr(sync_backend, kind)
        setattr(module, kind, type(kind, (mixin, base), dict(attributes)))
    module.ThreadingMixIn = module.ForkingMixIn = NoMixIn  # type: ignore[attr-defined]
    return module


POOL = pooled(sync_backend.PoolMixIn, pool_size=2)
PREFORK = pooled(sync_backend.PreforkMixIn, processes=2)


def _matching(*parts: str) -> list[str]:
    found = [name for name in SCENARIOS if all(part in name for part in parts)]
    assert found, f"no scenario is about {parts}"
    return found


def _not_serving(*kinds_of_step: type) -> list[str]:
    return [
        name
        for name, scenario in SCENARIOS.items()
        if not any(isinstance(step, kinds_of_step) for step in scenario.steps)
    ]


def _reasons(*groups: tuple[str, list[str]]) -> dict[str, str]:
    return {name: reason for reason, names in groups for name in names}


#: Scenarios that are not played with either, and why not.
_WITHOUT_EITHER = (
    (
        "there is no process_request_thread()",
        [
            *_matching("process_request_thread"),
            *_matching("queued to a pool"),
            *_matching("threads are left alone"),
            *_matching("when its thread has ended"),
            *_matching("attributes seen by the handler"),
            "served by the server's own threads",
            "no thread can be started",
        ],
    ),
    (
        "requests that cannot be told apart, or hooks that are not told whose request it is",
        ["five datagrams of one client", *_matching("hooks set on the server")],
    ),
    ("service_actions() is called by time, not by requests", _matching("service_actions")),
)

WITHOUT_POOL = _reasons(
    ("nothing is served", _not_serving(Serve, HandleRequest, StartHandleRequest)),
    *_WITHOUT_EITHER,
    ("no request can interrupt the loop", ["serving again after an interrupt"]),
    ("an override that counts on one request after the other", ["kept until the end"]),
)

WITHOUT_PREFORK = _reasons(
    ("workers are not asked for", _not_serving(Serve)),
    ("the loop does not serve: handle_request() does", _matching("handle_request")),
    *_WITHOUT_EITHER,
    (
        "what nobody deals with ends a worker, whose pid is in the log: see test_prefork.py",
        [
            *_matching("raises KeyboardInterrupt"),
            *_matching("raises SystemExit"),
            *_matching("handle calls sys.exit()"),
            *_matching("handle_error raises"),
            *_matching("re-raises"),
            *_matching("process_request and handle_error raise"),
            *_matching("get_request raises"),
            *_matching("get_request finds"),
            "serving again after an interrupt",
            "server_close raises",
        ],
    ),
    (
        "what changes in memory stays in the worker, and a stop ends that worker alone",
        [
            "client renamed in get_request",
            "kept until the end",
            "shutdown_request that keeps the request",
            "stopped by the handler",
            "server_close called by the handler",
        ],
    ),
    (
        "the override waits where nobody is: all workers but one would",
        ["fileno and get_request overridden", "requests from a pipe"],
    ),
    ("server_close() is what reaps the workers", ["hooks that do without the base"]),
    (
        "constructors, stops and sockets are the same as with one process",
        [
            *_matching("timeout"),
            *_matching("allow_reuse"),
            *_matching("bind_and_activate"),
            *_matching("buf"),
            *_matching("TLS"),
        ],
    ),
)
