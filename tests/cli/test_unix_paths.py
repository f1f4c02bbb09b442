from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sansio_server.cli.unix_paths import OwnPathMixIn, clear_path
from sync_backend import BaseRequestHandler, UnixDatagramServer, UnixStreamServer

BOTH = pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])


class Server(OwnPathMixIn, UnixStreamServer):
    pass


class DatagramServer(OwnPathMixIn, UnixDatagramServer):
    pass


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "socket")


@contextmanager
def bound(path: str, kind: int, backlog: int | None = 5) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, kind) as sock:
        sock.bind(path)
        if kind == socket.SOCK_STREAM and backlog is not None:
            sock.listen(backlog)
        yield sock


def test_nothing_there_is_fine(path: str) -> None:
    clear_path(path, socket.SOCK_STREAM)


@BOTH
def test_a_dead_socket_is_removed(path: str, kind: int) -> None:
    with bound(path, kind):
        pass
    assert os.path.exists(path)
    clear_path(path, kind)
    assert not os.path.exists(path)


@BOTH
@pytest.mark.parametrize("other", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_live_one_is_left_alone(path: str, kind: int, other: int) -> None:
    with bound(path, other):
        with pytest.raises(OSError, match="a server answers there") as info:
            clear_path(path, kind)
        assert info.value.errno == errno.EADDRINUSE
        assert os.path.exists(path)


def test_one_whose_queue_is_full_is_alive(path: str) -> None:
    with bound(path, socket.SOCK_STREAM, backlog=0):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            with pytest.raises(OSError, match="a server answers there"):
                clear_path(path, socket.SOCK_STREAM)


@pytest.mark.parametrize("make", ["file", "folder", "link to nowhere", "link to a socket"])
def test_what_is_no_socket_is_left_alone(path: str, make: str) -> None:
    if make == "file":
        Path(path).write_text("precious")
    elif make == "folder":
        os.mkdir(path)
    elif make == "link to nowhere":
        os.symlink("nowhere", path)
    else:
        with bound(path + ".other", socket.SOCK_STREAM):
            os.symlink(path + ".other", path)
    before = os.lstat(path)
    with pytest.raises(OSError, match="there is something that is no socket"):
        clear_path(path, socket.SOCK_STREAM)
    assert os.lstat(path) == before


def test_one_that_cannot_be_asked_is_left_alone(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with bound(path, socket.SOCK_STREAM):
        pass

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(PermissionError):
        clear_path(path, socket.SOCK_STREAM)
    assert os.path.exists(path)


def test_one_that_was_replaced_meanwhile_is_left_alone(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bound(path, socket.SOCK_STREAM):
        pass
    connect = socket.socket.connect
    others: list[socket.socket] = []

    def replaced(probe: socket.socket, address: str) -> None:
        try:
            connect(probe, address)
        finally:
            os.unlink(address)
            others.append(socket.socket(socket.AF_UNIX))
            others[0].bind(address)

    monkeypatch.setattr(socket.socket, "connect", replaced)
    clear_path(path, socket.SOCK_STREAM)
    assert os.path.exists(path)
    others[0].close()


@pytest.mark.parametrize("make", [Server, DatagramServer])
def test_a_server_replaces_a_dead_path_and_removes_its_own(
    path: str, make: type[Server | DatagramServer]
) -> None:
    with bound(path, make.socket_type):
        pass
    with make(path, BaseRequestHandler):
        assert os.path.exists(path)
    assert not os.path.exists(path)


def test_closing_twice_does_not_take_the_path_of_the_next(path: str) -> None:
    first = Server(path, BaseRequestHandler)
    first.server_close()
    with bound(path, socket.SOCK_STREAM):
        first.server_close()
        assert os.path.exists(path)


def test_a_path_that_somebody_else_has_by_now_is_left(path: str) -> None:
    with Server(path, BaseRequestHandler):
        os.unlink(path)
        with bound(path, socket.SOCK_STREAM):
            pass
    assert os.path.exists(path)


def test_a_path_that_is_gone_is_no_error(path: str) -> None:
    with Server(path, BaseRequestHandler):
        os.unlink(path)


def test_the_path_is_found_after_a_change_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Server("socket", BaseRequestHandler):
        monkeypatch.chdir("/")
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_cannot_be_bound_touches_nothing(path: str) -> None:
    with bound(path, socket.SOCK_STREAM):
        with pytest.raises(OSError, match="a server answers there"):
            Server(path, BaseRequestHandler)
        assert os.path.exists(path)
