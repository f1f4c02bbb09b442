"""Plays a scenario on one column and returns its trace."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from sansio_server.testing.real_sockets.client_sockets import client_socket
from tests.parity.clients import Client
from tests.parity.columns import Column
from tests.parity.instrument import (
    DATAGRAMS,
    HANDLER_HOOKS,
    SERVER_HOOKS,
    base_of,
    instrument,
)
from tests.parity.memory import in_a_world, let_others_end
from tests.parity.recorder import PATIENCE, PRINTS, Line, Recorder, TookTooLongError, describe
from tests.parity.scenario import Scenario
from tests.parity.scenarios.async_handlers import twin_of


def play(
    scenario: Scenario,
    column: Column,
    way: str,
    kind: str,
    directory: Path,
    forms: Sequence[str] = ("actors",),
) -> dict[str, list[str]]:
    """Play a scenario from the server's construction to its end, and return its trace in each form.

    :param directory: where Unix sockets are bound.
    :param forms: how traces are ordered: by "actors"; by "requests"; by requests that "tasks"
        serve, which have no process_request_thread(); by those with "asynchronous" handlers,
        which begin when finish_request() has returned; or by those that a "pool" serves inside
        process_request(), so that this ends as they do.
    """
    with contextlib.ExitStack() as stack:
        recorder: Recorder
        make_socket: Callable[[int, int], Any]
        if column.in_memory:
            recorder, make_socket = in_a_world(stack)
        else:
            recorder, make_socket = Recorder(), client_socket
        stage = Stage(scenario, column, way, kind, recorder, directory, make_socket)
        stack.enter_context(_everything_recorded(recorder))
        stack.callback(stage.clear_up)
        recorder.act_as("main")
        stage.build()
        if stage.server is not None:
            for step in scenario.steps:
                step.run(stage)
            stage.end()
    return {form: _trace(recorder, form) for form in forms}


def _trace(recorder: Recorder, form: str) -> list[str]:
    if form == "actors":
        return recorder.trace()
    if form == "requests":
        return recorder.requests()
    late = {"asynchronous": ("finish_request",), "pool": ("process_request",)}.get(form, ())
    return recorder.requests(
        without=("process_request_thread",), without_end=late, pooled=form == "pool"
    )


class Stage:
    """A server, its clients, and the thread that its loop runs in."""

    def __init__(
        self,
        scenario: Scenario,
        column: Column,
        way: str,
        kind: str,
        recorder: Recorder,
        directory: Path,
        make_socket: Callable[[int, int], Any],
    ) -> None:
        self.scenario = scenario
        self.column = column
        self.way = way
        self.kind = kind
        self.recorder = recorder
        self._directory = directory
        self._make_socket = make_socket
        self._paths: list[Path] = []
        self.server: Any = None
        self.clients: dict[str, Client] = {}
        self._sent = 0
        self._loops = 0
        self._threads: dict[str, threading.Thread] = {}
        self._other_threads = set(threading.enumerate())
        for word, theirs in column.alike.items():
            recorder.label(word, theirs)

    # What the server is asked to do.

    def build(self) -> None:
        """Construct the instrumented server."""
        scenario, recorder = self.scenario, self.recorder
        base = base_of(self.column.module, self.kind, self.way)
        hooks = SERVER_HOOKS if scenario.recorded else {}
        server_class = instrument(base, scenario.server, recorder, hooks)
        extras = {"note": recorder.record, "fact": recorder.fact}
        for name, value in {**extras, **self.column.attributes, **scenario.attributes}.items():
            setattr(server_class, name, staticmethod(value) if name in extras else value)  # type: ignore[arg-type]
        handler = scenario.make_handler(self._handler_class())

        def construct() -> None:
            before = _count_descriptors()
            try:
                self.server = server_class(self._address(), handler, **scenario.arguments)
            except BaseException:
                recorder.record(f"descriptors left open: {_count_descriptors() - before}")
                raise

        self._run("main", "constructor", construct)
        if self.server is not None:
            self.column.watch(self.server, recorder)
            recorder.label(self.server.server_address, "server")

    def start(self, actor: str, method: str, *args: object) -> None:
        """Run a method of the server in a thread of its own."""
        self._loops += actor == "loop"
        self._start(actor, method, lambda: getattr(self.server, method)(*args))

    def call(self, method: str, *args: object) -> None:
        """Run a method of the server in a thread of its own, to its end."""
        self._do("main", method, lambda: getattr(self.server, method)(*args))

    def join(self, actor: str) -> None:
        """Wait for what runs in the thread of that name."""
        thread = self._threads.pop(actor, None)
        if thread is not None:
            self._join(thread)

    def close(self) -> None:
        """Close the server, wait for its threads, and close what it left open."""
        if self.kind in DATAGRAMS:
            # All share the listener, and would fail to reply if they came after it is closed.
            self._join_other_threads("process_request_thread", "sansio-pool")
        self.call("server_close")
        self._join_other_threads()
        for request in self.recorder.left_open():
            request.close()

    # What clients do.

    def connect(self, name: str, *, unnamed: bool) -> None:
        path = None if unnamed else self._path(name)
        client = self.clients[name] = Client(
            self.kind, self.server.server_address, path, self._make_socket
        )
        if client.address:
            self.recorder.label(client.address, name)
        self._sent += self.kind not in DATAGRAMS

    def send(self, name: str, data: bytes) -> None:
        self.clients[name].send(data)
        self._sent += self.kind in DATAGRAMS

    def read_to_end(self, name: str) -> None:
        if self.kind not in DATAGRAMS:
            self.note(f"{name} reads {self.clients[name].read_rest()}")

    def note(self, text: str) -> None:
        """Record what a client saw."""
        self.recorder.record(text, actor="clients")

    # What is waited for.

    def wait_for(self, text: str, count: int) -> None:
        self.recorder.wait_until(
            lambda lines: sum(line.text == text for line in lines) >= count, f"{text!r}"
        )

    def wait_until_accepted(self) -> None:
        """Wait until all requests are taken, or until the loop has ended by itself."""
        if self.scenario.recorded:
            self.recorder.wait_until(self._all_accepted, f"{self._sent} requests taken")

    # The end.

    def end(self) -> None:
        """Read what clients have not read, and wait for every child."""
        for name, client in self.clients.items():
            if not client.ended:
                self.note(f"{name} finds {client.read_rest()}")
            client.close()

    def clear_up(self) -> None:
        """Leave nothing behind, whatever happened."""
        for client in self.clients.values():
            client.close()
        listener = getattr(self.server, "socket", None)
        if listener is not None:
            listener.close()
        for path in self._paths:
            path.unlink(missing_ok=True)
        for pid in self.recorder.finish():
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)

    def _handler_class(self) -> type:
        name = "BaseRequestHandler"
        if self.scenario.handler_base == "files":
            name = "DatagramRequestHandler" if self.kind in DATAGRAMS else "StreamRequestHandler"
        base = getattr(self.column.module, name)
        handler: type | None = self.scenario.handler
        if self.column.asynchronous:
            handler = twin_of(self.scenario.handler)
        return instrument(
            base, handler, self.recorder, HANDLER_HOOKS, asynchronous=self.column.asynchronous
        )

    def _address(self) -> object:
        if self.scenario.address is not None:
            return self.scenario.address
        if self.kind.startswith("Unix"):
            return self._path("server")
        return ("127.0.0.1", 0)

    def _path(self, name: str) -> str:
        path = self._directory / name
        self._paths.append(path)
        return str(path)

    def _all_accepted(self, lines: Sequence[Line]) -> bool:
        accepted = sum(line.text.startswith("leave get_request") for line in lines)
        ended = sum(line.thread == "loop" and line.text.startswith(_ENDED) for line in lines)
        return accepted >= self._sent or ended == self._loops

    def _do(self, actor: str, what: str, function: Callable[[], object]) -> None:
        self._start(actor, what, function)
        self.join(actor)

    def _start(self, actor: str, what: str, function: Callable[[], object]) -> None:
        def run() -> None:
            self.recorder.act_as(actor)
            self._run(actor, what, function)
            if os.getpid() != self.recorder.pid:
                os._exit(99)  # a child must never come back here

        thread = self._threads[actor] = threading.Thread(target=run, name=what, daemon=True)
        thread.start()

    def _run(self, actor: str, what: str, function: Callable[[], object]) -> None:
        try:
            result = function()
        except BaseException as error:  # KeyboardInterrupt and SystemExit are part of the game
            outcome = f"{what} raised {describe(error)}"
        else:
            told = "the server" if result is not None and result is self.server else result
            outcome = f"{what} returned" + f" {told}" * (result is not None)
        self.recorder.record(outcome, actor=actor)

    def _join_other_threads(self, *named: str) -> None:
        if self.column.in_memory:
            let_others_end()
            return
        for thread in set(threading.enumerate()) - self._other_threads:
            if not named or any(name in thread.name for name in named):
                self._join(thread)

    def _join(self, thread: threading.Thread) -> None:
        thread.join(PATIENCE)
        if thread.is_alive():
            raise TookTooLongError(f"{thread.name} did not end\n{self.recorder.report()}")


def _count_descriptors() -> int:
    return len(os.listdir("/dev/fd"))


# How the last record of a loop begins.
_ENDED = ("serve_forever r", "handle_request r")


class _RecordedStderr:
    """Records what is printed, without the frames of tracebacks: those name files and lines."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._begun = threading.local()

    def write(self, text: str) -> int:
        *lines, self._begun.text = (getattr(self._begun, "text", "") + text).split("\n")
        for line in lines:
            if not line.startswith(" "):
                self._recorder.record(f"{PRINTS}{line}")
        return len(text)

    def flush(self) -> None:
        pass


class _RecordingHandler(logging.Handler):
    """Records what is logged."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def emit(self, record: logging.LogRecord) -> None:
        self._recorder.record(f"logs {record.getMessage()}")


@contextlib.contextmanager
def _everything_recorded(recorder: Recorder) -> Iterator[None]:
    """Record also what is printed and logged, what excepthook gets, and how children exit."""
    stderr, excepthook, exit_now = sys.stderr, threading.excepthook, os._exit
    handler = _RecordingHandler(recorder)

    def record_exit(status: int) -> None:
        recorder.record(f"exits with {status}")
        exit_now(status)

    def record_exception(args: threading.ExceptHookArgs) -> None:
        assert args.exc_value is not None
        recorder.uncaught(args.exc_value)

    sys.stderr = _RecordedStderr(recorder)
    threading.excepthook = record_exception
    os._exit = record_exit  # type: ignore[assignment]
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        sys.stderr, threading.excepthook, os._exit = stderr, excepthook, exit_now
