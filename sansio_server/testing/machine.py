"""A state machine for Hypothesis that moves a server in memory through any course of events.

This needs the extra ``testing``.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, ClassVar, Final

from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
)

from .runs.invariants import (
    BUILT_IN,
    Invariant,
    check_invariants,
    finished_at_most_once,
    no_errors,
    none_accepted_after_stop,
)
from .runs.run import Run
from .scripts.script import Script
from .servers.classes import ThreadingTCPServer
from .servers.clients import Client
from .servers.scripted import ScriptedServer

__all__ = ["ServerMachine"]

#: What can be seen to be broken before the end.
_AT_ANY_TIME: Final = frozenset({finished_at_most_once, none_accepted_after_stop, no_errors})

#: The most clients connected at once.
_MOST: Final = 5

#: Seconds of the world's time that a client waits for what may not come.
_A_MOMENT: Final = 0.01


class ServerMachine(RuleBasedStateMachine):
    """Clients that come, send, receive and leave, time that passes, a server that is suspended.

    Derive from this, set :attr:`handler`, and let pytest find ``YourMachine.TestCase``. Add rules
    of your own for what your protocol has, with :attr:`clients` as their bundle and
    :attr:`server` to ask; override :meth:`received` to look at what comes.

    :ivar server: the server under test, a :class:`~.scripted.ScriptedServer`.
    """

    #: The handler: a class or any callable.
    handler: ClassVar[Callable[..., Any] | None] = None
    #: The server's class, of any backend.
    server_class: ClassVar[type[Any]] = ThreadingTCPServer
    #: Attributes of the server, such as ``{"max_connections": 2}``.
    attributes: ClassVar[Mapping[str, Any]] = {}
    #: What clients send.
    messages: ClassVar[st.SearchStrategy[bytes]] = st.binary(max_size=64)
    #: What must hold at the end, and as far as it can be seen before.
    must_hold: ClassVar[tuple[Invariant, ...]] = BUILT_IN

    #: The clients that are connected.
    clients = Bundle("clients")

    server: ScriptedServer

    def __init__(self) -> None:
        super().__init__()
        self._connected: list[Client] = []
        self._half_closed: list[Client] = []
        self._has_begun = False

    @initialize(target=clients, seed=st.none() | st.integers(0, 2**16))
    def begin(self, seed: int | None) -> Client:
        """The server begins to serve, and a first client connects."""
        handler = inspect.getattr_static(type(self), "handler")  # a function would be bound
        server = ScriptedServer(handler, self.server_class, seed=seed, **self.attributes)
        self.server = server.__enter__()
        self._has_begun = True
        return self._connect()

    @precondition(lambda self: len(self._connected) < _MOST)
    @rule(target=clients)
    def connect(self) -> Client:
        """A client connects."""
        return self._connect()

    def _connect(self) -> Client:
        client = self.server.connect()
        self._connected.append(client)
        return client

    @rule(client=clients, data=st.data())
    def send(self, client: Client, data: st.DataObject) -> None:
        """A client sends something."""
        if client not in self._half_closed:
            message = data.draw(self.messages, label="message")
            with suppress(OSError):  # nobody will receive it
                client.send(message, timeout=_A_MOMENT)

    @rule(client=clients)
    def receive(self, client: Client) -> None:
        """A client receives what is there, or comes in a moment."""
        with suppress(OSError):  # nothing comes, or never will
            self.received(client, client.recv(timeout=_A_MOMENT))

    @rule(client=clients, data=st.data())
    def ask(self, client: Client, data: st.DataObject) -> None:
        """A client sends something, and receives what comes."""
        self.send(client, data)
        self.receive(client)

    @rule(client=clients)
    def half_close(self, client: Client) -> None:
        """A client says that it will send no more."""
        if client not in self._half_closed:
            self._half_closed.append(client)
            with suppress(OSError):  # the connection is broken
                client.shutdown_write()

    @rule(client=consumes(clients))
    def close(self, client: Client) -> None:
        """A client closes its connection."""
        self._connected.remove(client)
        client.close()

    @rule(client=consumes(clients))
    def reset(self, client: Client) -> None:
        """A client breaks its connection."""
        self._connected.remove(client)
        client.reset()

    @rule(seconds=st.sampled_from((0.0, 0.1, 1.0, 60.0)))
    def advance(self, seconds: float) -> None:
        """Time passes."""
        self.server.advance(seconds)

    @rule()
    def suspend(self) -> None:
        """The server is suspended."""
        self.server.suspend()

    @rule()
    def resume(self) -> None:
        """The server is resumed."""
        self.server.resume()

    @invariant()
    def holds(self) -> None:
        """What must hold holds, as far as it can be seen yet.

        :raises AssertionError: it does not.
        """
        self.server.run()
        self._check(each for each in self.must_hold if each in _AT_ANY_TIME)

    def received(self, client: Client, data: bytes) -> None:
        """Called with what a client has received; override this to look at it."""

    def teardown(self) -> None:
        """Stop the server, and check what must hold at the end.

        :raises AssertionError: it does not.
        """
        if not self._has_begun:
            return
        error = sys.exc_info()[1]
        for client in self._connected:
            client.close()
        self.server.__exit__(None if error is None else type(error), error, None)
        if error is None:
            self._check(self.must_hold)

    def _check(self, invariants: Iterable[Invariant]) -> None:
        server = self.server.server
        run = Run(
            script=Script(()),
            trace=tuple(self.server.trace),
            timeline=tuple(self.server.timeline),
            counters=server.counters,
            still_open=len(server._ledger),
        )
        findings = check_invariants(run, invariants)
        if findings:
            raise AssertionError("\n".join([*map(str, findings), "", str(self.server)]))
