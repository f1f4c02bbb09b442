"""The words that scenarios are written in: what clients do, and what is asked of the server."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import attrs

if TYPE_CHECKING:
    from tests.parity.stage import Stage

LINE = b"hello\n"

# How often the stdlib looks whether it should stop, in seconds.
POLL_INTERVAL = 0.002


class Step(Protocol):
    """One step of a script."""

    def run(self, stage: Stage) -> None:
        """Do it."""


Script = tuple[Step, ...]


@attrs.frozen
class Connect:
    """Make a client; an unnamed one has a Unix socket without a path."""

    name: str
    unnamed: bool = False
    tls: Callable[[], ssl.SSLContext] | None = None

    def run(self, stage: Stage) -> None:
        stage.connect(self.name, unnamed=self.unnamed)
        if self.tls is not None:
            stage.clients[self.name].begin_tls(self.tls())


@attrs.frozen
class Send:
    name: str
    data: bytes = LINE

    def run(self, stage: Stage) -> None:
        stage.send(self.name, self.data)


@attrs.frozen
class HalfClose:
    name: str

    def run(self, stage: Stage) -> None:
        stage.clients[self.name].half_close()


@attrs.frozen
class Reset:
    name: str

    def run(self, stage: Stage) -> None:
        stage.clients[self.name].reset()


@attrs.frozen
class Leave:
    """Close the client's socket."""

    name: str

    def run(self, stage: Stage) -> None:
        stage.clients[self.name].close()


@attrs.frozen
class ReadLine:
    """Wait for a datagram, or for a line of the stream or its end."""

    name: str

    def run(self, stage: Stage) -> None:
        stage.note(f"{self.name} reads {stage.clients[self.name].read_line()!r}")


@attrs.frozen
class ReadToEnd:
    """Wait for the end of the stream. Datagrams have none: theirs are counted when all is over."""

    name: str

    def run(self, stage: Stage) -> None:
        stage.read_to_end(self.name)


@attrs.frozen
class Serve:
    """Start serve_forever() in a thread of its own."""

    poll_interval: float = POLL_INTERVAL

    def run(self, stage: Stage) -> None:
        stage.start("loop", "serve_forever", self.poll_interval)


@attrs.frozen
class HandleRequest:
    """Run handle_request() to its end, where serve_forever() would run."""

    def run(self, stage: Stage) -> None:
        stage.start("loop", "handle_request")
        stage.join("loop")


@attrs.frozen
class StartHandleRequest:
    """Start handle_request(), which WaitForLoop or Stop waits for."""

    def run(self, stage: Stage) -> None:
        stage.start("loop", "handle_request")


@attrs.frozen
class WaitForLoop:
    """Wait for serve_forever() or handle_request() to end by itself."""

    def run(self, stage: Stage) -> None:
        stage.join("loop")


@attrs.frozen
class WaitFor:
    """Wait until a line is recorded so often."""

    text: str
    count: int = 1

    def run(self, stage: Stage) -> None:
        stage.wait_for(self.text, self.count)


@attrs.frozen
class Stop:
    """Call shutdown() when the server has taken all requests, or its loop has ended."""

    def run(self, stage: Stage) -> None:
        stage.wait_until_accepted()
        stage.call("shutdown")
        stage.join("loop")


@attrs.frozen
class Call:
    """Call a method of the server in a thread other than the loop's."""

    method: str
    args: tuple[object, ...] = ()

    def run(self, stage: Stage) -> None:
        stage.call(self.method, *self.args)


@attrs.frozen
class Do:
    """Do something with the server that only one scenario needs."""

    what: Callable[[Any], object]

    def run(self, stage: Stage) -> None:
        self.what(stage.server)


@attrs.frozen
class Close:
    """Call server_close(), and wait for all that the server started."""

    def run(self, stage: Stage) -> None:
        stage.close()


@attrs.frozen
class Set:
    """Set an attribute of the server."""

    name: str
    value: object

    def run(self, stage: Stage) -> None:
        setattr(stage.server, self.name, self.value)


# The end of most scripts.
END: Script = (Stop(), Close())


def request(name: str) -> Script:
    """Return the steps of a client that gets its reply while the server is serving."""
    return (Connect(name), Send(name), ReadLine(name), ReadToEnd(name))


ORDINARY: Script = (Serve(), *request("a"), *END)

# All that clients send is there before the server starts, and all it sends is read after it ended:
# whatever goes wrong, what each side sees does not depend on who is faster.
ALREADY_THERE: Script = (Connect("a"), Send("a"), Connect("b"), Send("b"))
PREPARED: Script = (*ALREADY_THERE, Serve(), *END)
