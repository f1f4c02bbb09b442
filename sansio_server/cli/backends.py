"""The ways of serving that the command line knows."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import attrs

from sansio_server.limits import Limits

from .addresses import Address
from .console import REFUSED, CommandError
from .targets import Handler

if TYPE_CHECKING:
    from .running import Front

__all__ = ["BACKENDS", "Backend", "Plan"]


@attrs.frozen
class Plan:
    """What a server is to be like.

    :ivar handler: what serves the requests.
    :ivar addresses: where; at least one.
    :ivar backend: how: one of :data:`BACKENDS`.
    :ivar limits: how much at once and for how long.
    :ivar trace: the file to write trace events to.
    :ivar record: the file of the flight recorder, and
    :ivar record_bytes: how large it may become, and
    :ivar record_payload: whether it is to have the bytes that move.
    :ivar workers: in how many processes; 0 for this one alone.
    :ivar max_requests: how many requests one of these serves, about; ``math.inf`` for no limit.
    :ivar front: who is told how serving goes, if not the terminal.
    """

    handler: Handler | None
    addresses: tuple[Address, ...]
    backend: str
    limits: Limits
    trace: str | None = None
    record: str | None = None
    record_bytes: int = 64 * 2**20
    record_payload: bool = False
    workers: int = 0
    max_requests: float = math.inf
    front: Front | None = attrs.field(default=None, eq=False)


@attrs.frozen
class Backend:
    """A way of serving.

    :ivar summary: what becomes of a request.
    :ivar module: where a function ``serve`` is that takes a :class:`Plan`, serves until it is told
        to stop, and returns the exit status. It is imported when it is asked for.
    :ivar max_connections: the most requests open at once, unless it is said otherwise.
    :ivar preforks: whether it is for several processes, unless it is said otherwise.
    """

    summary: str
    module: str
    max_connections: int = 1024
    preforks: bool = False

    def load(self) -> Callable[[Plan], int]:
        """Import what serves.

        :raises CommandError: it needs something that is not installed.
        """
        try:
            module: Any = importlib.import_module(self.module)
        except ImportError as error:
            raise CommandError(f"this way of serving cannot be loaded: {error}", REFUSED) from error
        serve: Callable[[Plan], int] = module.serve
        return serve


_BLOCKING: Final = "sansio_server.cli.blocking"
_NURSERY: Final = "sansio_server.cli.nursery"

BACKENDS: Final[Mapping[str, Backend]] = MappingProxyType(
    {
        "inline": Backend("one request after the other", _BLOCKING),
        "threads": Backend("each request in a thread, which is reused", _BLOCKING),
        # As many as ForkingMixIn has, in the standard library too.
        "forks": Backend("each request in a child process", _BLOCKING, max_connections=40),
        # As many as PoolMixIn has.
        "pool": Backend("a pool of threads that accept by themselves", _BLOCKING, 32),
        "prefork": Backend(
            "one request after the other in each of several processes", _BLOCKING, preforks=True
        ),
        "trio": Backend("each request in a trio task, blocking handlers in threads", _NURSERY),
        "trio-greenlets": Backend("each request in a trio task, blocking handlers too", _NURSERY),
    }
)
