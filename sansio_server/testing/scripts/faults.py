"""What may go wrong in a run, as data: faults at a named point, and rules that a seed draws from.

A *point* is where a system call would be; a *kind* is what that call may do instead of what was
asked of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, TypeVar

import attrs

from .actions import count

__all__ = [
    "DATAGRAM_FAULTS",
    "DEFAULT_FAULTS",
    "FAULT_KINDS",
    "Fault",
    "FaultRule",
    "injected",
    "is_injected",
]

_E = TypeVar("_E", bound=BaseException)

#: The kinds of faults that there are at each point.
#:
#: ``accept``: an errno; the capacity ones leave the client in the queue,
#: ECONNABORTED takes it away.
#: ``recv``: ``short`` gives at most half of what is there (or *amount* bytes), ``one-byte`` one
#: byte, ``reset`` breaks the connection, ``eof`` shows the end of the stream for good, as of a peer
#: that half-closed, ``mute`` keeps all that the peer sends away for *amount* seconds (300) and then
#: breaks the connection, ``delay`` lets *amount* seconds (0.05) pass first, ``EINTR`` is
#: InterruptedError, ``EAGAIN`` BlockingIOError where the socket does not block.
#: ``send``: ``short`` takes half (or *amount* bytes; ``sendall`` goes on by itself), the others as
#: for ``recv``; ``slow-reader`` lets the peer take nothing for *amount* seconds (5).
#: ``sendto``, ``recvfrom``: the datagram is ``lost``, ``doubled``, ``reordered`` (behind the next),
#: or ``cut`` to half (or *amount* bytes).
#: ``fork``, ``thread``: starting one fails, with the errno, or RuntimeError.
#: ``clock``: time ``jump`` s on by *amount* seconds (60).
FAULT_KINDS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "accept": ("EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "ECONNABORTED", "EAGAIN", "EINTR"),
        "recv": ("short", "one-byte", "reset", "eof", "mute", "delay", "EAGAIN", "EINTR"),
        "send": ("short", "one-byte", "reset", "slow-reader", "delay", "EAGAIN", "EINTR"),
        "sendto": ("lost", "doubled", "reordered", "cut"),
        "recvfrom": ("lost", "doubled", "reordered", "cut"),
        "fork": ("EAGAIN", "ENOMEM"),
        "thread": ("fail",),
        "clock": ("jump",),
    }
)


def _point(_: object, __: object, value: str) -> None:
    if value not in FAULT_KINDS:
        raise ValueError(f"point must be one of {', '.join(FAULT_KINDS)}, not {value!r}")


def _kind(instance: Any, __: object, value: str) -> None:
    kinds = FAULT_KINDS[instance.point]
    if value not in kinds:
        raise ValueError(
            f"kind of a fault at {instance.point} must be one of {', '.join(kinds)}, not {value!r}"
        )


def _name(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{attribute.name} must be an actor's name or None, not {value!r}")


def _amount(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{attribute.name} must be a number or None, not {value!r}")
    if not value > 0:
        raise ValueError(f"{attribute.name} must be more than 0, not {value!r}")


def _probability(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{attribute.name} must be a number from 0 to 1, not {value!r}")
    if not 0 <= value <= 1:
        raise ValueError(f"{attribute.name} must be from 0 to 1, not {value!r}")


@attrs.frozen
class Fault:
    """One fault: what happens the *nth* time that *point* is reached.

    :param point: a key of :data:`FAULT_KINDS`.
    :param kind: one of the kinds at that point.
    :param nth: counts from 1; of *actor*'s own visits if that is given.
    :param actor: who has to be there, as "request 2" or "loop"; None for anybody.
    :param amount: bytes or seconds, where the kind has any; None for its default.
    :raises ValueError: there is no such point or kind, or a number is out of range.
    :raises TypeError: something is of the wrong type.
    """

    point: str = attrs.field(validator=_point)
    kind: str = attrs.field(validator=_kind)
    nth: int = attrs.field(default=1, validator=count)
    actor: str | None = attrs.field(default=None, validator=_name)
    amount: float | None = attrs.field(default=None, validator=_amount)


@attrs.frozen
class FaultRule:
    """A fault that may happen each time *point* is reached, as a seed draws it.

    :param probability: from 0 to 1.
    :param at_most: how often it happens in one run; None for no limit.

    The others, and what is raised, as in :class:`Fault`.
    """

    point: str = attrs.field(validator=_point)
    kind: str = attrs.field(validator=_kind)
    probability: float = attrs.field(validator=_probability)
    actor: str | None = attrs.field(default=None, validator=_name)
    at_most: int | None = attrs.field(default=None, validator=attrs.validators.optional(count))
    amount: float | None = attrs.field(default=None, validator=_amount)


#: What any server on a stream has to live with. Errors that Python keeps away from programs
#: (EINTR, PEP 475) or that blocking sockets never give (EAGAIN) are not among them.
DEFAULT_FAULTS: Final = (
    FaultRule("accept", "EMFILE", 0.03, at_most=2),
    FaultRule("accept", "ECONNABORTED", 0.03, at_most=1),
    FaultRule("recv", "short", 0.15),
    FaultRule("recv", "one-byte", 0.15),
    FaultRule("recv", "reset", 0.03, at_most=1),
    FaultRule("recv", "eof", 0.02, at_most=1),
    FaultRule("recv", "mute", 0.02, at_most=1),
    FaultRule("recv", "delay", 0.03, at_most=2),
    FaultRule("send", "short", 0.15),
    FaultRule("send", "reset", 0.03, at_most=1),
    FaultRule("send", "slow-reader", 0.02, at_most=1),
    FaultRule("fork", "EAGAIN", 0.03, at_most=1),
    FaultRule("thread", "fail", 0.03, at_most=1),
    FaultRule("clock", "jump", 0.01, at_most=1),
)

#: What any server of datagrams has to live with.
DATAGRAM_FAULTS: Final = (
    FaultRule("recvfrom", "lost", 0.05),
    FaultRule("recvfrom", "doubled", 0.1),
    FaultRule("recvfrom", "reordered", 0.15),
    FaultRule("sendto", "lost", 0.05),
    FaultRule("sendto", "doubled", 0.05),
    FaultRule("sendto", "reordered", 0.05),
    FaultRule("fork", "EAGAIN", 0.03, at_most=1),
    FaultRule("thread", "fail", 0.03, at_most=1),
)


def injected(error: _E) -> _E:
    """Return *error*, marked as the work of a fault: the program under test is not to blame."""
    error._injected = True  # type: ignore[attr-defined]  # an attribute of ours
    return error


def is_injected(error: object) -> bool:
    """Say whether *error* was marked by :func:`injected`."""
    return getattr(error, "_injected", False) is True
