"""A trace in a file, a JSON object a line, as in a recording but without a bound."""

from __future__ import annotations

import os
import threading

from sansio_server.hooks import LOGGER
from sansio_server.testing.recording.format import as_line
from sansio_server.trace import Trace, TraceEvent

__all__ = ["TraceFile"]


class TraceFile:
    """Writes events to a file as they come, from any thread and any forked child.

    :param path: the file; what is in it is lost,
    :param joined: unless it was begun by the parent of this process.
    :raises OSError: it cannot be written.
    """

    def __init__(self, path: str, *, joined: bool = False) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(path, flags if joined else flags | os.O_TRUNC, 0o666)
        self._path = path
        self._home = os.getppid() if joined else os.getpid()
        self._failed = self._closed = False

    def of(self, server: str) -> Trace:
        """Return what to set as the ``trace`` of the server named *server*."""

        def trace(event: TraceEvent) -> None:
            process = os.getpid()
            line = as_line(
                event, server, 0 if process == self._home else process, threading.get_ident()
            )
            # One write for each line: the system puts each at the end, whoever writes at once.
            self._write(line.encode() + b"\n")

        return trace

    def _write(self, line: bytes) -> None:
        if self._failed:
            return
        try:
            os.write(self._fd, line)
        except OSError as error:
            if self._closed:
                return  # meanwhile, in another thread
            self._failed = True
            LOGGER.warning("the trace ends, %s cannot be written: %s", self._path, error)

    def close(self) -> None:
        """Close the file. What comes later is dropped."""
        self._failed = self._closed = True
        os.close(self._fd)
