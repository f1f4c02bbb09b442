"""Loops: how serving begins and ends, once and again, and waiting for requests one by one."""

from __future__ import annotations

import errno
import socket
from functools import partial
from typing import Any

from tests.parity.instrument import FORKS, INET, INLINE, NO_FORKS
from tests.parity.scenario import EchoLine, HandlerOverride, Scenario, ServerOverride, raising
from tests.parity.scenarios.faults import Refuses
from tests.parity.scenarios.handlers import Fails
from tests.parity.steps import (
    ALREADY_THERE,
    END,
    ORDINARY,
    Call,
    Close,
    Connect,
    Do,
    HandleRequest,
    Script,
    Send,
    Serve,
    Set,
    StartHandleRequest,
    Stop,
    WaitForLoop,
    request,
)

NOBODY = 0.005  # seconds that a server waits for nobody


class ReturnsFromTimeout(ServerOverride):
    """Has something to say when nobody comes."""

    def handle_timeout(self) -> Any:
        super().handle_timeout()
        return "nobody came"


class StopsInHandler(EchoLine):
    """Asks its own server to stop."""

    def handle(self) -> None:
        super().handle()
        self.server.note("stops")
        self.server.shutdown()
        self.server.note("has stopped")


class StopsInService(ServerOverride):
    """Asks itself to stop, in its own loop."""

    def service_actions(self) -> None:
        super().service_actions()
        if vars(self).get("served"):
            self.shutdown()

    def process_request(self, request: Any, client_address: Any) -> None:
        super().process_request(request, client_address)
        self.served = True


class Interrupts(HandlerOverride):
    """Ends the loop as Ctrl-C would."""

    def handle(self) -> None:
        self.rfile.readline()
        raise KeyboardInterrupt


def socket_timeout(seconds: float | None) -> Do:
    """Return a step that sets the timeout of the server's socket."""
    return Do(lambda server: server.socket.settimeout(seconds))


def kill_the_listener(server: Any) -> None:
    """Make the listener useless, though it stays open."""
    server.socket.shutdown(socket.SHUT_RDWR)


ONE_BY_ONE: Script = (*ALREADY_THERE, HandleRequest(), HandleRequest(), Close())
NOBODY_COMES: Script = (HandleRequest(), Close())
ONE: Script = (Connect("a"), Send("a"))

HANDLE_REQUEST = (
    Scenario("handle_request", ONE_BY_ONE),
    Scenario(
        "handle_request that waits",
        (StartHandleRequest(), *request("a"), WaitForLoop(), Close()),
    ),
    Scenario("handle_request refuses", ONE_BY_ONE, server=Refuses),
    Scenario("handle_request meets an error", ONE_BY_ONE, handler=Fails),
    Scenario("handle_request is interrupted", ONE_BY_ONE, handler=Interrupts),
    Scenario(
        "handle_request accepts nobody",
        (*ONE, HandleRequest(), HandleRequest(), Close()),
        server=raising("get_request", partial(OSError, errno.ECONNABORTED), times=1),
    ),
    Scenario(
        "handle_request meets a dead listener",
        (Do(kill_the_listener), HandleRequest(), Close()),
        # Of Unix sockets accept() tells nothing of that, at least where it does not wait.
        kinds=("TCPServer",),
    ),
    Scenario(
        "handle_request, then serve_forever",
        (*ONE, HandleRequest(), Serve(), *request("b"), *END),
    ),
    Scenario(
        "serve_forever, then handle_request",
        (Serve(), *request("b"), Stop(), *ONE, HandleRequest(), Close()),
    ),
)

TIMEOUTS = (
    Scenario("timeout passes", NOBODY_COMES, attributes={"timeout": NOBODY}),
    Scenario("timeout does not pass", ONE_BY_ONE, attributes={"timeout": 10}, kinds=INET),
    Scenario("timeout 0 and nobody", NOBODY_COMES, attributes={"timeout": 0}),
    Scenario("timeout 0 and clients", ONE_BY_ONE, attributes={"timeout": 0}, kinds=INET),
    Scenario("timeout of the instance", (Set("timeout", NOBODY), *NOBODY_COMES), kinds=INET),
    Scenario("timeout of the socket", (socket_timeout(NOBODY), *NOBODY_COMES)),
    Scenario(
        "timeout of the socket, the shorter",
        (Set("timeout", 60), socket_timeout(NOBODY), *NOBODY_COMES),
        kinds=INET,
    ),
    Scenario(
        "timeout of the socket, the longer",
        (Set("timeout", NOBODY), socket_timeout(60), *NOBODY_COMES),
        kinds=INET,
    ),
    Scenario("timeout of the socket and clients", (socket_timeout(10), *ONE_BY_ONE)),
    Scenario("a socket that does not block, and nobody", (socket_timeout(0), *NOBODY_COMES)),
    Scenario("a socket that does not block", (socket_timeout(0), *ONE_BY_ONE)),
    Scenario(
        "handle_timeout returns",
        NOBODY_COMES,
        server=ReturnsFromTimeout,
        attributes={"timeout": 0},
    ),
    Scenario(
        "handle_timeout raises",
        NOBODY_COMES,
        server=raising("handle_timeout", ValueError),
        attributes={"timeout": 0},
    ),
)

TWICE: Script = (Serve(), *request("a"), Stop(), Serve(), *request("b"), *END)
INTERRUPTED: Script = (
    *(*ONE, Serve(), WaitForLoop()),
    *(Connect("b"), Send("b"), Serve(), WaitForLoop()),
    Close(),
)
CLOSED_WHILE_SERVING: Script = (Serve(), *request("a"), Call("server_close"), *END)

SERVE_FOREVER = (
    Scenario("serving twice", TWICE),
    Scenario("serving with a timeout that does not count", ORDINARY, attributes={"timeout": 0}),
    Scenario("serving a socket with a timeout", (socket_timeout(5), *ORDINARY)),
    Scenario("serving a socket that does not block", (socket_timeout(0), *ORDINARY)),
    Scenario("serving with poll_interval 0", (Serve(0), *ORDINARY[1:])),
    Scenario("serving again after an interrupt", INTERRUPTED, handler=Interrupts, ways=INLINE),
    Scenario("closed while serving", CLOSED_WHILE_SERVING, recorded=False),
)

# A stop that was kept ends the next loop; the one after that serves.
ENDS_AT_ONCE: Script = (Serve(), WaitForLoop())
SERVES: Script = (Serve(), *request("b"), *END)

STOPPED = (
    Scenario("stopped twice", (*ORDINARY[:-1], Call("shutdown"), *ENDS_AT_ONCE, *SERVES)),
    Scenario("stopped before serving", (Call("shutdown"), *ENDS_AT_ONCE, *SERVES)),
    Scenario(
        "stopped before handle_request",
        (Call("shutdown"), HandleRequest(), HandleRequest(), Close()),
        attributes={"timeout": 0},
    ),
    Scenario("stopped after closing", (*ORDINARY, Call("shutdown"), *ENDS_AT_ONCE)),
    Scenario(
        "stopped by the handler",
        (Serve(), *request("a"), WaitForLoop(), Close()),
        handler=StopsInHandler,
        ways=NO_FORKS,
    ),
    Scenario("stopped by the handler in a child", ORDINARY, handler=StopsInHandler, ways=FORKS),
    Scenario(
        "stopped by service_actions",
        (Serve(), *request("a"), WaitForLoop(), Close()),
        server=StopsInService,
    ),
    Scenario(
        "stopped while it would sleep for an hour",
        (Serve(3600), *request("a"), *END),
    ),
)

SCENARIOS = (*HANDLE_REQUEST, *TIMEOUTS, *SERVE_FOREVER, *STOPPED)
