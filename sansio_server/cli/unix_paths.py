"""Care for the paths of Unix sockets, which outlive those who bind them.

A path that nobody answers at stands in the way of the next server; one that somebody answers at
must not be taken from him (CPython gh-121252). What is no socket is never touched.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Any

__all__ = ["OwnPathMixIn", "clear_path"]

if TYPE_CHECKING:
    from sync_backend import TCPServer as _Server
else:
    _Server = object


def _identity(path: str) -> tuple[int, int, int] | None:
    """Return what tells the socket at *path* from any other; None if there is none.

    An inode's number is given to another file as soon as it is free, the time it was made is not.

    :raises OSError: *path* cannot be looked at.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    return (found.st_dev, found.st_ino, found.st_mtime_ns) if stat.S_ISSOCK(found.st_mode) else None


def _answers(path: str, socket_type: int) -> bool:
    """Say whether somebody has bound the socket at *path*.

    :raises OSError: the system does not tell.
    """
    with socket.socket(socket.AF_UNIX, socket_type) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return False
        except OSError as error:
            # Its queue is full, or it is a socket of another type: somebody is there.
            if error.errno in (errno.EAGAIN, errno.EPROTOTYPE):
                return True
            raise
    return True


def clear_path(path: str, socket_type: int) -> None:
    """Make way for a socket at *path*: remove a dead one that was left there.

    :param socket_type: SOCK_STREAM or SOCK_DGRAM.
    :raises OSError: something else is there: a server that answers, or no socket at all.
    """
    dead = _identity(path)
    if dead is None:
        if os.path.lexists(path):
            raise OSError(errno.EEXIST, "there is something that is no socket", path)
        return
    if _answers(path, socket_type):
        raise OSError(errno.EADDRINUSE, "a server answers there", path)
    if _identity(path) == dead:
        with suppress(FileNotFoundError):
            os.unlink(path)


class OwnPathMixIn(_Server):
    """Clear the path of a Unix server before it is bound; remove it when the server is closed."""

    _own: tuple[str, tuple[int, int, int] | None] | None = None

    def server_bind(self) -> Any:
        """Bind the socket, once there is nothing in the way.

        :raises OSError: something is in the way.
        """
        path = self.server_address
        clear_path(path, self.socket_type)
        super().server_bind()
        self._own = os.path.abspath(path), _identity(path)

    def server_close(self) -> None:
        """Remove the path, unless somebody else has it by now, and close the server."""
        self.remove_path()
        super().server_close()

    def remove_path(self) -> None:
        """Remove the path, unless somebody else has it by now. Harmless when done before.

        While the socket is open its inode cannot be anybody else's: do this before closing it.
        """
        if self._own is not None:
            path, identity = self._own
            with suppress(OSError):
                if identity is not None and _identity(path) == identity:
                    os.unlink(path)
            self._own = None
