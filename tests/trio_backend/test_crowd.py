"""Worker threads that are started in a crowd."""

from __future__ import annotations

import threading

import pytest
import trio

from sansio_server.handlers import BaseRequestHandler
from trio_backend import TCPServer, carriers
from trio_backend.crowd import SameTurn

from .support import HERE, connect, read_to_end

CLIENTS = 5


async def threads_seen_by_handlers(crowd: int, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Have clients come at once; return how many had their threads when the handlers began."""
    seen: list[float] = []
    monkeypatch.setattr(carriers, "CROWD", crowd)
    all_began = threading.Barrier(CLIENTS)

    class Looking(BaseRequestHandler):
        def handle(self) -> None:
            seen.append(self.server._limiter().borrowed_tokens)
            all_began.wait(30)

    async with TCPServer(HERE, Looking) as server, trio.open_nursery() as nursery:
        clients = [await connect(server) for _ in range(CLIENTS)]
        await nursery.start(server.serve_forever)
        for client in clients:
            assert await read_to_end(client) == b""
        server.shutdown()
    return seen


async def test_handlers_in_a_crowd_begin_when_all_have_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert await threads_seen_by_handlers(CLIENTS - 1, monkeypatch) == [CLIENTS] * CLIENTS


async def test_handlers_of_few_clients_begin_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carriers, "Hold", None)  # whoever asks for one fails
    assert len(await threads_seen_by_handlers(CLIENTS, monkeypatch)) == CLIENTS


async def test_a_token_is_taken_without_giving_way() -> None:
    limiter = trio.CapacityLimiter(1)
    same_turn = SameTurn(limiter)
    taking = same_turn.acquire_on_behalf_of(self_made := object())
    with pytest.raises(StopIteration):
        taking.send(None)
    assert limiter.statistics().borrowers == [self_made]
    same_turn.release_on_behalf_of(self_made)
    assert limiter.borrowed_tokens == 0
