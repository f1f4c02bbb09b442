"""What the clients of a script do, as data.

Bytes move on a connection (:class:`Connect` to :class:`Reset`) or in datagrams
(:class:`SendDatagram`, :class:`ReceiveDatagram`); the last few actions are those of an operator,
who asks something of the server.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final, TypeAlias

import attrs

__all__ = [
    "ACTIONS",
    "OPERATOR_ACTIONS",
    "RECEIVING",
    "STREAM_ACTIONS",
    "Action",
    "ClientScript",
    "Close",
    "CloseServer",
    "Connect",
    "Drain",
    "Expect",
    "HalfClose",
    "Receive",
    "ReceiveDatagram",
    "ReceiveExactly",
    "ReceiveLine",
    "ReceiveToEnd",
    "Reset",
    "Resume",
    "Send",
    "SendDatagram",
    "Shutdown",
    "Suspend",
    "Wait",
]


def seconds(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Check that *value* is a finite number of seconds, 0 or more."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{attribute.name} must be a number of seconds, not {value!r}")
    if not 0 <= value < math.inf:
        raise ValueError(f"{attribute.name} must be 0 seconds or more, and finite, not {value!r}")


def count(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Check that *value* is a whole number, 1 or more."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{attribute.name} must be a whole number, not {value!r}")
    if value < 1:
        raise ValueError(f"{attribute.name} must be 1 or more, not {value!r}")


def _data(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, bytes):
        raise TypeError(f"{attribute.name} must be bytes, not {value!r}")


_timeout = attrs.field(default=None, validator=attrs.validators.optional(seconds), kw_only=True)


@attrs.frozen
class Connect:
    """Open a connection; a client may do so again once the last is closed."""


@attrs.frozen
class Send:
    """Send *data* on the connection, all of it."""

    data: bytes = attrs.field(validator=_data)


@attrs.frozen
class Receive:
    """Receive what is there, at most *size* bytes; wait if nothing is.

    :param timeout: seconds after which the client gives up; None for never.
    """

    size: int = attrs.field(default=65536, validator=count)
    timeout: float | None = _timeout


@attrs.frozen
class ReceiveExactly:
    """Receive *size* bytes, or fewer if the stream ends before.

    *timeout* as in :class:`Receive`.
    """

    size: int = attrs.field(validator=count)
    timeout: float | None = _timeout


@attrs.frozen
class ReceiveLine:
    """Receive up to the next line feed, or the end; *timeout* as in :class:`Receive`."""

    timeout: float | None = _timeout


@attrs.frozen
class ReceiveToEnd:
    """Receive until the server ends the stream; *timeout* as in :class:`Receive`."""

    timeout: float | None = _timeout


@attrs.frozen
class Expect:
    """Receive as many bytes as *data* has; that they are others is a finding.

    On datagrams, receive one. *timeout* as in :class:`Receive`.
    """

    data: bytes = attrs.field(validator=_data)
    timeout: float | None = _timeout


@attrs.frozen
class HalfClose:
    """Say that no more will be sent, and go on receiving."""


@attrs.frozen
class Close:
    """Close the connection, or the datagrams' socket."""


@attrs.frozen
class Reset:
    """Break the connection: the server gets ConnectionResetError."""


@attrs.frozen
class Wait:
    """Do nothing for so many seconds."""

    seconds: float = attrs.field(validator=seconds)


@attrs.frozen
class SendDatagram:
    """Send one datagram."""

    data: bytes = attrs.field(validator=_data)


@attrs.frozen
class ReceiveDatagram:
    """Receive one datagram; *timeout* as in :class:`Receive`."""

    timeout: float | None = _timeout


@attrs.frozen
class Shutdown:
    """Ask the server to stop, and wait until its loop has ended."""


@attrs.frozen
class Suspend:
    """Have the server leave new clients in the queue."""


@attrs.frozen
class Resume:
    """Have the server accept clients again."""


@attrs.frozen
class Drain:
    """Stop the server, then close it with *timeout* as its ``drain_timeout``."""

    timeout: float | None = attrs.field(default=None, validator=attrs.validators.optional(seconds))


@attrs.frozen
class CloseServer:
    """Stop the server, then close it as it is: ``shutdown()``, ``server_close()``."""


Action: TypeAlias = (
    Connect
    | Send
    | Receive
    | ReceiveExactly
    | ReceiveLine
    | ReceiveToEnd
    | Expect
    | HalfClose
    | Close
    | Reset
    | Wait
    | SendDatagram
    | ReceiveDatagram
    | Shutdown
    | Suspend
    | Resume
    | Drain
    | CloseServer
)

#: Every action by its name.
ACTIONS: Final[dict[str, type[Any]]] = {each.__name__: each for each in Action.__args__}

#: Those that need a connection.
STREAM_ACTIONS: Final = (
    Send,
    Receive,
    ReceiveExactly,
    ReceiveLine,
    ReceiveToEnd,
    HalfClose,
    Reset,
)

#: Those that wait for bytes.
RECEIVING: Final = (Receive, ReceiveExactly, ReceiveLine, ReceiveToEnd, Expect, ReceiveDatagram)

#: Those that ask something of the server.
OPERATOR_ACTIONS: Final = (Shutdown, Suspend, Resume, Drain, CloseServer)


def _tuple(actions: Iterable[Action]) -> tuple[Action, ...]:
    return tuple(actions)


_CONNECTION, _DATAGRAMS = "a connection", "datagrams"


def _actions(_: object, __: object, value: tuple[object, ...]) -> None:
    has_open: str | None = None
    for position, action in enumerate(value, 1):
        if type(action) not in ACTIONS.values():
            names = ", ".join(ACTIONS)
            raise TypeError(f"action {position} must be one of {names}, not {action!r}")
        try:
            has_open = _after(action, has_open)
        except ValueError as error:
            raise ValueError(f"action {position} is {action!r}, but {error}") from None


def _after(action: object, has_open: str | None) -> str | None:
    """Return what a client has open after *action*.

    :raises ValueError: the action needs something else to be open.
    """
    if isinstance(action, (Connect, SendDatagram, ReceiveDatagram)):
        wanted = _CONNECTION if isinstance(action, Connect) else _DATAGRAMS
        if has_open is not None and (has_open != wanted or wanted == _CONNECTION):
            raise ValueError(f"{has_open} is open")
        return wanted
    if isinstance(action, STREAM_ACTIONS) and has_open != _CONNECTION:
        raise ValueError("no Connect() is before it")
    if isinstance(action, (Close, Expect)) and has_open is None:
        raise ValueError("nothing is open")
    return None if isinstance(action, (Close, Reset)) else has_open


@attrs.frozen
class ClientScript:
    """What one client does, one action after the other.

    What it has open when it is through, it closes, as a process does that ends.

    :param actions: the actions.
    :param start: seconds after the server's start at which it begins.
    :raises TypeError: something is no action.
    :raises ValueError: an action needs something open that is not, or *start* is negative.
    """

    actions: tuple[Action, ...] = attrs.field(converter=_tuple, validator=_actions)
    start: float = attrs.field(default=0.0, validator=seconds)

    @property
    def sent(self) -> bytes:
        """All bytes that it sends, one after the other."""
        return b"".join(
            each.data for each in self.actions if isinstance(each, (Send, SendDatagram))
        )

    @property
    def uses_datagrams(self) -> bool:
        """Whether it sends or receives datagrams."""
        return any(isinstance(each, (SendDatagram, ReceiveDatagram)) for each in self.actions)

    @property
    def operates(self) -> bool:
        """Whether it asks something of the server."""
        return any(isinstance(each, OPERATOR_ACTIONS) for each in self.actions)
