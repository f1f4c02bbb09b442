"""Errors of sockets told as trio's streams tell them, and the other way round."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

import trio

__all__ = ["as_sockets", "as_streams"]


@contextmanager
def as_sockets() -> Iterator[None]:
    """Tell errors of trio's as sockets do."""
    try:
        yield
    except trio.ClosedResourceError:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF)) from None
    except trio.BrokenResourceError as error:
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from None
        raise ConnectionResetError(errno.ECONNRESET, str(error)) from error


@contextmanager
def as_streams() -> Iterator[None]:
    """Tell errors of sockets as trio's streams do."""
    try:
        yield
    except (TimeoutError, BlockingIOError):
        raise
    except OSError as error:
        if error.errno == errno.EBADF:
            raise trio.ClosedResourceError("the connection is closed") from None
        raise trio.BrokenResourceError(str(error)) from error
