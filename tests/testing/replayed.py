"""Scripts that are replayed, and handlers and servers that they are replayed on."""

from __future__ import annotations

from typing import Any

import sync_backend
from sansio_server import BaseRequestHandler, DatagramRequestHandler, StreamRequestHandler
from sansio_server.testing import (
    Action,
    ClientScript,
    Close,
    Connect,
    Expect,
    HalfClose,
    Receive,
    ReceiveExactly,
    ReceiveLine,
    ReceiveToEnd,
    Replay,
    Reset,
    Script,
    Send,
)


class Upper(StreamRequestHandler):
    """Sends back each line in capitals."""

    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line.upper())


class UpperAsync(StreamRequestHandler):
    async def handle(self) -> None:
        async for line in self.rfile:
            await self.wfile.write(line.upper())


class UpperDatagram(DatagramRequestHandler):
    def handle(self) -> None:
        self.wfile.write(self.packet.upper())


class OneRecv(BaseRequestHandler):
    """Takes what one recv() brings for the whole message."""

    def handle(self) -> None:
        self.request.sendall(self.request.recv(1024).upper())


class Raises(BaseRequestHandler):
    def handle(self) -> None:
        raise ValueError("on purpose")


class Mute(BaseRequestHandler):
    """Waits for more than ever comes."""

    def handle(self) -> None:
        self.request.recv(1024)
        self.request.recv(1024)


class Refusing(sync_backend.ThreadingTCPServer):
    def verify_request(self, request: Any, client_address: Any) -> bool:
        return False


class UnixServer(sync_backend.ThreadingUnixStreamServer):
    pass


class UnixPackets(sync_backend.UnixDatagramServer):
    pass


STREAM = Script(
    (
        ClientScript(
            (
                Connect(),
                Send(b"he"),
                Send(b"llo\nwor"),
                ReceiveLine(),
                Send(b"ld\n"),
                ReceiveExactly(3),
                HalfClose(),
                ReceiveToEnd(),
                Close(),
            )
        ),
        ClientScript((Connect(), Send(b"x\n"), Expect(b"X\n"), HalfClose(), Receive())),
        ClientScript((Connect(), Send(b"half"), Reset()), start=0.01),
    )
)


def one(*actions: Action) -> Script:
    """Return a script of one client."""
    return Script((ClientScript(actions),))


def messages(replayed: Replay) -> list[str]:
    """Return what was found."""
    return [str(finding) for finding in replayed.run.findings]
