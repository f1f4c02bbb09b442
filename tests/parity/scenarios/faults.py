"""Hooks that raise: each of them, what a server handles and what passes through it."""

from __future__ import annotations

import errno
import ssl
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from tests.parity.instrument import INET, INLINE, KINDS, STREAMS, THREADS
from tests.parity.recorder import PATIENCE
from tests.parity.scenario import EchoLine, HandlerOverride, Scenario, ServerOverride, both, raising
from tests.parity.scenarios.handlers import Fails, SaysNothing
from tests.parity.steps import END, PREPARED, Serve, request

ERRORS: dict[str, Callable[[str], BaseException]] = {
    "ValueError": ValueError,
    "KeyboardInterrupt": KeyboardInterrupt,
    "SystemExit": SystemExit,
}
EXCEPTIONS = ("ValueError", "KeyboardInterrupt")


def kinds_for(error: str, *, after: bool = False) -> Sequence[str]:
    """Return the kinds of server to play a fault on.

    One variety of each fault is for all kinds; for the others one kind of a sort will do.
    """
    return KINDS if error == "ValueError" and not after else INET


class Refuses(ServerOverride):
    """Serves nobody."""

    def verify_request(self, request: Any, client_address: Any) -> bool:
        return False


class RefusesByNone(ServerOverride):
    """Forgets to return anything."""

    def verify_request(self, request: Any, client_address: Any) -> bool:
        return None  # type: ignore[return-value]


class AcceptsByTruth(ServerOverride):
    """Returns something true."""

    def verify_request(self, request: Any, client_address: Any) -> bool:
        return "yes"  # type: ignore[return-value]


class FailsTwice(Fails):
    """Raises in handle() and in finish()."""

    def finish(self) -> None:
        super().finish()
        raise LookupError("finish fails")


class FailsQuietly(HandlerOverride):
    """Leaves through sys.exit() with nothing wrong."""

    def handle(self) -> None:
        self.rfile.readline()
        sys.exit(0)


class ReRaises(ServerOverride):
    """Passes on what it is told of."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        raise  # noqa: PLE0704 - it is called while the exception is being handled


class ClosesThenReRaises(ServerOverride):
    """Closes the request itself before it passes on what it is told of."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        self.close_request(request)
        raise  # noqa: PLE0704 - it is called while the exception is being handled


class ClosesOnError(ServerOverride):
    """Closes the request itself, and is content."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        self.shutdown_request(request)


class LooksAtTheError(ServerOverride):
    """Finds the exception where the documentation says that it is."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        kind, error, traceback = sys.exc_info()
        self.note(f"{kind} {error} {traceback is not None}")


class WaitsForTheThread(ServerOverride):
    """Does not return from process_request() before the request's thread is done with it."""

    def process_request(self, request: Any, client_address: Any) -> None:
        self.over = threading.Event()
        super().process_request(request, client_address)
        self.over.wait(PATIENCE)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        super().process_request_thread(request, client_address)
        self.over.set()


def raising_in_handler(hook: str, error: str) -> type:
    """Return a handler whose *hook* raises before it does anything."""
    return both(raising(hook, ERRORS[error]), EchoLine)


def fault(name: str, server: type, **options: Any) -> Scenario:
    """Return a scenario in which each request meets the same fault."""
    return Scenario(name, PREPARED, server=server, **options)


# Errors that get_request() may raise; each is raised once, and then all is well.
ACCEPT_ERRORS: dict[str, Callable[[str], BaseException]] = {
    "OSError without a number": OSError,
    "ECONNABORTED": partial(OSError, errno.ECONNABORTED),
    "EAGAIN": partial(BlockingIOError, errno.EAGAIN),
    "EPROTO": partial(OSError, errno.EPROTO),
    "TimeoutError": TimeoutError,
    "SSLError": partial(ssl.SSLError, 1),
    "EMFILE": partial(OSError, errno.EMFILE),
}

HANDLERS = tuple(
    Scenario(
        f"{hook} raises {error}",
        PREPARED,
        handler=raising_in_handler(hook, error),
        kinds=kinds_for(error),
    )
    for hook in ("setup", "handle", "finish")
    for error in (ERRORS if hook == "handle" else EXCEPTIONS)
)

GET_REQUEST = (
    *(
        fault(
            f"get_request raises {name}",
            raising("get_request", error, times=1),
            kinds=INET,
            ways=INLINE,
        )
        for name, error in ACCEPT_ERRORS.items()
    ),
    *(
        fault(
            f"get_request raises {name}",
            raising("get_request", ERRORS[name], times=1),
            kinds=kinds_for(name),
        )
        for name in EXCEPTIONS
    ),
)

SERVER = tuple(
    fault(
        f"{hook} raises {name}{' afterwards' * after}",
        raising(hook, ERRORS[name], after=after),
        kinds=kinds_for(name, after=after),
    )
    for hook, moments in {
        "verify_request": (False,),
        "process_request": (False,),
        "finish_request": (False, True),
        "shutdown_request": (False, True),
    }.items()
    for name in EXCEPTIONS
    for after in moments
)

# When a parent fails to close its copy, it shuts down the connection of which a child has another:
# what the child could still send would depend on who is faster, so it sends nothing.
CLOSE_REQUEST = tuple(
    fault(
        f"close_request raises {name}{' afterwards' * after}",
        raising("close_request", ERRORS[name], after=after),
        handler=SaysNothing,
        kinds=kinds_for(name, after=after),
    )
    for name in EXCEPTIONS
    for after in (False, True)
)

# Raised when the request is over, wherever it was served.
PROCESS_REQUEST = (
    *(
        fault(
            f"process_request raises {name} afterwards",
            raising("process_request", ERRORS[name], after=True),
            handler=SaysNothing,
            kinds=kinds_for(name),
            ways=("inline", "forks"),
        )
        for name in EXCEPTIONS
    ),
    *(
        fault(
            f"process_request raises {name} when its thread has ended",
            both(raising("process_request", ERRORS[name], after=True), WaitsForTheThread),
            kinds=kinds_for(name),
            ways=THREADS,
        )
        for name in EXCEPTIONS
    ),
)

PROCESS_REQUEST_THREAD = tuple(
    fault(
        f"process_request_thread raises {name}{' afterwards' * after}",
        raising("process_request_thread", ERRORS[name], after=after),
        kinds=kinds_for(name, after=after),
        ways=THREADS,
    )
    for name in EXCEPTIONS
    for after in (False, True)
)

HANDLE_ERROR = (
    *(
        fault(
            f"handle_error raises {name}",
            raising("handle_error", ERRORS[name]),
            handler=Fails,
            kinds=kinds_for(name),
        )
        for name in EXCEPTIONS
    ),
    *(
        fault(
            f"process_request and handle_error raise {name}",
            both(
                raising("process_request", ValueError),
                raising("handle_error", ERRORS[name]),
            ),
            kinds=kinds_for(name),
        )
        for name in EXCEPTIONS
    ),
    fault("handle_error re-raises", ReRaises, handler=Fails),
    fault("handle_error closes and re-raises", ClosesThenReRaises, handler=Fails, kinds=STREAMS),
    fault("handle_error closes", ClosesOnError, handler=Fails, kinds=STREAMS),
    fault("handle_error looks at the exception", LooksAtTheError, handler=Fails, kinds=INET),
)

SCENARIOS = (
    *HANDLERS,
    Scenario("handle and finish raise", PREPARED, handler=FailsTwice, kinds=INET),
    Scenario("handle calls sys.exit()", PREPARED, handler=FailsQuietly, kinds=INET),
    Scenario(
        "a handler that takes no arguments",
        PREPARED,
        make_handler=lambda _: lambda: None,
        kinds=INET,
    ),
    Scenario(
        "the next client after a fault",
        (Serve(), *request("a")[:2], *request("b")[:2], *END),
        handler=Fails,
    ),
    *GET_REQUEST,
    fault(
        "get_request finds the listener dead",
        raising("get_request", partial(OSError, errno.EBADF), times=1),
    ),
    fault("verify_request refuses", Refuses),
    fault("verify_request returns None", RefusesByNone, kinds=INET),
    fault("verify_request returns something true", AcceptsByTruth, kinds=INET),
    *SERVER,
    *PROCESS_REQUEST,
    *CLOSE_REQUEST,
    *PROCESS_REQUEST_THREAD,
    *HANDLE_ERROR,
    Scenario(
        "shutdown_request raises after a handler that raises",
        PREPARED,
        server=raising("shutdown_request", ValueError),
        handler=Fails,
        kinds=INET,
    ),
)
