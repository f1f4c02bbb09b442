"""Faults of handlers on streams, and their corrections.

Most answer each line with the same in capitals, so that one happy-path test fits them all.
"""

from __future__ import annotations

import threading
from typing import Any

from sansio_server import BaseRequestHandler, StreamRequestHandler


class OneRecvFaulty(BaseRequestHandler):
    """Takes what one recv() brings for the whole message."""

    def handle(self) -> None:
        self.request.sendall(self.request.recv(65536).upper())


class OneRecvCorrect(BaseRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(65536):
            self.request.sendall(data.upper())


class LostFlushFaulty(BaseRequestHandler):
    """Gathers its replies, and sends them only when what came last ends with a line."""

    def handle(self) -> None:
        replies = b""
        while data := self.request.recv(65536):
            replies += data.upper()
            if data.endswith(b"\n"):
                self.request.sendall(replies)
                replies = b""


class LostFlushCorrect(BaseRequestHandler):
    def handle(self) -> None:
        replies = b""
        while data := self.request.recv(65536):
            replies += data.upper()
            if data.endswith(b"\n"):
                self.request.sendall(replies)
                replies = b""
        self.request.sendall(replies)


class SentTwiceFaulty(StreamRequestHandler):
    """Sends a reply again, from its beginning, when it did not go out whole."""

    def handle(self) -> None:
        for line in self.rfile:
            reply = line.upper()
            if self.request.send(reply) < len(reply):
                self.request.sendall(reply)


class SentTwiceCorrect(StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            reply = line.upper()
            sent = self.request.send(reply)
            if sent < len(reply):
                self.request.sendall(reply[sent:])


class ShortSendFaulty(StreamRequestHandler):
    """Believes that send() sends all."""

    def handle(self) -> None:
        for line in self.rfile:
            self.request.send(line.upper())


class ShortSendCorrect(StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.request.sendall(line.upper())


class ByChunkFaulty(BaseRequestHandler):
    """Drops the spaces at the end of what comes, and not of lines."""

    def handle(self) -> None:
        while data := self.request.recv(65536):
            self.request.sendall(data.upper().rstrip(b" "))


class ByChunkCorrect(StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line.upper())


class SharedBufferFaulty(BaseRequestHandler):
    """Has one buffer for all clients: the server's."""

    def setup(self) -> None:
        self.buffer: bytearray = vars(self.server).setdefault("buffer", bytearray())

    def handle(self) -> None:
        while data := self.request.recv(65536):
            self.buffer.extend(data)
            *lines, rest = self.buffer.split(b"\n")
            self.buffer[:] = rest
            for line in lines:
                self.request.sendall(line.upper() + b"\n")


class SharedBufferCorrect(SharedBufferFaulty):
    def setup(self) -> None:
        self.buffer = bytearray()


class SpinAtEndFaulty(BaseRequestHandler):
    """Reads on for the end of a line, though the client has gone."""

    def handle(self) -> None:
        received = b""
        while received.count(b"\n") < 2:
            received += self.request.recv(65536)
        self.request.sendall(received.upper())


class SpinAtEndCorrect(BaseRequestHandler):
    def handle(self) -> None:
        received = b""
        while received.count(b"\n") < 2:
            data = self.request.recv(65536)
            if not data:
                return
            received += data
        self.request.sendall(received.upper())


class SwallowsResetFaulty(BaseRequestHandler):
    """Tries again whatever goes wrong, and so for ever once the client has gone."""

    def handle(self) -> None:
        lines = 0
        while lines < 2:
            try:
                data = self.request.recv(65536)
                lines += data.count(b"\n")
                self.request.sendall(data.upper())
            except ConnectionError:
                continue


class SwallowsResetCorrect(BaseRequestHandler):
    def handle(self) -> None:
        lines = 0
        while lines < 2:
            try:
                data = self.request.recv(65536)
            except ConnectionError:
                return
            if not data:
                return
            lines += data.count(b"\n")
            self.request.sendall(data.upper())


class MissedUnlockFaulty(StreamRequestHandler):
    """Keeps the lock when the client goes away in the middle."""

    def handle(self) -> None:
        lock: Any = vars(self.server).setdefault("lock", threading.Lock())
        for line in self.rfile:
            lock.acquire()
            self.wfile.write(line.upper())
            lock.release()


class MissedUnlockCorrect(StreamRequestHandler):
    def handle(self) -> None:
        lock: Any = vars(self.server).setdefault("lock", threading.Lock())
        for line in self.rfile:
            with lock:
                self.wfile.write(line.upper())


class BadTailFaulty(StreamRequestHandler):
    """Believes that each line has an end."""

    def handle(self) -> None:
        for line in self.rfile:
            end = line.index(b"\n")
            self.wfile.write(line[:end].upper() + b"\n")


class BadTailCorrect(StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line.rstrip(b"\n").upper() + b"\n")


class TicketFaulty(StreamRequestHandler):
    """Reads a counter that all share, waits for its client, and only then counts on."""

    def handle(self) -> None:
        ticket = vars(self.server).setdefault("tickets", 0)
        text = self.rfile.read()
        self.server.tickets = ticket + 1
        self.wfile.write(text.upper() + b"#%d" % ticket)


class TicketCorrect(StreamRequestHandler):
    def handle(self) -> None:
        text = self.rfile.read()
        ticket = vars(self.server).setdefault("tickets", 0)
        self.server.tickets = ticket + 1
        self.wfile.write(text.upper() + b"#%d" % ticket)


class RaceFaulty(StreamRequestHandler):
    """Counts in three lines, with nothing to wait for between them."""

    def handle(self) -> None:
        text = self.rfile.read()
        ticket = vars(self.server).get("tickets", 0)
        following = ticket + 1
        self.server.tickets = following
        self.wfile.write(text.upper() + b"#%d" % ticket)


class RaceCorrect(StreamRequestHandler):
    def handle(self) -> None:
        lock: Any = vars(self.server).setdefault("lock", threading.Lock())
        text = self.rfile.read()
        with lock:
            ticket = vars(self.server).get("tickets", 0)
            following = ticket + 1
            self.server.tickets = following
        self.wfile.write(text.upper() + b"#%d" % ticket)


class TicketInChild(StreamRequestHandler):
    """Tells the client how many there have been, of which its server keeps count."""

    server: Any

    def handle(self) -> None:
        text = self.rfile.read()
        self.wfile.write(text.upper() + b"#%d" % self.server.ticket())


class TimeoutKeptFaulty(StreamRequestHandler):
    """Gives the client five seconds for its name, and then for everything else, too."""

    def handle(self) -> None:
        self.request.settimeout(5.0)
        try:
            self.wfile.write(self.rfile.readline().upper())
        except TimeoutError:
            return
        self._logged_in()
        try:
            self.wfile.write(self.rfile.readline().upper())
        except TimeoutError:
            self.wfile.write(b"too slow\n")

    def _logged_in(self) -> None:
        pass


class TimeoutKeptCorrect(TimeoutKeptFaulty):
    def _logged_in(self) -> None:
        self.request.settimeout(None)
