"""Limits and policies: data, and pure functions of data, an event and the time.

Times are seconds on whatever clock the backend uses; ``math.inf`` means never.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import Any, Final, Literal, get_args

import attrs

__all__ = [
    "BACKOFF_FIRST",
    "BACKOFF_LARGEST",
    "AcceptBackoff",
    "Admission",
    "Limits",
    "WhenFull",
    "admission",
    "check_count",
]

#: What to do with clients who come when ``max_connections`` are being served: leave them in the
#: listener's queue, or accept them and close at once.
WhenFull = Literal["wait", "shed"]

#: Seconds to leave a listener alone after accepting failed for lack of capacity, and the most to
#: which this doubles. trio waits 0.1 s, asyncio 1 s: short enough to be unnoticed when a
#: descriptor comes free at once, long enough to cost nothing when none does.
BACKOFF_FIRST: Final = 0.1
BACKOFF_LARGEST: Final = 1.0


def validate_seconds(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Refuse what is no number of seconds."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{attribute.name} must be a number of seconds, not {value!r}")
    if not value >= 0:  # so that NaN is refused too
        raise ValueError(f"{attribute.name} must be 0 seconds or more, not {value!r}")


#: Refuses what is neither a number of seconds nor None.
validate_seconds_or_none: Final[Any] = attrs.validators.optional(validate_seconds)


def _validate_limit(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{attribute.name} must be a whole number or None, not {value!r}")
    if value < 1:
        raise ValueError(f"{attribute.name} must be 1 or more, or None for no limit, not {value!r}")


def check_count(name: str, value: object, least: int = 1) -> int:
    """Return *value*, which is called *name*, if it is a whole number from *least* on.

    :raises TypeError: it is no whole number.
    :raises ValueError: it is too small.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number, not {value!r}")
    if value < least:
        raise ValueError(f"{name} must be {least} or more, not {value!r}")
    return value


def validate_count(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Refuse what is no whole number from 1 on."""
    check_count(attribute.name, value)


def _validate_when_full(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if value not in get_args(WhenFull):
        raise ValueError(f"{attribute.name} must be 'wait' or 'shed', not {value!r}")


@attrs.frozen(kw_only=True)
class Limits:
    """How much a server takes on, and for how long.

    :param max_connections: the most requests open at once; None for no limit.
    :param when_full: what happens to clients beyond that: ``"wait"`` leaves them in the listener's
        queue, ``"shed"`` accepts and closes them at once.
    :param request_timeout: seconds from accept after which a request is cut; None for never.
    :param drain_timeout: seconds that a drain waits before it cuts; None to wait for ever.
    :param cut_timeout: seconds that a drain gives those it cut before it goes on without them.
    :raises ValueError: a negative number, or a word that is none of the choices.
    :raises TypeError: something that is no number.
    """

    max_connections: int | None = attrs.field(default=None, validator=_validate_limit)
    when_full: WhenFull = attrs.field(default="wait", validator=_validate_when_full)
    request_timeout: float | None = attrs.field(default=None, validator=validate_seconds_or_none)
    drain_timeout: float | None = attrs.field(default=None, validator=validate_seconds_or_none)
    cut_timeout: float = attrs.field(default=5.0, validator=validate_seconds)


class Admission(Enum):
    """Whether a request may come in."""

    ACCEPT = "accept"
    """Accept and serve it."""
    WAIT = "wait"
    """Leave it in the listener's queue."""
    SHED = "shed"
    """Accept it and close it at once."""


def admission(connections: int, max_connections: int | None, when_full: WhenFull) -> Admission:
    """Say whether one more request may come in beside *connections* open ones."""
    if max_connections is None or connections < max_connections:
        return Admission.ACCEPT
    return Admission.SHED if when_full == "shed" else Admission.WAIT


@attrs.frozen
class AcceptBackoff:
    """How long to leave a listener alone whose accepts fail for lack of capacity.

    :ivar delay: the seconds waited last; 0 when all is well.
    :ivar until: the time before which nothing is to be accepted.
    """

    delay: float = 0.0
    until: float = -math.inf

    def failed(self, now: float) -> AcceptBackoff:
        """Return the back-off after one more failure at time *now*: twice as long, up to 1 s."""
        delay = min(max(2 * self.delay, BACKOFF_FIRST), BACKOFF_LARGEST)
        return AcceptBackoff(delay, now + delay)

    @property
    def episode(self) -> bool:
        """Whether accepting has failed and not yet succeeded again."""
        return self.delay > 0
