"""Our servers on trio, each in a trio run of its own."""

from __future__ import annotations

from typing import Any

import trio

import trio_backend

from .servers import handler_class, quiet

__all__ = ["OnTrio"]


class OnTrio:
    """A server of ``trio_backend``, with the blocking ``serve_forever()`` that the others have."""

    def __init__(
        self, class_name: str, address: tuple[str, int], handler: str, where: str | None
    ) -> None:
        handler_type = handler_class(trio_backend, handler, is_async=where is None)
        members = {"handle_error": quiet}
        server_class = type(class_name, (getattr(trio_backend, class_name),), members)
        self._server = server_class(address, handler_type)
        if where is not None:
            self._server.blocking_handlers = where
        self.server_address: tuple[Any, ...] = self._server.server_address
        self.socket = self._server.socket

    def serve_forever(self) -> None:
        trio.run(self._server.serve_forever)

    def shutdown(self) -> None:
        self._server.shutdown()

    def server_close(self) -> None:
        self.socket.close()
