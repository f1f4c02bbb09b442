"""Errors are told in the words of whoever asked."""

from __future__ import annotations

import errno

import pytest
import trio

from trio_backend.errors import as_sockets, as_streams


def test_a_socket_that_was_closed_meanwhile_is_a_bad_descriptor() -> None:
    with pytest.raises(OSError, match="descriptor") as caught, as_sockets():
        raise trio.ClosedResourceError
    assert caught.value.errno == errno.EBADF
    assert caught.value.__suppress_context__


def test_a_broken_stream_is_a_reset() -> None:
    with pytest.raises(ConnectionResetError) as caught, as_sockets():
        raise trio.BrokenResourceError("broken")
    assert caught.value.errno == errno.ECONNRESET


def test_what_broke_a_stream_is_raised_itself() -> None:
    cause = TimeoutError(errno.ETIMEDOUT, "timed out")
    with pytest.raises(TimeoutError) as caught, as_sockets():
        raise trio.BrokenResourceError from cause
    assert caught.value is cause


def test_a_bad_descriptor_is_a_closed_stream() -> None:
    with pytest.raises(trio.ClosedResourceError), as_streams():
        raise OSError(errno.EBADF, "bad")


def test_a_lost_connection_is_a_broken_stream() -> None:
    error = ConnectionResetError(errno.ECONNRESET, "reset")
    with pytest.raises(trio.BrokenResourceError) as caught, as_streams():
        raise error
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [TimeoutError("late"), BlockingIOError(errno.EAGAIN, "later")])
def test_what_both_say_alike_is_left_as_it_is(error: OSError) -> None:
    with pytest.raises(type(error)) as caught, as_streams():
        raise error
    assert caught.value is error
