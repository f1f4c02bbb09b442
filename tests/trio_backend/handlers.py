"""Handlers that several modules of tests serve on trio."""

from __future__ import annotations

from typing import Any

import trio

from sansio_server.handlers import BaseRequestHandler, StreamRequestHandler


class Upper(StreamRequestHandler):
    async def handle(self) -> None:
        async for line in self.rfile:
            await self.wfile.write(line.upper())


class Nap(BaseRequestHandler):
    """Takes ten seconds."""

    async def handle(self) -> None:
        await trio.sleep(10)
        await self.request.sendall(b"done")


class BlockingUpper(StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line.upper())


async def nothing(request: Any, client_address: Any, server: Any) -> None:
    """A handler that has nothing to do."""


class Escape(BaseException):
    """What `except Exception` must not see."""
