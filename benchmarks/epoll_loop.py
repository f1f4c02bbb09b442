"""The bounds of what a loop can do: epoll without any library, in Python and in C.

Both answer all lines that one call has received with one call: less than that no server can do for
them.
"""

from __future__ import annotations

import os
import select
import socket

from .peer import Peer

__all__ = ["EpollInC", "EpollInPython"]

_CHUNK = 65536


class EpollInPython(Peer):
    """A loop over ``select.epoll``; it does not read while replies are left to be sent."""

    def serve_forever(self) -> None:
        self.socket.setblocking(False)
        self._poller = select.epoll()
        self._poller.register(self.socket, select.EPOLLIN)
        self._connections: dict[int, socket.socket] = {}
        self._received: dict[int, bytearray] = {}
        self._unsent: dict[int, memoryview] = {}
        listener = self.socket.fileno()
        while True:
            for fd, event in self._poller.poll():
                if fd == listener:
                    self._accept()
                elif event & select.EPOLLOUT:
                    self._send(fd, self._unsent.pop(fd), waited=True)
                else:
                    self._receive(fd)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except BlockingIOError:
                return
            connection.setblocking(False)
            fd = connection.fileno()
            self._connections[fd] = connection
            self._received[fd] = bytearray()
            self._poller.register(fd, select.EPOLLIN)

    def _receive(self, fd: int) -> None:
        try:
            data = self._connections[fd].recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._close(fd)
            return
        buffer = self._received[fd]
        buffer += data
        end = len(buffer) // self.block * self.block if self.block else buffer.rfind(b"\n") + 1
        if end:
            pieces = bytes(buffer[:end])
            del buffer[:end]
            self._send(fd, memoryview(self.reply_to(pieces)), waited=False)

    def _send(self, fd: int, data: memoryview, *, waited: bool) -> None:
        try:
            sent = self._connections[fd].send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._close(fd)
            return
        if sent < len(data):
            self._unsent[fd] = data[sent:]
            self._poller.modify(fd, select.EPOLLOUT)
        elif self.once:
            self._close(fd)
        elif waited:
            self._poller.modify(fd, select.EPOLLIN)

    def _close(self, fd: int) -> None:
        self._unsent.pop(fd, None)
        del self._received[fd]
        self._connections.pop(fd).close()


class EpollInC(Peer):
    """The loop of ``epoll.c``, which takes this process over."""

    def __init__(self, address: tuple[str, int], handler: str) -> None:
        super().__init__(address, handler)
        self._program = os.path.join(os.path.dirname(__file__), "build", "epoll")
        if not os.path.exists(self._program):
            raise ImportError("epoll.c is not compiled")
        self._handler = handler

    def serve_forever(self) -> None:
        self.socket.set_inheritable(True)
        os.execv(self._program, ["epoll", str(self.socket.fileno()), self._handler])
