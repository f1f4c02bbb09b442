"""Handlers with files: over streams, and for datagrams."""

from __future__ import annotations

import io
import sys
from array import array
from socket import IPPROTO_TCP, TCP_NODELAY
from typing import Any

import pytest

from sansio_server.handlers import (
    BaseRequestHandler,
    DatagramRequestHandler,
    StreamRequestHandler,
)
from sansio_server.streams import AsyncReader, AsyncWriter

from .connections import AdaptingServer, AsyncMailbox, Connection, Mailbox
from .memory import Escape, Failure, MemoryServer

# Streams.


def served(handler: type[BaseRequestHandler], data: bytes = b"") -> Connection:
    connection = Connection(data)
    AdaptingServer(handler).serve(connection)
    return connection


def test_rfile_and_wfile_are_made_of_the_connection() -> None:
    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            assert self.connection is self.request
            for line in self.rfile:
                assert self.wfile.write(line.upper()) == len(line)
                assert self.request.sent[-1] == line.upper(), "not sent at once"

    connection = served(Handler, b"one\ntwo\n")
    assert connection.sent == [b"ONE\n", b"TWO\n"]
    assert connection.files == [("rb", -1)]
    assert connection.options == []


def test_sizes_of_buffers_are_those_asked_for() -> None:
    class Handler(StreamRequestHandler):
        rbufsize = 0
        wbufsize = 16

        def handle(self) -> None:
            self.wfile.write(b"abc")
            assert self.request.sent == []

    connection = served(Handler)
    assert connection.files == [("rb", 0), ("wb", 16)]
    assert connection.sent == [b"abc"]


@pytest.mark.parametrize("colour", ["def", "async def"])
def test_options_are_set_if_asked_for(colour: str) -> None:
    class Handler(StreamRequestHandler):
        asynchronous = colour == "async def"
        timeout = 2.5
        disable_nagle_algorithm = True

    assert served(Handler).options == [2.5, (IPPROTO_TCP, TCP_NODELAY, True)]


def test_finish_closes_the_files_and_not_the_connection() -> None:
    files = []

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            files.extend([self.rfile, self.wfile])

        def finish(self) -> None:
            super().finish()
            assert [file.closed for file in files] == [True, True]
            assert self.request.closed == 0

    assert served(Handler).closed == 1


def test_a_handler_may_close_its_files_by_itself() -> None:
    class Handler(StreamRequestHandler):
        wbufsize = -1

        def handle(self) -> None:
            self.wfile.write(b"abc")
            self.wfile.close()

    assert served(Handler).sent == [b"abc"]


def test_a_client_that_is_gone_is_not_told_of() -> None:
    errors = []

    class Server(AdaptingServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            errors.append(sys.exc_info()[1])

    class Blocking(StreamRequestHandler):
        def handle(self) -> None:
            self.wfile = Unflushable()

    class Unflushable(io.BytesIO):
        def flush(self) -> None:
            if not self.closed:
                raise BrokenPipeError

        def close(self) -> None:
            """Let go without a flush."""

    class Asynchronous(StreamRequestHandler):
        wbufsize = -1

        async def handle(self) -> None:
            await self.wfile.write(b"abc")
            self.request.connection.gone = True

    for handler in (Blocking, Asynchronous):
        Server(handler).serve(Connection())
    assert errors == []


@pytest.mark.parametrize("error", [Failure, Escape])
@pytest.mark.parametrize("method", ["flush", "close"])
def test_both_files_are_closed_whatever_that_raises(
    method: str, error: type[BaseException]
) -> None:
    closed: list[str] = []

    class File(io.BytesIO):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def close(self) -> None:
            closed.append(self.name)
            # Once: Python closes a file that it collects, and 3.13 tells of what that raises.
            if (method, self.name) == ("close", "wfile") and closed.count(self.name) == 1:
                raise error

        def flush(self) -> None:
            if (method, self.name) == ("flush", "wfile"):
                raise error

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            self.rfile, self.wfile = File("rfile"), File("wfile")

    with pytest.raises(error):
        Handler(Connection(), "client", MemoryServer())
    assert closed[:2] == ["wfile", "rfile"]


def test_an_asynchronous_handler_has_asynchronous_files() -> None:
    class Handler(StreamRequestHandler):
        wbufsize = 4

        async def handle(self) -> None:
            assert self.connection is self.request
            assert type(self.rfile) is AsyncReader
            assert type(self.wfile) is AsyncWriter
            async for line in self.rfile:
                await self.wfile.write(line.upper())

    assert served(Handler, b"a\nb\nc\n").sent == [b"A\nB\n", b"C\n"]


def test_what_is_written_at_once_is_counted_in_bytes() -> None:
    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            assert self.wfile.writable()
            assert self.wfile.fileno() == 7
            assert self.wfile.write(b"abc") == 3
            assert self.wfile.write(bytearray(b"de")) == 2
            numbers = array("i", [1, 2])
            assert self.wfile.write(memoryview(numbers)) == 2 * numbers.itemsize

    assert list(map(len, served(Handler).sent)) == [3, 2, 2 * array("i").itemsize]


class Writer:
    """A file of a handler's own that says whether anything is left in it, or does not."""

    def __init__(self, **says: object) -> None:
        self.flushed = 0
        vars(self).update(says)

    async def flush(self) -> None:
        self.flushed += 1


@pytest.mark.parametrize(
    ("file", "flushed"),
    [(Writer(), 1), (Writer(unsent=lambda: True), 1), (Writer(unsent=lambda: False), 0)],
    ids=["silent", "something left", "nothing left"],
)
def test_an_asynchronous_file_is_flushed_unless_nothing_is_left(file: Writer, flushed: int) -> None:
    class Handler(StreamRequestHandler):
        async def handle(self) -> None:
            self.wfile = file

    served(Handler)
    assert file.flushed == flushed


# Datagrams.


class Datagrams(MemoryServer):
    def close_request(self, request: Any) -> None:
        """A datagram has nothing to close."""


@pytest.mark.parametrize("mailbox", [Mailbox, AsyncMailbox])
def test_a_datagram_is_read_from_a_file_and_answered_by_another(mailbox: type[Mailbox]) -> None:
    class Handler(DatagramRequestHandler):
        asynchronous = mailbox is AsyncMailbox

        def handle(self) -> None:
            assert self.packet == b"one\ntwo\n"
            assert self.socket is box
            for line in self.rfile:
                self.wfile.write(line.upper())

    box = mailbox()
    Datagrams(Handler).serve((b"one\ntwo\n", box), ("::1", 9))
    assert box.sent == [(b"ONE\nTWO\n", ("::1", 9))]


def test_a_reply_goes_the_way_that_the_socket_has_for_replies() -> None:
    class Replying(Mailbox):
        def send_reply(self, data: bytes, address: Any) -> None:
            self.sent.append((b"reply", address))

    box = Replying()
    Datagrams(DatagramRequestHandler).serve((b"abc", box), "client")
    assert box.sent == [(b"reply", "client")]


def test_nothing_written_is_an_empty_reply() -> None:
    box = Mailbox()
    Datagrams(DatagramRequestHandler).serve((b"abc", box), "client")
    assert box.sent == [(b"", "client")]


@pytest.mark.parametrize("address", [None, "", b""])
def test_to_nobody_nothing_is_sent(address: Any) -> None:
    box = Mailbox()
    Datagrams(DatagramRequestHandler).serve((b"abc", box), address)
    assert box.sent == []
