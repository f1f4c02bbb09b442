"""The guard that watches every test must itself be seen to bite."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

from tests.leftovers import Held, left_behind


def test_nothing_is_found_where_nothing_is_left() -> None:
    before = Held.now()
    with open(os.devnull, "rb"):
        pass
    thread = threading.Thread(target=int)
    thread.start()
    subprocess.run([sys.executable, "-c", ""], check=True, timeout=30)
    thread.join()
    assert left_behind(before) == []


def test_a_descriptor_is_found_and_named() -> None:
    before = Held.now()
    with open(os.devnull, "rb") as file:
        assert left_behind(before) == [f"descriptors: {file.fileno()} ({os.devnull})"]
    assert left_behind(before) == []


def test_a_descriptor_held_by_a_dead_cycle_is_not_counted() -> None:
    class Holder:
        def __init__(self) -> None:
            self.itself = self
            self.descriptor = os.open(os.devnull, os.O_RDONLY)

        def __del__(self) -> None:
            os.close(self.descriptor)

    before = Held.now()
    Holder()
    assert left_behind(before) == []


def test_a_child_is_found_running_and_unreaped() -> None:
    program = "print(flush=True); input()"
    pipe = subprocess.PIPE
    before = Held.now()
    with subprocess.Popen([sys.executable, "-c", program], stdin=pipe, stdout=pipe) as child:
        assert child.stdout is not None
        child.stdout.readline()
        [running] = [line for line in left_behind(before) if line.startswith("children")]
        assert running == f"children: {child.pid} ({sys.executable} -c {program})"
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        [unreaped] = [line for line in left_behind(before) if line.startswith("children")]
        assert unreaped == f"children: {child.pid} (ended, not reaped)"
    assert left_behind(before) == []


def test_a_thread_is_found_unless_it_ends_soon() -> None:
    release = threading.Event()
    before = Held.now()
    thread = threading.Thread(target=release.wait, name="left", args=(30,))
    thread.start()
    try:
        [line] = left_behind(before, grace=0.01)
        assert line.startswith("thread: <Thread(left, started ")
    finally:
        release.set()
    assert left_behind(before) == []
