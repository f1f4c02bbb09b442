"""Overrides that programs rely on: hooks extended, wrapped, queued, and answered by others."""

from __future__ import annotations

import queue
import socket
import threading
from typing import Any

from tests.parity.instrument import FORKS, INLINE, STREAMS, THREADS
from tests.parity.recorder import PATIENCE, describe
from tests.parity.scenario import EchoLine, HandlerOverride, Scenario, ServerOverride
from tests.parity.scenarios.handlers import Fails
from tests.parity.steps import (
    END,
    ORDINARY,
    PREPARED,
    Connect,
    Script,
    Send,
    Serve,
    WaitFor,
    request,
)


class Catches(ServerOverride):
    """Sees what comes back through process_request(), and deals with it."""

    def process_request(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request(request, client_address)
        except ValueError as error:
            self.note(f"caught {describe(error)}")
            self.shutdown_request(request)


class PassesOn(ServerOverride):
    """Sees what comes back through process_request(), and passes another exception on."""

    def process_request(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request(request, client_address)
        except ValueError as error:
            raise LookupError(f"instead of {error}") from error
        finally:
            self.note("finally")


class Locks(ServerOverride):
    """Holds a lock, as a timer would hold a start, for as long as the base's own runs."""

    def process_request(self, request: Any, client_address: Any) -> None:
        lock = vars(self).setdefault("_lock", threading.Lock())
        with lock:
            super().process_request(request, client_address)
            self.note(f"locked {lock.locked()}")
        self.note(f"locked {lock.locked()}")


class SkipsSuper(ServerOverride):
    """Serves in place, whatever the class would do."""

    def process_request(self, request: Any, client_address: Any) -> None:
        self.finish_request(request, client_address)
        self.shutdown_request(request)


class AlwaysInPlace(ServerOverride):
    """Does by hand what a thread would do."""

    def process_request(self, request: Any, client_address: Any) -> None:
        self.process_request_thread(request, client_address)


class Wrapped:
    """A socket in other clothes, as a TLS socket would be."""

    def __init__(self, wrapped: socket.socket) -> None:
        self._wrapped = wrapped

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)


def wrap(request: Any) -> Any:
    """Wrap a socket, or a datagram's socket."""
    if isinstance(request, tuple):
        return (b"wrapped " + request[0], Wrapped(request[1]))
    return Wrapped(request)


class WrapsInGetRequest(ServerOverride):
    def get_request(self) -> Any:
        request, client_address = super().get_request()
        return wrap(request), client_address


class WrapsInProcessRequest(ServerOverride):
    def process_request(self, request: Any, client_address: Any) -> None:
        super().process_request(wrap(request), client_address)


class WrapsInThread(ServerOverride):
    def process_request_thread(self, request: Any, client_address: Any) -> None:
        super().process_request_thread(wrap(request), client_address)


class WrapsInFinishRequest(ServerOverride):
    def finish_request(self, request: Any, client_address: Any) -> None:
        super().finish_request(wrap(request), client_address)


class RenamesTheClient(ServerOverride):
    """Says that the client is somebody else, as a proxy's header would."""

    def get_request(self) -> Any:
        self.number = vars(self).get("number", 0) + 1
        request, _ = super().get_request()
        return request, f"client {self.number}"


class OwnPool(ServerOverride):
    """Queues requests to a worker of its own, with process_request_thread() as the job."""

    def server_activate(self) -> None:
        super().server_activate()
        self.jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.worker = threading.Thread(target=self.work)
        self.worker.start()

    def work(self) -> None:
        for job in iter(self.jobs.get, None):
            self.process_request_thread(*job)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.jobs.put((request, client_address))

    def server_close(self) -> None:
        self.jobs.put(None)
        self.worker.join(PATIENCE)
        super().server_close()


class OwnPoolInline(OwnPool):
    """The same on a class that has no process_request_thread() of its own."""

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except Exception:
            self.handle_error(request, client_address)
        finally:
            self.shutdown_request(request)


class OwnThread(ServerOverride):
    """Starts threads itself."""

    def process_request(self, request: Any, client_address: Any) -> None:
        self.thread = threading.Thread(
            target=self.process_request_thread, args=(request, client_address)
        )
        self.thread.start()
        self.thread.join(PATIENCE)


class AroundTheThread(ServerOverride):
    """Sets up and tears down what a thread needs."""

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        self.note("opens a database")
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.note("closes the database")


class KeepsRequests(ServerOverride):
    """Takes requests, to serve and close them when it is closed."""

    def process_request(self, request: Any, client_address: Any) -> None:
        vars(self).setdefault("kept", []).append((request, client_address))

    def server_close(self) -> None:
        for kept, client_address in vars(self).pop("kept", []):
            self.note(f"serves {client_address!r} at last")
            self.finish_request(kept, client_address)
            self.shutdown_request(kept)
        super().server_close()


class ClosesByItself(HandlerOverride):
    """Closes the request before the server does."""

    def handle(self) -> None:
        self.wfile.write(self.rfile.readline().upper())
        self.request.close()


class DetachesTheSocket(HandlerOverride):
    """Takes the connection away from the server."""

    def handle(self) -> None:
        self.wfile.write(self.rfile.readline().upper())
        socket.socket(fileno=self.request.detach()).close()


class WithArguments(ServerOverride):
    """Builds the handler with more than it is usually given, and returns nothing."""

    def finish_request(self, request: Any, client_address: Any) -> None:
        handler: Any = self.RequestHandlerClass
        handler(request, client_address, self, greeting=b"dear ")


class Greets(HandlerOverride):
    """Takes one argument more."""

    def __init__(self, *args: Any, greeting: bytes) -> None:
        self.greeting = greeting
        super().__init__(*args)

    def handle(self) -> None:
        self.wfile.write(self.greeting + self.rfile.readline())


class ReturnsTheHandler(ServerOverride):
    """Gives back what it built."""

    def finish_request(self, request: Any, client_address: Any) -> Any:
        handler: Any = self.RequestHandlerClass
        return handler(request, client_address, self)


class BuildsNothing(ServerOverride):
    """Answers without any handler."""

    def finish_request(self, request: Any, client_address: Any) -> None:
        if isinstance(request, tuple):
            request[1].sendto(b"done\n", client_address)
        else:
            request.recv(100)
            request.sendall(b"done\n")


class ChoosesTheHandler(ServerOverride):
    """Takes a handler for each request, as a router would."""

    def finish_request(self, request: Any, client_address: Any) -> None:
        handler: Any = self.RequestHandlerClass
        self.RequestHandlerClass = lambda *args: self.note("was replaced")  # type: ignore[assignment]
        try:
            handler(request, client_address, self)
        finally:
            self.RequestHandlerClass = handler


class ShutsDownByHand(ServerOverride):
    """Closes without shutdown(), as one does with connections that have no halves."""

    def shutdown_request(self, request: Any) -> None:
        self.close_request(request)


class NeverCloses(ServerOverride):
    """Leaves requests open for somebody else."""

    def shutdown_request(self, request: Any) -> None:
        self.note("keeps it")


class SeesEachTurn(ServerOverride):
    """Looks after something in each turn of the loop."""

    def service_actions(self) -> None:
        self.fact("service_actions")
        super().service_actions()


class FailsInService(ServerOverride):
    """Fails while it looks after something, once there has been a request."""

    def process_request(self, request: Any, client_address: Any) -> None:
        self.seen = True
        super().process_request(request, client_address)

    def service_actions(self) -> None:
        if vars(self).get("seen"):
            raise ValueError("service_actions fails")


class CollectsChildren(ServerOverride):
    """Sees when children are collected, and how."""

    def collect_children(self, *, blocking: bool = False) -> None:
        self.fact(f"collect_children(blocking={blocking})")
        super().collect_children(blocking=blocking)  # type: ignore[misc]


class SetsThingsUp(EchoLine):
    """A handler's own attributes and constructor."""

    def __init__(self, request: Any, client_address: Any, server: Any) -> None:
        server.note("before the work")
        super().__init__(request, client_address, server)
        server.note("after the work")


class FailsToBeBuilt(SetsThingsUp):
    """Raises in the midst of its constructor."""

    handle = Fails.handle


TWO = (Serve(), *request("a"), *request("b"), *END)
ONE_UNREAD: Script = (Serve(), Connect("a"), Send("a"), *END)
QUEUED = (*PREPARED[:-2], WaitFor("leave process_request_thread: None", 2), *END)


EXTENDED = (
    Scenario("process_request catches", PREPARED, server=Catches, handler=Fails),
    Scenario("process_request passes on", PREPARED, server=PassesOn, handler=Fails),
    Scenario("process_request holds a lock", ORDINARY, server=Locks),
    Scenario("process_request in place", PREPARED, server=SkipsSuper),
    Scenario("process_request in place, fails", PREPARED, server=SkipsSuper, handler=Fails),
    Scenario(
        "process_request calls process_request_thread",
        PREPARED,
        server=AlwaysInPlace,
        ways=THREADS,
    ),
    Scenario("process_request_thread extended", ORDINARY, server=AroundTheThread, ways=THREADS),
    Scenario(
        "process_request_thread extended, fails",
        PREPARED,
        server=AroundTheThread,
        handler=Fails,
        ways=THREADS,
    ),
    Scenario("service_actions in each turn", ORDINARY, server=SeesEachTurn),
    Scenario("service_actions raises", ONE_UNREAD, server=FailsInService),
    Scenario("collect_children extended", PREPARED, server=CollectsChildren, ways=FORKS),
)

WRAPPED = (
    Scenario("wrapped in get_request", ORDINARY, server=WrapsInGetRequest),
    Scenario("wrapped in get_request, fails", PREPARED, server=WrapsInGetRequest, handler=Fails),
    Scenario("wrapped in process_request", ORDINARY, server=WrapsInProcessRequest),
    Scenario(
        "wrapped in process_request, fails",
        PREPARED,
        server=WrapsInProcessRequest,
        handler=Fails,
    ),
    Scenario("wrapped in process_request_thread", ORDINARY, server=WrapsInThread, ways=THREADS),
    Scenario("wrapped in finish_request", ORDINARY, server=WrapsInFinishRequest),
    Scenario("client renamed in get_request", PREPARED, server=RenamesTheClient, kinds=STREAMS),
)

QUEUES = (
    Scenario("queued to a pool", TWO, server=OwnPool, ways=THREADS),
    Scenario("queued to a pool, fails", QUEUED, server=OwnPool, handler=Fails, ways=THREADS),
    Scenario("queued to a pool by a plain class", TWO, server=OwnPoolInline, ways=INLINE),
    Scenario("served by the server's own threads", TWO, server=OwnThread, ways=THREADS),
    Scenario("kept until the end", PREPARED, server=KeepsRequests),
)

FINISHED = (
    Scenario("finish_request with arguments", ORDINARY, server=WithArguments, handler=Greets),
    Scenario("finish_request returns the handler", ORDINARY, server=ReturnsTheHandler),
    Scenario("finish_request builds nothing", ORDINARY, server=BuildsNothing),
    Scenario("finish_request chooses the handler", ORDINARY, server=ChoosesTheHandler),
    Scenario("handler with a constructor", ORDINARY, handler=SetsThingsUp),
    Scenario("handler with a constructor, fails", PREPARED, handler=FailsToBeBuilt),
    Scenario("closed by the handler", PREPARED, handler=ClosesByItself, kinds=STREAMS),
    Scenario("detached by the handler", PREPARED, handler=DetachesTheSocket, kinds=STREAMS),
    Scenario("shutdown_request without shutdown()", ORDINARY, server=ShutsDownByHand),
    Scenario("shutdown_request that keeps the request", PREPARED, server=NeverCloses),
)

SCENARIOS = (*EXTENDED, *WRAPPED, *QUEUES, *FINISHED)
