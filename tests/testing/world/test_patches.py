"""Programs that sleep, lock and start threads, in a world and beside it."""

from __future__ import annotations

import queue
import socket
import socketserver
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sansio_server.testing import Deadlock, ScriptedServer, ThreadingTCPServer, World
from sansio_server.testing.world.patches import EPOCH, patched


def jumping(seed: int | None = None) -> World:
    return World(seed, jumps=True)


def test_time_is_the_worlds() -> None:
    with jumping() as world:
        assert (time.time(), time.monotonic(), time.perf_counter()) == (EPOCH, 0.0, 0.0)
        time.sleep(86400)
        assert world.now == 86400
        assert time.time() == EPOCH + 86400
        assert time.time_ns() == (int(EPOCH) + 86400) * 10**9
        assert time.monotonic_ns() == time.perf_counter_ns() == 86400 * 10**9
        with pytest.raises(ValueError, match="sleep length must be non-negative"):
            time.sleep(-1)
    assert time.time() > EPOCH + 86400


def test_another_thread_has_its_own_time() -> None:
    with jumping():
        seen: list[float] = []
        outside = threading.Thread(target=lambda: seen.append(time.time()))
        other = World(jumps=True)
    with patched():
        outside.start()
        outside.join()
    assert seen[0] > EPOCH + 86400
    other.close()


def test_all_is_put_back() -> None:
    places = [
        (time, "sleep"),
        (time, "time"),
        (threading, "Lock"),
        (threading, "RLock"),
        (threading.Thread, "start"),
        (queue, "SimpleQueue"),
        (socket, "getfqdn"),
    ]
    before = [getattr(*place) for place in places]
    with jumping():
        with patched():
            pass
        assert all(getattr(*place) is not was for place, was in zip(places, before, strict=True))
    assert [getattr(*place) for place in places] == before


def test_names_are_not_looked_up() -> None:
    with jumping():
        assert socket.getfqdn("127.0.0.1") == "127.0.0.1"
        assert socket.getfqdn() == "localhost"


def test_a_handler_that_sleeps() -> None:
    class Sleeps(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            time.sleep(3600)
            self.request.sendall(b"%d" % time.monotonic())

    with ScriptedServer(Sleeps) as server:
        client = server.connect()
        server.advance(3599)
        assert not client.closed_by_server
        server.advance(1)
        assert client.read_to_end() == b"3600"


# Threads that a program starts by itself.


def test_a_thread_is_part_of_the_world() -> None:
    with jumping() as world:
        told: list[Any] = []

        def work(name: str) -> None:
            assert threading.current_thread().name == name
            time.sleep(10)
            told.append((name, time.monotonic()))

        threads = [threading.Thread(target=work, args=(n,), name=n) for n in ("one", "two")]
        for thread in threads:
            assert not thread.is_alive()
            thread.start()
            assert thread.is_alive()
        threads[0].join(5)
        assert (world.now, told, threads[0].is_alive()) == (5.0, [], True)
        for thread in threads:
            thread.join()
        assert told == [("one", 10.0), ("two", 10.0)]
        assert not threads[0].is_alive()
        with pytest.raises(RuntimeError, match="threads can only be started once"):
            threads[0].start()
    threads[0].join()


def test_what_a_thread_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", told.append)

    def fail() -> None:
        raise ValueError("oh")

    def leave() -> None:
        raise SystemExit

    with jumping() as world:
        threads = [threading.Thread(target=target) for target in (fail, leave)]
        for thread in threads:
            thread.start()
            thread.join()
    assert [(args.exc_type, args.thread) for args in told] == [
        (ValueError, threads[0]),
        (SystemExit, threads[1]),
    ]
    assert [type(error) for error in world.unhandled] == [ValueError]


def test_a_thread_that_waits_for_ever_is_unwound() -> None:
    with jumping():
        event = threading.Event()
        thread = threading.Thread(target=event.wait)
        thread.start()
        with pytest.raises(Deadlock, match="held by"):
            thread.join()
    assert not thread.is_alive()


def test_a_thread_cannot_be_joined_from_elsewhere() -> None:
    with jumping() as world:
        thread = threading.Thread(target=time.sleep, args=(5,))
        thread.start()
        failures: list[str] = []

        def join() -> None:
            try:
                thread.join()
            except RuntimeError as error:
                failures.append(str(error))

        world.settle()
        outside: Any = threading.Thread(target=join)
    with patched():
        outside.start()
        outside.join()
    assert failures == []  # it has ended with its world


# Locks, and what is made of them.


def test_what_is_made_of_locks() -> None:
    with jumping() as world:
        event, condition = threading.Event(), threading.Condition()
        semaphore, barrier = threading.Semaphore(0), threading.Barrier(2)
        jobs: queue.Queue[str] = queue.Queue()
        simple: Any = queue.SimpleQueue()
        log: list[str] = []

        def work() -> None:
            event.wait()
            log.append("event")
            with condition:
                condition.wait_for(lambda: "notified" in log)
            log.append("condition")
            semaphore.acquire()
            log.append("semaphore")
            barrier.wait()
            log.append(jobs.get())
            log.append(simple.get())

        thread = threading.Thread(target=work)
        thread.start()
        world.settle()
        event.set()
        world.settle()
        with condition:
            log.append("notified")
            condition.notify()
        world.settle()
        semaphore.release()
        barrier.wait()
        jobs.put("queue")
        simple.put("simple queue")
        thread.join()
    assert log == ["event", "notified", "condition", "semaphore", "queue", "simple queue"]


def test_waits_end_in_the_worlds_time() -> None:
    with jumping() as world:
        simple: Any = queue.SimpleQueue()
        assert not threading.Event().wait(10)
        condition = threading.Condition()
        with condition:
            assert not condition.wait_for(lambda: False, timeout=10)
        with pytest.raises(queue.Empty):
            queue.Queue[int]().get(timeout=10)
        with pytest.raises(queue.Empty):
            simple.get(timeout=10)
        assert world.now == 40


def test_what_was_made_before_the_world_works_in_it() -> None:
    event, condition = threading.Event(), threading.Condition()
    with jumping() as world:
        thread = threading.Thread(target=event.wait)
        thread.start()
        world.settle()
        event.set()
        thread.join()
        with condition:
            assert not condition.wait(timeout=3)
        assert world.now == 3


def test_a_pool_of_threads() -> None:
    with jumping() as world, ThreadPoolExecutor(2) as pool:
        began = [pool.submit(time.sleep, seconds) for seconds in (3, 5, 4)]
        assert [future.result() for future in began] == [None] * 3
        assert world.now == 7


def test_a_lock_kept_by_a_handler_is_a_deadlock_not_a_hang() -> None:
    class Server(ThreadingTCPServer):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            self.lock = threading.Lock()

    class Keeps(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.server.lock.acquire()  # type: ignore[attr-defined]
            self.wfile.write(b"mine\n")

    with ScriptedServer(Keeps, Server) as server:
        assert server.connect().readline() == b"mine\n"
        second = server.connect()
        with pytest.raises(Deadlock, match="held by request 1"):
            second.readline()
        server.server.lock.release()
        assert second.readline() == b"mine\n"
