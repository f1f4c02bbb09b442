"""A chat on trio: the server is one task of an application, each client's handler two.

What one client says all others read. Try it with two terminals: `nc 127.0.0.1 9008` in each. Ctrl-C
says goodbye to everybody, and ends the program when they have gone or after a while.
"""

from __future__ import annotations

import argparse
import signal
from functools import partial
from typing import Any

import trio

from sansio_server import Limits
from trio_backend import Service, StreamRequestHandler, serve_tcp

LIMITS = Limits(max_connections=100, drain_timeout=2.0)


class Chat(StreamRequestHandler):
    """One client: what it says goes to all others, and what they say comes to it."""

    stop_ends_input = True  # a stop is for this handler as if the client had left
    others: dict[Chat, trio.MemorySendChannel[bytes]] = {}  # noqa: RUF012 - shared by all

    async def handle(self) -> None:
        """Read what the client says while another task writes what it is to read."""
        send, receive = trio.open_memory_channel[bytes](100)
        self.others[self] = send
        try:
            await self.wfile.write(b"welcome\n")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.write_all, receive)
                async with send:
                    async for line in self.rfile:
                        self.tell_others(line)
                    send.send_nowait(b"goodbye\n")
        finally:
            del self.others[self]

    def tell_others(self, line: bytes) -> None:
        """Pass *line* on; who reads too slowly misses it, and delays nobody."""
        for other, send in self.others.items():
            if other is not self:
                try:
                    send.send_nowait(line)
                except (trio.WouldBlock, trio.ClosedResourceError):
                    pass

    async def write_all(self, receive: trio.MemoryReceiveChannel[bytes]) -> None:
        """Send the client what comes for it."""
        async for line in receive:
            await self.wfile.write(line)


async def stop_at_ctrl_c(
    service: Service, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Stop the service at the first Ctrl-C."""
    with trio.open_signal_receiver(signal.SIGINT) as signals:
        task_status.started()
        async for _ in signals:
            service.shutdown()
            return


async def application(host: str, port: int) -> None:
    """Serve until Ctrl-C; tell how it ended."""
    serve: Any = partial(serve_tcp, Chat, port, host=host, limits=LIMITS)
    async with trio.open_nursery() as nursery:
        service: Service = await nursery.start(serve)
        await nursery.start(stop_at_ctrl_c, service)
        host, port = service.addresses[0][:2]
        print(f"listening on {host}:{port}", flush=True)
        (report,) = await service.wait_drained()
    print(f"{len(report.finished)} left, {len(report.cut)} were cut")


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description="A chat by lines over TCP.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=9008, help="0 takes any that is free")
    args = parser.parse_args()
    trio.run(application, args.host, args.port)


if __name__ == "__main__":
    main()
