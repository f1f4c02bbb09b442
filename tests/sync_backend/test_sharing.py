from __future__ import annotations

from collections.abc import Callable

import pytest

from sync_backend import TCPServer
from sync_backend.sharing import SharedListenerMixIn
from tests.sync_backend.servers import Upper
from tests.sync_backend.support import HERE


class Shared(SharedListenerMixIn, TCPServer):
    """Has something happen when its descriptor was asked for, and nobody waits for it yet."""

    _shares_listener = True
    happens: Callable[[], object] | None = None

    def fileno(self) -> int:
        descriptor = super().fileno()
        if self.happens is not None:
            self.happens()
        return descriptor

    def _prepare_listener(self) -> bool:
        result = super()._prepare_listener()
        self.happens = self.will_happen
        return result

    will_happen: Callable[[], object]


def test_a_server_may_be_closed_while_its_loop_is_about_to_wait() -> None:
    with Shared(HERE, Upper) as server:
        server.will_happen = server.server_close
        server.serve_forever()
    assert server.counters.accepted == 0


def test_a_listener_that_is_lost_is_an_error() -> None:
    with Shared(HERE, Upper) as server:
        server.will_happen = server.socket.close
        with pytest.raises(OSError, match="descriptor"):
            server.serve_forever()
