"""Serving in several processes: one that looks after the others, which serve.

The listeners are opened here, and inherited by all workers. Each of these loads the handler by
itself, so that those who replace others serve what the module has become meanwhile.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import Any, Final

import attrs

import sync_backend
from sansio_server.drain import drain_summary
from sansio_server.ledger import Counters, add_counters
from sansio_server.supervision import Fate, Worker, WorkerLimits
from sync_backend.supervisor import READY, STOPPED, Channel, Supervisor
from sync_backend.wakeup import Wakeup

from . import running
from .addresses import Address
from .backends import BACKENDS, Plan
from .console import REFUSED, CommandError, complain, flush, say
from .running import Front, Served, summary
from .signals import telling

__all__ = ["serve_in_workers"]

#: Seconds that a worker may take beyond its drain before it is told to end at once, and then until
#: it is killed.
_LATENESS: Final = 2.0

_PROG: Final = "sansio-server serve"


def serve_in_workers(plan: Plan, load: Callable[[], Any]) -> int:
    """Serve in as many workers as planned, until Ctrl-C or SIGTERM; return the exit status.

    :param load: returns the handler; called in each worker.
    :raises CommandError: an address cannot be bound, or the trace not be written.
    """
    status = _try(load)
    if status:
        return status
    with ExitStack() as open_files:
        addresses = []
        for address in plan.addresses:
            server = running.open_server(
                sync_backend, "", attrs.evolve(plan, handler=None), address
            )
            open_files.callback(server.server_close)
            addresses.append(
                attrs.evolve(address.bound(server.server_address), listener=server.socket)
            )
        plan = attrs.evolve(plan, addresses=tuple(addresses))
        running.begin_trace(plan)
        return _Group(plan, load).run()


def _try(load: Callable[[], Any]) -> int:
    """Load the handler in a process of its own, which leaves no trace here; return its status."""
    pid = os.fork()
    if pid == 0:
        status = REFUSED
        try:
            load()
            status = 0
        except CommandError as error:
            complain(error.prog or _PROG, error)
            status = error.status
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class _Group:
    """The workers, and what is known of them."""

    def __init__(self, plan: Plan, load: Callable[[], Any]) -> None:
        self._plan = plan
        self._load = load
        self._happened: deque[signal.Signals] = deque()
        self._served: dict[str, _Served] = {}
        self._status = REFUSED  # of the last that ended by an error
        self._silent = 0  # workers that left no word of what they served
        limits = plan.limits
        drain = None
        if limits.drain_timeout is not None:
            drain = limits.drain_timeout + limits.cut_timeout + _LATENESS
        self._drain = drain
        self._supervisor = Supervisor(
            WorkerLimits(
                workers=plan.workers, drain_timeout=drain, cut_timeout=_LATENESS, must_begin=True
            ),
            self._work,
            self._on_signal,
            "sansio-server",
            on_exit=self._on_exit,
        )

    # In the process that looks after the others.

    def run(self) -> int:
        """Look after the workers until all have ended; return the exit status."""
        supervisor = self._supervisor
        supervision = supervisor.supervision
        announced = False
        with (
            closing(supervisor),
            closing(Wakeup()) as wakeup,
            self._hearing(),
            wakeup.told_of_signals(),
        ):
            while not supervision.finished:
                supervisor.turn()
                if supervision.served and not announced:
                    announced = True
                    say(*(f"listening on {address}" for address in self._plan.addresses))
                if not self._happened and not supervision.finished:
                    supervisor.wait(supervisor.next_deadline(), wakeup)
                    wakeup.clear()
                while self._happened:
                    self._obey(self._happened.popleft())
        if supervision.failed:
            return self._status
        say(*map(self._sum_up, self._plan.addresses))
        return 0

    @contextmanager
    def _hearing(self) -> Iterator[None]:
        with telling(self._happened.append):
            former = signal.signal(
                signal.SIGHUP, lambda number, _: self._happened.append(signal.Signals(number))
            )
            try:
                yield
            finally:
                signal.signal(signal.SIGHUP, signal.SIG_DFL if former is None else former)

    def _obey(self, number: signal.Signals) -> None:
        supervisor = self._supervisor
        if number == signal.SIGHUP:
            supervisor.replace()
        elif not supervisor.supervision.stopping:
            supervisor.stop(self._drain)
        else:
            supervisor.kill()
            complain(_PROG, f"{number.name} came again: requests under way were cut off")
            flush()
            self._remove_paths()
            os._exit(128 + number)

    def _remove_paths(self) -> None:
        for address in self._plan.addresses:
            if address.path:
                with suppress(OSError):
                    os.unlink(address.path)

    def _on_exit(self, worker: Worker, fate: Fate) -> None:
        if fate is Fate.DIED and self._supervisor.status > 0:
            self._status = self._supervisor.status
        report = worker.process.report
        if report is None:
            self._silent += fate is not Fate.LEFT  # who left before it served has nothing to say
            return
        for address, told in json.loads(report).items():
            self._served.setdefault(address, _Served()).add(told)

    def _sum_up(self, address: Address) -> str:
        served = self._served.get(str(address), _Served())
        without = f"; {self._silent} workers left no word" if self._silent else ""
        return f"{summary(address, served.counters, served.drained())}{without}"

    # In a worker.

    def _on_signal(self, channel: Channel) -> None:
        front = self._front
        if front is None:
            sys.exit(0)  # nothing has begun
        if not front.told or channel.cuts:
            front.told = True
            front.tell(signal.SIGTERM)

    _front: _Worker | None = None

    def _work(self, channel: Channel) -> int:
        self._front = front = _Worker(channel, self._plan.max_requests)
        try:
            plan = attrs.evolve(self._plan, handler=self._load(), front=front)
            return BACKENDS[plan.backend].load()(plan)
        except CommandError as error:
            complain(error.prog or _PROG, error)
            return error.status


class _Worker(Front):
    """Tells the one who looks after this process how serving goes."""

    def __init__(self, channel: Channel, max_requests: float) -> None:
        self._channel = channel
        self._left = max_requests
        self._early: list[signal.Signals] = []
        self._opened: Sequence[Served] = ()
        self.tell: Callable[[signal.Signals], object] = self._early.append
        self.told = False

    @contextmanager
    def telling(self, tell: Callable[[signal.Signals], object]) -> Iterator[None]:
        """Call *tell* when this process is to stop."""
        self.tell = tell
        for number in self._early:
            tell(number)
        yield

    def request_came(self) -> None:
        """Count a request; stop if it was the last one that this process is to serve."""
        self._left -= 1
        if self._left == 0:
            self.told = True
            self.tell(signal.SIGTERM)

    def listening(self, opened: Sequence[Served]) -> None:
        """Say that this process serves."""
        self._opened = opened
        threading.Thread(target=self._watch, name="channel", daemon=True).start()
        self._channel.say(READY)

    def _watch(self) -> None:
        poller = select.poll()
        poller.register(self._channel.fileno(), select.POLLIN)
        while poller.poll():
            if not self._channel.look():
                self.told = True
                self.tell(signal.SIGTERM)
                return
            for served in self._opened:
                served.look_again()

    def stopping(self) -> None:
        """Say that this process accepts no more, if that was asked for."""
        if self.told:
            self._channel.say(STOPPED)

    def ended(self, opened: Sequence[Served]) -> None:
        """Say what was served."""
        self._channel.report(json.dumps({str(s.address): _told(s.server) for s in opened}))


@attrs.define
class _Served:
    """What workers served at one address."""

    counters: Counters = attrs.field(factory=Counters)
    drains: list[int] = attrs.field(factory=lambda: [0, 0, 0])
    seconds: float | None = None

    def add(self, told: Any) -> None:
        """Add what one worker has told."""
        self.counters = add_counters(self.counters, Counters(**told["counters"]))
        if told["drain"] is not None:
            seconds, *drains = told["drain"]
            self.seconds = max(seconds, self.seconds or 0.0)
            self.drains = [here + there for here, there in zip(self.drains, drains, strict=True)]

    def drained(self) -> str:
        """Say how they drained, as a report of one does; nothing if they did not."""
        return "" if self.seconds is None else drain_summary(self.seconds, *self.drains)


def _told(server: Any) -> dict[str, Any]:
    """Return what a worker tells of *server*."""
    report = server.drain_report
    drain = None
    if report is not None:
        drain = (report.seconds, len(report.finished), len(report.cut), len(report.left))
    return {"counters": attrs.asdict(server.counters), "drain": drain}
