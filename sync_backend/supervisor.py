"""Worker processes: forked, heard, told to stop, reaped.

What is to be done when is decided by :class:`~sansio_server.supervision.Supervision`. This does it.
A worker and its supervisor are joined by a pair of sockets, on which the worker says what becomes
of it, and sees when its supervisor is gone. It is told to stop by SIGTERM. To have it cut the
requests that are left, that is said on the sockets first, since two signals may become one.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, NoReturn

from sansio_server.hooks import LOGGER
from sansio_server.supervision import Action, Fate, Supervision, Worker, WorkerLimits

from .children import LOOK_INTERVAL, Children
from .poller import LONGEST_SLEEP, HasFileno

__all__ = ["Channel", "Supervisor", "WorkerProcess", "give_way"]

#: What is not to interrupt the work between two sleeps; and what a worker is not to take for its
#: parent's, before it has handlers of its own.
_SIGNALS: Final = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}

#: How often to step back: until the other workers have heard of the stop, too, until who supervises
#: has heard of them, and until the thread goes on that has asked for it.
_TURNS_OF_OTHERS: Final = 3
_YIELD: Final[Callable[[], object]] = getattr(os, "sched_yield", lambda: None)

READY: Final = "ready"
STOPPED: Final = "stopped"
_REPORT: Final = "report "
_LOOK: Final = b"l"
_CUT: Final = b"c"


class Channel:
    """A worker's end of what joins it to its supervisor.

    :ivar cuts: whether requests that are left are to be cut.
    :ivar row: memory that both see; see :attr:`WorkerProcess.row`.
    """

    def __init__(self, end: socket.socket, row: Any) -> None:
        end.setblocking(False)
        self._end = end
        self.row = row
        self.cuts = False

    def fileno(self) -> int:
        """Return what becomes readable when :meth:`look` has something to say."""
        return self._end.fileno()

    def say(self, what: str) -> None:
        """Tell the supervisor something; harmless when it is gone."""
        data = what.encode() + b"\n"
        try:
            sent = self._end.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            return
        if sent < len(data):  # a long report, or nobody has listened for long
            with suppress(OSError):
                self._end.setblocking(True)
                self._end.sendall(data[sent:])
                self._end.setblocking(False)

    def report(self, text: str) -> None:
        """Leave a line of text to the supervisor, for after the end."""
        self.say(_REPORT + text)

    def look(self) -> bool:
        """Take what the supervisor has said; return False if it is gone."""
        try:
            said = self._end.recv(4096)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self.cuts = self.cuts or _CUT in said
        return bool(said)

    def close(self) -> None:
        """Let go of the supervisor; for processes that the worker forks."""
        self._end.close()


def give_way() -> None:
    """Let others run who can, now that what is left to do is not awaited by anybody."""
    for _ in range(_TURNS_OF_OTHERS):
        _YIELD()


class WorkerProcess:
    """A worker as its supervisor knows it.

    :ivar pid: its process.
    :ivar report: the last line that it left.
    :ivar row: memory that both see, as the supervisor's *new_row* made it.
    """

    def __init__(self, pid: int, end: socket.socket, row: Any) -> None:
        end.setblocking(False)
        self.pid = pid
        self.report: str | None = None
        self.row = row
        self._end = end
        self._heard = b""

    def fileno(self) -> int:
        """Return what becomes readable when the worker says something, or ends."""
        return self._end.fileno()

    def hear(self) -> list[str]:
        """Return what the worker has said since the last call."""
        with suppress(OSError):
            while data := self._end.recv(65536):
                self._heard += data
        *lines, self._heard = self._heard.split(b"\n")
        return [line.decode() for line in lines]

    def let_look(self) -> None:
        """Have the worker look for a client, though nothing woke it."""
        self._say(_LOOK)

    def let_cut(self) -> None:
        """Have the worker cut its requests at the next signal."""
        self._say(_CUT)

    def _say(self, what: bytes) -> None:
        with suppress(OSError):  # it is about to end, or has not looked for very long
            self._end.send(what)

    def close(self) -> None:
        """Let go of the worker."""
        self._end.close()


class Supervisor:
    """Those who start worker processes and look after them.

    For several threads; one that forks should be the only one.

    :param limits: how many, and how long they may take.
    :param work: what a worker does; it returns the exit status.
    :param on_signal: called in a worker by each SIGTERM, in the middle of that.
    :param name: whose workers they are, for the log.
    :param begin: called in a worker first of all, when no signal can come in between.
    :param new_row: makes memory that a worker shares with its supervisor.
    :param on_exit: called with each worker that was reaped and how it came to its end.
    """

    def __init__(
        self,
        limits: WorkerLimits,
        work: Callable[[Channel], int],
        on_signal: Callable[[Channel], object],
        name: str,
        *,
        begin: Callable[[], object] = lambda: None,
        new_row: Callable[[], Any] = lambda: None,
        on_exit: Callable[[Worker, Fate], object] = lambda worker, fate: None,
    ) -> None:
        self.supervision = Supervision(limits)
        self.status = 0  # of the worker that exited last
        self._work = work
        self._on_signal = on_signal
        self._name = name
        self._begin = begin
        self._new_row = new_row
        self._on_exit = on_exit
        self._children = Children()
        self._lock = threading.RLock()
        self._signals: set[Any] | None = None  # blocked before; None while nothing is done

    def pids(self) -> list[int]:
        """Return the pids of the workers that have not been reaped."""
        return [process.pid for process in self._processes()]

    def processes(self) -> list[WorkerProcess]:
        """Return the workers that have not been reaped."""
        return list(self._processes())

    def _processes(self) -> Iterable[WorkerProcess]:
        return [w.process for w in list(self.supervision.workers) if w.process is not None]

    # What is asked for.

    def replace(self) -> None:
        """Have all workers replaced, one after the other; for any thread and signal handler.

        It begins with the next :meth:`turn`.
        """
        self.supervision.replace()

    def stop(self, drain_timeout: float | None) -> None:
        """Tell all workers to stop.

        :param drain_timeout: seconds until they cut what they still serve; None for never.
        """
        with self._undisturbed():
            self.supervision.stop(time.monotonic(), drain_timeout)
            self.turn()

    def kill(self) -> None:
        """End all workers at once, and reap them."""
        with self._undisturbed():
            self.supervision.kill()
            self.turn()
            for worker in list(self.supervision.workers):
                self._reap(worker, 0)

    # What goes on.

    def turn(self) -> None:
        """Hear, reap and do what there is to do now."""
        with self._undisturbed():
            self._hear()
            self.collect()
            for action, worker in self.supervision.step(time.monotonic()):
                _DOING[action](self, worker)

    def next_deadline(self) -> float:
        """Return when there will be something to do by itself, on the monotonic clock."""
        return self.supervision.next_deadline()

    def wait(self, until: float, *others: HasFileno) -> list[int]:
        """Sleep until a worker says something or exits, or one of *others* is readable.

        :param until: when to wake at the latest, on the monotonic clock.
        :returns: the descriptors of *others* that are readable.
        """
        poller = select.poll()
        wanted = {other.fileno() for other in others}
        for descriptor in (*wanted, *self._children.descriptors()):
            poller.register(descriptor, select.POLLIN)
        for process in self._processes():
            with suppress(ValueError):  # closed by another thread
                poller.register(process.fileno(), select.POLLIN)
        seconds = min(max(0.0, until - time.monotonic()), LONGEST_SLEEP)
        if not self._children.all_watched(self.pids()):
            seconds = min(seconds, LOOK_INTERVAL)
        ready = [descriptor for descriptor, _ in poller.poll(1000 * seconds)]
        return [descriptor for descriptor in ready if descriptor in wanted]

    def collect(self) -> None:
        """Reap workers that have exited: those of this supervisor, and no others."""
        with self._undisturbed():
            exited = set(self._children.maybe_exited(self.pids()))
            for worker in list(self.supervision.workers):
                if worker.process is not None and worker.process.pid in exited:
                    self._reap(worker, os.WNOHANG)

    def close(self) -> None:
        """Let go of what is used to watch workers; those that are left are watched no more."""
        self._children.close()
        for process in self._processes():
            process.close()

    # Within.

    @contextmanager
    def _undisturbed(self) -> Iterator[None]:
        """Let no other thread come in between, nor a signal that raises an exception."""
        with self._lock:
            if self._signals is not None:
                yield
                return
            self._signals = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
            try:
                yield
            finally:
                former, self._signals = self._signals, None
                signal.pthread_sigmask(signal.SIG_SETMASK, former)

    def _hear(self) -> None:
        for worker in list(self.supervision.workers):
            if worker.process is not None:
                self._hear_one(worker)

    def _hear_one(self, worker: Worker) -> None:
        for line in worker.process.hear():
            if line == READY:
                self.supervision.ready(worker)
            elif line == STOPPED:
                self.supervision.stopped(worker, time.monotonic())
                self._let_others_look(worker)
            elif line.startswith(_REPORT):
                worker.process.report = line[len(_REPORT) :]

    def _let_others_look(self, worker: Worker) -> None:
        # It may have been woken for a client whom it did not let in any more.
        if self.supervision.stopping:
            return  # nor will the others
        for other in self.supervision.workers:
            if other is not worker and other.process is not None:
                other.process.let_look()

    def _reap(self, worker: Worker, options: int) -> None:
        process: WorkerProcess = worker.process
        try:
            reaped, status = os.waitpid(process.pid, options)
        except ChildProcessError:
            reaped, status = process.pid, 0  # somebody else has reaped it
        if not reaped:
            return
        self._hear_one(worker)
        self._children.unwatch(process.pid)
        process.close()
        fate = self.supervision.exited(worker, time.monotonic())
        self.status = os.waitstatus_to_exitcode(status)
        self._tell_of_end(process.pid, fate)
        self._let_others_look(worker)
        self._on_exit(worker, fate)

    def _tell_of_end(self, pid: int, fate: Fate) -> None:
        if fate is Fate.DIED:
            how = f"status {self.status}"
            if self.status < 0:
                how = signal.Signals(-self.status).name
            LOGGER.warning("%s: worker %d died of itself, with %s", self._name, pid, how)
        elif fate is Fate.KILLED and not self.supervision.killing:
            LOGGER.warning("%s: worker %d did not end in time, and was killed", self._name, pid)

    def _start(self, worker: Worker) -> None:
        try:
            self._fork(worker)
        except OSError as error:
            LOGGER.warning("%s: no worker can be started: %s", self._name, error)
            self.supervision.exited(worker, time.monotonic())

    def _fork(self, worker: Worker) -> None:
        here, there = socket.socketpair()
        try:
            row = self._new_row()
            pid = os.fork()
        except BaseException:
            here.close()
            there.close()
            raise
        if pid == 0:
            here.close()
            self._be_worker(Channel(there, row))
        there.close()
        worker.process = WorkerProcess(pid, here, row)
        self._children.watch(pid)

    def _be_worker(self, channel: Channel) -> NoReturn:
        """Do a worker's work, and exit."""
        status = 1
        try:
            self.close()
            self._begin()
            _take_signals(lambda: self._hear_signal(channel), self._signals or set())
            status = self._work(channel)
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else 1
        except BaseException:  # noqa: BLE001 - nobody is above
            sys.excepthook(*sys.exc_info())
        finally:
            for stream in (sys.stdout, sys.stderr):
                with suppress(Exception):
                    stream.flush()
            os._exit(status)

    def _hear_signal(self, channel: Channel) -> None:
        channel.look()
        self._on_signal(channel)

    def _send(self, worker: Worker, number: signal.Signals) -> None:
        if worker.process is not None:
            with suppress(ProcessLookupError):
                os.kill(worker.process.pid, number)

    def _stop(self, worker: Worker) -> None:
        self._send(worker, signal.SIGTERM)

    def _cut(self, worker: Worker) -> None:
        if worker.process is not None:
            worker.process.let_cut()
        self._stop(worker)

    def _kill(self, worker: Worker) -> None:
        self._send(worker, signal.SIGKILL)

    def _give_up(self, worker: Worker) -> None:
        pid = "" if worker.process is None else f" {worker.process.pid}"
        LOGGER.error("%s: worker%s did not begin, so that those before it stay", self._name, pid)


_DOING: Final[dict[Action, Callable[[Supervisor, Worker], None]]] = {
    Action.START: Supervisor._start,
    Action.STOP: Supervisor._stop,
    Action.CUT: Supervisor._cut,
    Action.KILL: Supervisor._kill,
    Action.GIVE_UP: Supervisor._give_up,
}


def _take_signals(on_stop: Callable[[], object], signals: set[Any]) -> None:
    """Let SIGTERM call *on_stop*, and what a terminal sends to all be the supervisor's matter."""
    signal.set_wakeup_fd(-1)  # whoever forked is the main thread now
    home = os.getpid()

    def on_signal(number: int, _: object) -> None:
        if os.getpid() == home:
            on_stop()
        else:  # a child that the worker has forked: nobody there can do what is asked for
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    signal.signal(signal.SIGTERM, on_signal)
    for number in (signal.SIGINT, signal.SIGHUP):
        if callable(signal.getsignal(number)):
            signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_SETMASK, signals)
