"""The example servers in memory: their handlers and their hooks, as they stand."""

from __future__ import annotations

from typing import Any

import pytest

import trio_backend
from sansio_server import StreamRequestHandler
from sansio_server.testing import Client, ScriptedServer, World, in_memory
from tests.examples.modules import load


@pytest.mark.parametrize("way", ["inline", "threads", "forks"])
def test_async_handler(way: str) -> None:
    module = load("async_handler")
    with ScriptedServer(module.Sorter, module.WAYS[way]) as server:
        client = server.connect()
        assert client.readline() == b"send words\n"
        client.send(b"red green blue\n\n")
        assert client.read_to_end() == b"blue green red\nbye\n"


def test_asyncio_server() -> None:
    module = load("asyncio_server")
    with ScriptedServer(module.Sorter) as server:
        client = server.connect()
        client.send(b"red green blue\n")
        assert client.readline() == b"blue green red\n"


def test_forking_server() -> None:
    module = load("forking_server")
    with ScriptedServer(module.Reporter, module.ReportServer) as server:
        reports = []
        for _ in range(2):
            client = server.connect()
            client.send(b"one\ntwo\n")
            client.shutdown_write()
            reports.append(client.read_to_end().splitlines())
        assert [each[-1].partition(b": ")[2] for each in reports] == [
            b"client 1, line 2: two",
            b"client 2, line 2: two",
        ]
        assert (server.server.clients, server.server.lines) == (2, 0)


def test_threaded_server() -> None:
    made = in_memory(load("threaded_server").ScoreServer)
    with World() as world:
        server: Any = made(("127.0.0.1", 0))  # it names its handler by itself
        loop = world.spawn("loop", server.serve_forever)
        with Client(world, "client 1") as client:
            client.connect(server.server_address)
            client.send(b"ada 3\nada 4\n")
            client.readline()
            assert b"7" in client.readline()
        server.shutdown()
        server.server_close()
        assert loop.is_over


def test_tcp_servers() -> None:
    module = load("tcp_server")
    with ScriptedServer(module.WordCounter, module.WordServer) as server:
        client = server.connect()
        client.send(b"one two three\n")
        client.shutdown_write()
        assert b"3" in client.read_to_end()
    module = load("tcp_lines_server")
    with ScriptedServer(module.Adder, module.AddingServer) as server:
        client = server.connect()
        client.send(b"1 2\n")
        client.shutdown_write()
        assert b"3" in client.read_to_end()


def test_udp_server() -> None:
    module = load("udp_server")
    with ScriptedServer(module.Checksum, trio_backend.UDPServer) as server:
        client = server.datagram_client()
        client.send(b"hello")
        assert client.recv()


def test_trio_chat_needs_trio(capsys: pytest.CaptureFixture[str]) -> None:
    """A nursery is trio's: the handler gets an error where it opens one, and is done."""
    module = load("trio_chat")
    with ScriptedServer(module.Chat) as server:
        for _ in range(2):
            assert server.connect().read_to_end() == b"welcome\n"
        assert len(server.errors) == 2
        assert module.Chat.others == {}
    assert "open_nursery" in capsys.readouterr().err


def test_hooks_for_a_nursery() -> None:
    class Gated(trio_backend.TCPServer):
        async def verify_request(self, request: Any, client_address: Any) -> bool:
            return bool(super().verify_request(request, client_address))

        async def process_request(self, request: Any, client_address: Any) -> None:
            await super().process_request(request, client_address)

    class Greets(StreamRequestHandler):
        async def handle(self) -> None:
            await self.wfile.write(b"hello\n")

    with ScriptedServer(Greets, Gated) as server:
        assert server.connect().read_to_end() == b"hello\n"
        assert server.errors == []
