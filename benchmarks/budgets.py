"""What this project's servers are to cost, relative to their peers in the same run.

A budget of 1.2 for ``cpu_us`` says: the peer's figure is at least 1.2 times ours.
"""

from __future__ import annotations

import attrs

__all__ = ["BUDGETS", "Budget"]


@attrs.frozen
class Budget:
    """A work, one of our servers, and what it is held to.

    :ivar peer: the server it is compared with, or "" when *at_most* bounds the figure itself.
    :ivar at_least: the peer's figure divided by ours, at the least.
    """

    work: str
    server: str
    peer: str = ""
    at_least: float = 0.0
    at_most: float = 0.0
    figure: str = "cpu_us"


BUDGETS = (
    # Blocking sockets.
    Budget("churn:16", "sync-inline", "stdlib-inline", at_least=1.1),
    Budget("churn:16", "sync-threads", "stdlib-threads", at_least=1.2),
    Budget("churn:16", "sync-reused", "stdlib-threads", at_least=2.4),
    Budget("churn:16", "sync-reused", "raw-threads", at_least=0.9),
    Budget("echo:64", "sync-threads", "stdlib-threads", at_least=1.0),
    Budget("echo:1000", "sync-threads", "stdlib-threads", at_least=1.0),
    Budget("echo:1000", "sync-threads", "stdlib-threads", at_least=1.0, figure="p99_us"),
    Budget("echo:64:free", "sync-threads", "stdlib-threads", at_least=1.0),
    Budget("churn:16", "sync-forks", "stdlib-forks", at_least=1.2),
    Budget("churn:16", "sync-prefork", "stdlib-forks", at_least=16.0),
    Budget("churn:16", "sync-prefork", "raw-prefork", at_least=1.0),
    Budget("udp:16", "sync-udp", "stdlib-udp", at_least=1.0),
    Budget("churn:16", "sync-async-inline", "sync-inline", at_least=0.95),
    Budget("churn:16", "sync-async-threads", "sync-threads", at_least=0.95),
    Budget("echo:64", "sync-async-threads", "sync-threads", at_least=0.95),
    # trio.
    Budget("echo:64", "trio-async", "bare-trio", at_least=1.7),
    Budget("echo:1000", "trio-async", "bare-trio", at_least=2.0),
    Budget("echo:64", "trio-async", "asyncio-streams", at_least=1.0),
    Budget("echo:1000", "trio-async", "asyncio-streams", at_least=1.05),
    Budget("churn:16", "trio-async", "bare-trio", at_least=3.0),
    Budget("churn:16", "trio-async", "asyncio-streams", at_least=1.6),
    Budget("churn:16", "trio-async", "uvloop-streams", at_least=1.3),
    Budget("echo:64:p16", "trio-async", "bare-trio", at_least=4.5),
    Budget("echo:64:p16", "trio-async", "asyncio-streams", at_least=2.5),
    Budget("echo:64:p16", "trio-async", "uvloop-streams", at_least=2.0),
    Budget("echo:64", "trio-greenlets", "gevent-streamserver", at_least=1.0),
    Budget("udp:16", "trio-udp", "bare-trio-udp", at_least=2.0),
    # Memory of idle connections, and stops.
    Budget("idle:5000", "sync-threads", "stdlib-threads", at_least=1.0, figure="pss_kib"),
    Budget("idle:5000", "trio-async", "bare-trio", at_least=1.0, figure="pss_kib"),
    Budget("idle:5000", "trio-greenlets", "gevent-streamserver", at_least=1.0, figure="pss_kib"),
    Budget("idle:5000", "trio-threads", "stdlib-threads", at_least=1.0, figure="pss_kib"),
    *(
        Budget("stop", server, at_most=5.0, figure="stop_ms")
        for server in (
            *("sync-inline", "sync-threads", "sync-reused"),
            *("sync-pool", "sync-prefork", "sync-forks"),
            *("trio-async", "trio-threads", "trio-greenlets"),
        )
    ),
)
