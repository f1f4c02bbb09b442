"""What each error of accepting asks for."""

from __future__ import annotations

import errno
import ssl

import pytest

from sansio_server.accept_errors import (
    CAPACITY_ERRNOS,
    FATAL_ERRNOS,
    AcceptError,
    classify_accept_error,
)

# accept(2) on Linux: what means that the process or the machine is full ...
FULL = [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM]
# ... that one connection failed while it waited ("treat them like EAGAIN by retrying") ...
LOST = [
    errno.ECONNABORTED,
    errno.ECONNRESET,
    errno.ENETDOWN,
    errno.EPROTO,
    errno.ENOPROTOOPT,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.EPERM,
]
# ... and that what was accepted from is no listening socket, or none any more.
DEAD = [errno.EBADF, errno.ENOTSOCK, errno.EINVAL, errno.EOPNOTSUPP, errno.EFAULT]
# What is under way is as good as nobody: Python makes the same exception of it.
NOBODY = [errno.EAGAIN, errno.EINTR, errno.EALREADY, errno.EINPROGRESS]


def name_of(code: int) -> str:
    return errno.errorcode[code]


@pytest.mark.parametrize("listener_dead", [False, True])
@pytest.mark.parametrize("code", FULL, ids=name_of)
def test_a_full_machine_needs_time(code: int, listener_dead: bool) -> None:
    kind = classify_accept_error(OSError(code, ""), listener_dead=listener_dead)
    assert kind is AcceptError.CAPACITY


@pytest.mark.parametrize("listener_dead", [False, True])
@pytest.mark.parametrize("code", NOBODY, ids=name_of)
def test_nobody_there_is_no_error(code: int, listener_dead: bool) -> None:
    kind = classify_accept_error(OSError(code, ""), listener_dead=listener_dead)
    assert kind is AcceptError.NOTHING


@pytest.mark.parametrize("error", [BlockingIOError(), InterruptedError()], ids=repr)
def test_nobody_there_may_be_told_by_the_class_alone(error: OSError) -> None:
    assert classify_accept_error(error) is AcceptError.NOTHING


@pytest.mark.parametrize("listener_dead", [False, True])
@pytest.mark.parametrize("code", LOST, ids=name_of)
def test_a_lost_connection_is_nobody_elses_loss(code: int, listener_dead: bool) -> None:
    kind = classify_accept_error(OSError(code, ""), listener_dead=listener_dead)
    assert kind is AcceptError.CONNECTION


@pytest.mark.parametrize("code", DEAD, ids=name_of)
def test_an_errno_alone_condemns_no_listener(code: int) -> None:
    assert classify_accept_error(OSError(code, "")) is AcceptError.CONNECTION
    assert classify_accept_error(OSError(code, ""), listener_dead=True) is AcceptError.FATAL


@pytest.mark.parametrize(
    "error",
    [OSError("no errno"), TimeoutError("handshake"), ssl.SSLError(1, "bad certificate")],
    ids=repr,
)
@pytest.mark.parametrize("listener_dead", [False, True])
def test_what_an_override_does_beside_accepting_concerns_one_connection(
    error: OSError, listener_dead: bool
) -> None:
    kind = classify_accept_error(error, listener_dead=listener_dead)
    assert kind is AcceptError.CONNECTION


def test_every_error_of_this_system_has_one_meaning() -> None:
    assert not CAPACITY_ERRNOS & FATAL_ERRNOS
    meanings = dict.fromkeys(errno.errorcode, AcceptError.CONNECTION)
    meanings.update(dict.fromkeys(NOBODY, AcceptError.NOTHING))
    meanings.update(dict.fromkeys(FULL, AcceptError.CAPACITY))
    meanings.update(dict.fromkeys(DEAD, AcceptError.FATAL))
    for code, meaning in meanings.items():
        assert classify_accept_error(OSError(code, ""), listener_dead=True) is meaning, code
