"""Ctrl-C ends the loop of a blocking server, wherever it comes, as it does in the standard library.

The handlers press it themselves, so that it comes just there.

Real signals and processes: Ctrl-C is nothing else.
"""

from __future__ import annotations

import signal
import socket
import threading
from typing import Any

import pytest

from trio_backend import blocking

PATIENCE = 10.0  # seconds


class Presses(blocking.StreamRequestHandler):
    """Presses Ctrl-C before it answers, and says whether it felt that itself."""

    def handle(self) -> None:
        line = self.rfile.readline()
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            self.wfile.write(b"interrupted\n")
            raise
        self.wfile.write(line.upper())


def ask_when_serving(server: Any, given: threading.Event, answers: list[bytes]) -> threading.Thread:
    """Be a client, in a thread, whose answer the test looks at when the server has ended.

    It says nothing before its request was *given* to whoever serves it: until then, Ctrl-C ends the
    request, as it ends the start of a thread in the standard library.
    """

    def ask() -> None:
        with socket.create_connection(server.server_address, timeout=PATIENCE) as client:
            given.wait(PATIENCE)
            client.sendall(b"hello\n")
            answers.append(client.makefile("rb").read())

    thread = threading.Thread(target=ask)
    thread.start()
    return thread


@pytest.mark.parametrize("where", ["threads", "greenlets"])
@pytest.mark.parametrize(
    ("name", "answer"), [("TCPServer", b"interrupted\n"), ("ThreadingTCPServer", b"HELLO\n")]
)
def test_it_ends_the_loop(
    name: str, where: str, answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lost.append)
    given = threading.Event()

    def process_request(server: Any, request: Any, client_address: Any) -> None:
        if name == "TCPServer":  # which serves it before it goes on
            given.set()
        super(server_class, server).process_request(request, client_address)

    def service_actions(server: Any) -> None:
        if server.counters.accepted:
            given.set()

    hooks = {"process_request": process_request, "service_actions": service_actions}
    server_class: Any = type(
        name, (getattr(blocking, name),), {"blocking_handlers": where, **hooks}
    )
    answers: list[bytes] = []
    with server_class(("127.0.0.1", 0), Presses) as server:
        client = ask_when_serving(server, given, answers)
        with pytest.raises(KeyboardInterrupt):
            server.serve_forever()
    client.join(PATIENCE)
    assert answers == [answer] or (answers == [b""] and where == "greenlets")
    assert lost == []
