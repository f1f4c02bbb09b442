"""Records what hooks do, in every thread and forked child, as lines that two runs can compare.

Lines travel through one pipe: each is a single small write, which keeps them whole and in the order
in which each thread wrote them, whichever process it was in; and the pipe ends when the last child
does. How threads and children interleave is left to the scheduler, so lines are compared actor by
actor: the thread that starts and stops the server, the one that serves, each worker, each child.
Tasks share a thread, so where these serve, lines are compared request by request.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from itertools import count
from typing import Any, NamedTuple

import attrs

# How long anything that must happen may take, in seconds.
PATIENCE = 10.0

# POSIX lets a pipe split longer writes; 512 is the least that it may promise to keep whole.
_WHOLE_WRITE = max(select.PIPE_BUF, 512)

# What somebody prints begins like this.
PRINTS = "prints "

# The actor of what is recorded once, however often it happens.
FACT = "fact"

# Between the fields of a record: the separator of units, which no text has in it.
_BETWEEN = "\x1f"

# What nobody has dealt with is recorded like this.
_UNCAUGHT = "excepthook gets "

# The name of a thread that nobody named begins like this.
_UNNAMED = "thread "

# The name of the thread that serves, and what children do when they have served.
_LOOP = "loop"
_OF_CHILDREN = ("server_close", "with ")

# The hook that is running here, by its number, and whose request was last seen here.
_hook: ContextVar[str] = ContextVar("_hook", default="")
_request: ContextVar[str] = ContextVar("_request", default="")


class TookTooLongError(AssertionError):
    """Something that must happen has not happened."""


class Line(NamedTuple):
    """One record: who wrote it, what happened, and to whose request, where that is known.

    And, for comparing request by request: the hook that is entered or left, or was running, and
    whose request that is for.
    """

    pid: int
    thread: str
    text: str
    client: str | None = None
    hook: str = ""
    request: str = ""


@attrs.define
class Left:
    """What a hook left with, for the hook's last line."""

    result: str = "None"


@attrs.define
class _Hook:
    """A hook that ran, what became of it, and what was recorded meanwhile."""

    of: str
    call: str
    outcome: str = ""
    notes: list[str] = attrs.field(factory=list)

    @property
    def is_idle(self) -> bool:
        """Whether somebody was to be accepted, and nobody was there."""
        name = self.call.removeprefix("super().").partition("(")[0]
        return name == "get_request" and "BlockingIOError" in self.outcome


class Recorder:
    """Takes records from hooks, and gives them back by actor."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._reading, self._writing = os.pipe()
        self._unread = b""
        self._lines: list[Line] = []
        self._thread = threading.local()
        self._labels: dict[str, str] = {}
        self.kept: list[tuple[Any, str]] = []
        self._numbers = count(1)

    def label(self, address: object, name: str) -> None:
        """Have *name* stand for *address* wherever it is recorded."""
        self._labels[repr(address)] = name
        self._labels[str(address)] = name

    def uncaught(self, error: BaseException) -> None:
        """Record what nobody has dealt with."""
        self.record(f"{_UNCAUGHT}{describe(error)}")

    def act_as(self, actor: str) -> None:
        """Name the calling thread."""
        self._thread.name = actor

    def record(self, text: str, client: object = None, actor: str | None = None) -> None:
        """Add a line on behalf of the calling thread, which may be in a child."""
        name = actor or getattr(self._thread, "name", None)
        if name is None:
            # Idents are used again when a thread has ended, so the thread keeps a name of its own.
            name = self._thread.name = f"{_UNNAMED}{threading.get_ident()} {next(self._numbers)}"
        told = None if client is None else repr(client)
        hook, request = ("", "") if actor else (_hook.get(), _request.get())
        if text.startswith(_UNCAUGHT):
            hook = ""  # raised by all hooks there were
            request = request or getattr(self._thread, "request", "")
        elif not hook:
            request = ""  # the one that was seen last may be over
        self._write(Line(os.getpid(), name, text, told, hook, request))

    def fact(self, text: str) -> None:
        """Add something that holds, however often it is seen and by whomever."""
        self._write(Line(self.pid, FACT, text))

    def keep(self, request: Any, client_address: object) -> None:
        """Remember a request, so that one that is left open is found at the end."""
        if not isinstance(request, tuple):
            self.kept.append((request, repr(client_address)))

    def left_open(self) -> list[Any]:
        """Record which of the remembered requests are open, and return them."""
        found = [
            (request, client)
            for request, client in self.kept
            if hasattr(request, "fileno") and request.fileno() != -1
        ]
        for client in sorted({self._named(client) for _, client in found}):
            self.record(f"left open: {client}", actor="main")
        return [request for request, _ in found]

    @contextmanager
    def hook(
        self, name: str, details: str = "", client: object = None, *, whose: str | None = None
    ) -> Iterator[Left]:
        """Record that a hook is entered, and how it is left.

        :param whose: the client's address, as text; empty where the hook is not called for any
            request; None for the one that was seen here last, since some hooks are not told.
        """
        if whose is not None:
            _request.set(whose)
            self._thread.request = whose
        outer = _hook.get()
        _hook.set(f"{os.getpid()}.{next(self._numbers)}")
        try:
            self.record(f"enter {name}({details})", client)
            left = Left()
            try:
                yield left
            except BaseException as error:
                self.record(f"raise {name}: {describe(error)}", client)
                raise
            self.record(f"leave {name}: {left.result}", client)
        finally:
            _hook.set(outer)

    def wait_until(self, happened: Callable[[Sequence[Line]], bool], what: str) -> None:
        """Read records until those so far show that something happened."""
        deadline = time.monotonic() + PATIENCE
        while not happened(self._lines):
            if not self._read_some(deadline):
                raise TookTooLongError(f"{what}: not within {PATIENCE} s\n{self.report()}")

    def finish(self) -> set[int]:
        """Read all there is to come, until every child has ended; return the children's pids."""
        writing, self._writing = self._writing, -1  # a stuck thread must not write elsewhere
        os.close(writing)
        deadline = time.monotonic() + PATIENCE
        while self._read_some(deadline):
            pass
        os.close(self._reading)
        children = {line.pid for line in self._lines} - {self.pid}
        if time.monotonic() >= deadline:
            for pid in children:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            raise TookTooLongError(f"a child did not end within {PATIENCE} s\n{self.report()}")
        return children

    def trace(self) -> list[str]:
        """Return the records, a line each, actor by actor; equal runs have equal traces."""
        sequences: dict[tuple[int, str], list[Line]] = {}
        for line in self._lines:
            sequences.setdefault((line.pid, line.thread), []).append(line)
        named = [
            (self._actor(lines[0], lines), [self._named(line.text) for line in lines])
            for lines in sequences.values()
        ]
        trace: list[str] = []
        for actor, texts in sorted(named):
            told = sorted(set(texts)) if actor == FACT else _condensed(texts)
            trace.extend(f"{actor}: {text}" for text in told)
        return trace

    def requests(
        self,
        without: Collection[str] = (),
        without_end: Collection[str] = (),
        *,
        pooled: bool = False,
    ) -> list[str]:
        """Return the records, a line each, request by request; equal runs have equal ones.

        Hooks are in the order in which they began, each followed by what was recorded meanwhile.
        How they nest is not told, nor where they ran. What no request was seen for is told of the
        thread.

        :param without: names of hooks that are not to be told of.
        :param without_end: names of hooks of which it is not to be told how they ended.
        :param pooled: whether those who serve accept, too. They stand for the loop then, in no
            order, and nothing is told of how they end, nor of who finds nobody to accept.
        """
        hooks: dict[str, _Hook] = {}
        order: dict[str, list[_Hook]] = {}
        facts: set[str] = set()
        for line in self._lines:
            verb, _, rest = line.text.partition(" ")
            running = hooks.get(line.hook)
            if pooled and line.pid != self.pid and rest.startswith(_OF_CHILDREN):
                continue
            if line.thread == FACT:
                facts.add(self._named(line.text))
            elif verb in {"leave", "raise"} and running is not None:
                name, _, outcome = rest.partition(": ")
                assert running.call.startswith(f"{name}("), f"{line} does not end {running}"
                running.outcome = f"{' raises' * (verb == 'raise')}: {outcome}"
                if name.removeprefix("super().") in without_end:
                    running.outcome = " "
            elif verb == "enter" or running is None or running.outcome:
                begun = _Hook(_told_of(line), rest if verb == "enter" else line.text)
                order.setdefault(begun.of, []).append(begun)
                if verb == "enter":
                    hooks[line.hook] = begun
            else:
                running.notes.append(line.text)
        trace = [f"{FACT}: {fact}" for fact in sorted(facts)]
        for of in sorted(order, key=self._named):
            told = [each for each in order[of] if each.call.partition("(")[0] not in without]
            if pooled and of == _LOOP:
                told = [each for each in told if not each.is_idle]
                told.sort(key=lambda each: self._named(f"{each.call}{each.outcome}"))
            lines = _condensed([text for each in told for text in _told(each)])
            trace += [f"{self._named(of)}: {self._named(line)}" for line in lines]
        return trace

    def report(self) -> str:
        """Return the records so far in the order in which they came."""
        return "\n".join(
            f"{line.pid} {line.thread}: {self._named(line.text)}" for line in self._lines
        )

    def _write(self, line: Line) -> None:
        text = line.text.replace("\n", " / ")
        fields = (str(line.pid), line.thread, text, line.client or "", line.hook, line.request)
        data = _BETWEEN.join(fields).encode() + b"\n"
        assert len(data) <= _WHOLE_WRITE, f"a record of {len(data)} bytes may be split: {line}"
        os.write(self._writing, data)

    def _actor(self, first: Line, lines: list[Line]) -> str:
        client = next((line.client for line in lines if line.client is not None), None)
        if first.pid != self.pid:
            return f"child {self._named(client or 'of nobody')}"
        if first.thread.startswith(_UNNAMED):
            return f"worker {self._named(client or 'of nobody')}"
        return first.thread

    def _named(self, text: str) -> str:
        for address, name in self._labels.items():
            text = text.replace(address, name)
        return text

    def _read_some(self, deadline: float) -> bool:
        """Read at least one record, unless the time is over or the pipe ends."""
        ready, _, _ = select.select([self._reading], [], [], max(0.0, deadline - time.monotonic()))
        data = os.read(self._reading, 65536) if ready else b""
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            pid, thread, text, client, hook, request = line.decode().split(_BETWEEN)
            self._lines.append(Line(int(pid), thread, text, client or None, hook, request))
        return bool(data)


def _told_of(line: Line) -> str:
    """Return whom a line is about: a request, or a thread; those of a pool are the loop."""
    return line.request or (_LOOP if line.thread.startswith(_UNNAMED) else line.thread)


def _told(hook: _Hook) -> list[str]:
    return [f"{hook.call}{hook.outcome}", *hook.notes]


def _condensed(texts: list[str]) -> list[str]:
    """Make one line of what is printed at a time, and of a hook in which nothing else happens."""
    lines: list[str] = []
    for text in texts:
        last = lines[-1] if lines else ""
        if text.startswith(PRINTS) and last.startswith(PRINTS):
            lines[-1] = f"{last} | {text.removeprefix(PRINTS)}"
        elif _leaves(text, last):
            call = last.removeprefix("enter ")
            verb, _, outcome = text.partition(" ")
            lines[-1] = f"{call}{' raises' * (verb == 'raise')}: {outcome.partition(': ')[2]}"
        else:
            lines.append(text)
    return lines


def _leaves(text: str, last: str) -> bool:
    verb, _, outcome = text.partition(" ")
    return verb in {"leave", "raise"} and last.startswith(f"enter {outcome.partition(': ')[0]}(")


def describe(error: BaseException) -> str:
    """Return the type and message of an exception."""
    return f"{type(error).__name__}: {error}"


def describe_request(request: Any) -> str:
    """Return what sort of object a request is, and whether it is still open."""
    if isinstance(request, tuple):
        return "datagram"
    name = type(request).__name__
    if not hasattr(request, "fileno"):
        return name
    return f"closed {name}" if request.fileno() == -1 else name
