"""A signal ends the sleep of a loop, wherever it is caught.

Real signals, which only a real process gets.
"""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from types import FrameType

import pytest

import sync_backend


@pytest.fixture
def server() -> Iterator[sync_backend.TCPServer]:
    with sync_backend.TCPServer(("127.0.0.1", 0), sync_backend.StreamRequestHandler) as server:
        yield server


def when_signalled(server: sync_backend.TCPServer) -> None:
    """Let SIGUSR1 stop the server, in a thread that the kernel wakes from no system call."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        server.shutdown()

    def signal_yourself() -> None:
        with socket.create_connection(server.server_address) as client:
            client.recv(1)  # the end of the first request: the loop is about to sleep
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

    former = signal.signal(signal.SIGUSR1, stop)
    thread = threading.Thread(target=signal_yourself)
    thread.start()
    try:
        server.serve_forever()
    finally:
        thread.join()
        signal.signal(signal.SIGUSR1, former)


def test_a_signal_in_another_thread_wakes_the_loop(server: sync_backend.TCPServer) -> None:
    for _ in range(20):
        when_signalled(server)
    assert signal.set_wakeup_fd(-1) == -1


def test_another_wakeup_descriptor_is_left_in_place(server: sync_backend.TCPServer) -> None:
    reader, writer = socket.socketpair()
    with reader, writer:
        writer.setblocking(False)
        signal.set_wakeup_fd(writer.fileno())
        try:
            when_signalled(server)  # the loop looks around by itself now and then
        finally:
            assert signal.set_wakeup_fd(-1) == writer.fileno()
        assert reader.recv(16) == bytes([signal.SIGUSR1])
