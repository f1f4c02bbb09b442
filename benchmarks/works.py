"""The works that servers are measured at, and their names."""

from __future__ import annotations

import attrs

__all__ = ["DEFAULT_WORKS", "LOAD_MODES", "QUICK_WORKS", "Work"]

LOAD_MODES = ("echo", "churn", "udp")

#: What a run without choice measures.
DEFAULT_WORKS = (
    "echo:1",
    "echo:64",
    "echo:1000",
    "echo:64:p16",
    "echo:64:free",
    "churn:16",
    "udp:16",
    "idle:5000",
    "stop",
)

#: What a quick run measures.
QUICK_WORKS = ("stop", "churn:16", "udp:16", "echo:64", "echo:1000", "idle:1000")


@attrs.frozen
class Work:
    """What is asked of a server.

    :ivar mode: ``echo`` keeps its connections, ``churn`` makes one for each line, ``udp`` sends
        datagrams, ``idle`` holds connections that say nothing, ``stop`` stops an idle server.
    :ivar peers: how many clients there are at once.
    :ivar depth: how many lines each has in flight.
    :ivar free: server and client share the cores, rather than having one each.
    """

    name: str
    mode: str
    peers: int = 1
    depth: int = 1
    free: bool = False

    @classmethod
    def parse(cls, name: str) -> Work:
        """Return the work named ``MODE[:PEERS][:pDEPTH][:free]``.

        :raises ValueError: *name* is not of that form.
        """
        mode, *options = name.split(":")
        peers, depth, free = 1, 1, False
        for option in options:
            if option == "free":
                free = True
            elif option.removeprefix("p").isdecimal():
                number = int(option.removeprefix("p"))
                if option.startswith("p"):
                    depth = number
                else:
                    peers = number
            else:
                raise ValueError(f"{name!r}: {option!r} is not a number of peers, pDEPTH or free")
        if mode not in (*LOAD_MODES, "idle", "stop"):
            raise ValueError(f"{name!r}: {mode!r} is not echo, churn, udp, idle or stop")
        if not (1 <= peers <= 20_000 and 1 <= depth <= 64):
            raise ValueError(f"{name!r}: peers are 1 to 20000, the depth is 1 to 64")
        return cls(name, mode, peers, depth, free)

    @property
    def handler(self) -> str:
        """Which handler serves this work: of one line, of lines to the end, or of a datagram."""
        return {"churn": "line", "udp": "datagram", "stop": "line"}.get(self.mode, "lines")

    @property
    def connections(self) -> int:
        """How many connections a server must serve at the same time."""
        return self.peers if self.mode in {"echo", "idle"} else 1

    @property
    def figure(self) -> str:
        """The name of the figure by which servers are compared; less is better."""
        return {"stop": "stop_ms", "idle": "pss_kib"}.get(self.mode, "cpu_us")
