"""What a scenario is: a script of steps for one server, with overrides and faults."""

from __future__ import annotations

import socketserver
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from tests.parity.instrument import KINDS, WAYS
from tests.parity.steps import Step

if TYPE_CHECKING:

    class ServerOverride(socketserver.ThreadingMixIn, socketserver.TCPServer):
        """The base of overrides of server hooks."""

        active_children: set[int] | None
        # Adds a record; adds one that counts once, however often it comes.
        note: Callable[[str], None]
        fact: Callable[[str], None]

    class HandlerOverride(socketserver.StreamRequestHandler):
        """The base of overrides of handler hooks."""

        server: ServerOverride

else:

    class ServerOverride:
        """The base of overrides of server hooks; the class under test follows it in the MRO."""

    class HandlerOverride:
        """The base of overrides of handler hooks; the class under test follows it in the MRO."""


class EchoLine(HandlerOverride):
    """Sends one line back in capitals: works with the stream's handler and the datagrams'."""

    def handle(self) -> None:
        line = self.rfile.readline()
        self.wfile.write(line.upper())


def as_it_is(handler: type) -> object:
    """Give the server the handler class itself."""
    return handler


@attrs.frozen
class Scenario:
    """One script, and the server that it is played on."""

    name: str
    steps: Sequence[Step]
    server: type | None = None
    handler: type = EchoLine
    # "files": StreamRequestHandler or DatagramRequestHandler; "base": BaseRequestHandler.
    handler_base: str = "files"
    # What the server is given as RequestHandlerClass.
    make_handler: Callable[[type], object] = as_it_is
    # The server's address, if not one that is free.
    address: object = None
    # Class attributes of the server and further arguments of its constructor.
    attributes: Mapping[str, object] = attrs.field(factory=dict)
    arguments: Mapping[str, object] = attrs.field(factory=dict)
    kinds: Sequence[str] = KINDS
    ways: Sequence[str] = tuple(WAYS)
    # Whether the server's hooks are: with none overridden, a server may take shorter ways.
    recorded: bool = True


def raising(
    hook: str,
    error: Callable[[str], BaseException],
    *,
    after: bool = False,
    times: int | None = None,
) -> type:
    """Return an override whose *hook* raises, so often, before or after the base's own."""

    def override(self: Any, *args: Any) -> Any:
        count = vars(self).get("_raised", 0)
        if times is not None and count >= times:
            return getattr(super(cls, self), hook)(*args)
        self._raised = count + 1
        if after:
            getattr(super(cls, self), hook)(*args)
        raise error(f"{hook} fails")

    cls = type(f"Raising_{hook}", (), {hook: override})
    return cls


def both(*overrides: type) -> type:
    """Return one override made of several."""
    return type("_".join(override.__name__ for override in overrides), overrides, {})
