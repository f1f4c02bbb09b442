"""The works that servers are measured at, and their names."""

from __future__ import annotations

import attrs

__all__ = ["DEFAULT_WORKS", "GROWTH_ALL", "GROWTH_OPEN", "NEIGHBOURS", "QUICK_WORKS", "Work"]

#: Modes in which others than the measured client trouble the server: `neighbours.c`.
NEIGHBOURS = ("mute", "deaf", "reset", "flood")

_MODES = ("echo", "churn", "udp", "bulk", "idle", "stop", *NEIGHBOURS)

#: Cost against connections: all of them speak, or 10 of them do.
GROWTH_ALL = ("echo:10", "echo:100", "echo:1000", "echo:10000")
GROWTH_OPEN = ("echo:10", "echo:10:o90", "echo:10:o990", "echo:10:o9990")

#: What a run without choice measures.
DEFAULT_WORKS = (
    *("echo:1", "echo:64", "echo:1000", "echo:64:p16", "echo:64:free"),
    *("churn:16", "udp:16", "bulk:8"),
    *("idle:5000", "idle:10000", "stop"),
    *("mute:64", "deaf:64", "reset:16", "flood:64"),
    *(work for work in GROWTH_ALL if work != "echo:1000"),
    *GROWTH_OPEN[1:],
)

#: What a quick run measures.
QUICK_WORKS = ("stop", "churn:16", "udp:16", "echo:64", "idle:1000")


@attrs.frozen
class Work:
    """What is asked of a server.

    :ivar mode: ``echo`` keeps its connections, ``churn`` makes one for each line, ``udp`` sends
        datagrams, ``bulk`` sends mebibytes, ``idle`` holds connections that say nothing, ``stop``
        stops an idle server; the others have one client measured beside troublesome ones.
    :ivar peers: how many clients there are at once; of `NEIGHBOURS`, troublesome ones.
    :ivar depth: how many lines each has in flight.
    :ivar open: how many connections more are open and silent.
    :ivar free: server and client share the cores, rather than having one each.
    """

    name: str
    mode: str
    peers: int = 1
    depth: int = 1
    open: int = 0
    free: bool = False

    @classmethod
    def parse(cls, name: str) -> Work:
        """Return the work named ``MODE[:PEERS][:pDEPTH][:oOPEN][:free]``.

        :raises ValueError: *name* is not of that form.
        """
        mode, *options = name.split(":")
        numbers = {"": 1, "p": 1, "o": 0}
        free = False
        for option in options:
            letter = option[:1] if option[:1] in {"p", "o"} else ""
            digits = option.removeprefix(letter)
            if option == "free":
                free = True
            elif digits.isascii() and digits.isdecimal():
                numbers[letter] = int(digits)
            else:
                raise ValueError(
                    f"{name!r}: {option!r} is not a number of peers, pDEPTH, oOPEN or free"
                )
        if mode not in _MODES:
            raise ValueError(f"{name!r}: {mode!r} is none of {', '.join(_MODES)}")
        peers, depth, silent = numbers[""], numbers["p"], numbers["o"]
        if not (1 <= peers <= 10_000 and 1 <= depth <= 64 and silent <= 10_000):
            raise ValueError(
                f"{name!r}: peers are 1 to 10000, the depth is 1 to 64, open ones 0 to 10000"
            )
        if (depth > 1 or silent) and mode != "echo":
            raise ValueError(f"{name!r}: pDEPTH and oOPEN are for echo alone")
        return cls(name, mode, peers, depth, silent, free)

    @property
    def handler(self) -> str:
        """Which handler serves this work: of one line, lines, blocks to the end, or a datagram."""
        return {"churn": "line", "udp": "datagram", "stop": "line", "bulk": "blocks"}.get(
            self.mode, "lines"
        )

    @property
    def connections(self) -> int:
        """How many connections a server must serve at the same time."""
        if self.mode in NEIGHBOURS:
            return self.peers + 1
        return self.peers + self.open if self.mode in {"echo", "bulk", "idle"} else 1

    @property
    def figure(self) -> str:
        """The name of the figure by which servers are compared; less is better."""
        named = {"stop": "stop_ms", "idle": "pss_kib"}
        return "p99_us" if self.mode in NEIGHBOURS else named.get(self.mode, "cpu_us")

    @property
    def is_long(self) -> bool:
        """Whether by default only one server of each kind is measured at this."""
        return (
            self.mode in NEIGHBOURS
            or self.open > 0
            or (self.mode == "idle" and self.peers >= 10_000)
            or self.name in {*GROWTH_ALL, *GROWTH_OPEN} - {"echo:1000"}
        )

    @property
    def rounds(self) -> int:
        """How many rounds are enough: what hardly varies needs few, what takes long gets few."""
        if self.is_long:
            return 1
        return 2 if self.mode in {"idle", "stop"} else 1000
