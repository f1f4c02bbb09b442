"""A client of a script, on real sockets."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from sansio_server.testing.runs.run import Seen
from sansio_server.testing.runs.script_clients import ScriptClient, Stage
from sansio_server.testing.scripts.actions import RECEIVING, ClientScript, Send
from sansio_server.testing.servers.clients import PacketClient, StreamClient
from sansio_server.testing.timeline.moments import shown

__all__ = ["PatienceError", "RealClient", "RealStage"]

#: Seconds between two sends, so that they do not leave as one segment.
_GAP: Final = 0.002


class PatienceError(Exception):
    """A client has waited for longer than it may."""


class RealStage(Stage, Protocol):
    """Where the clients of a script find their server, and get their sockets."""

    def new_client(self) -> StreamClient:
        """Return a new client that is not connected."""

    def datagram_client(self) -> PacketClient:
        """Return a new client for a server of datagrams."""


class RealClient(ScriptClient):
    """A client of a script, in a thread.

    :param patience: seconds that its sockets wait where the script names no time.
    :param note: called with what is done, and a detail of it.
    """

    def __init__(
        self,
        script: ClientScript,
        stage: RealStage,
        *,
        patience: float,
        note: Callable[[str, str], object],
    ) -> None:
        super().__init__(script, stage)
        self._patience = patience
        self._note = note
        self._real_stage = stage

    def _new_stream(self) -> StreamClient:
        return self._real_stage.new_client()

    def _new_packets(self) -> PacketClient:
        return self._real_stage.datagram_client()

    def _failed(self, error: str) -> None:
        self._note("error", error)

    def play(self) -> Seen:
        """Do it all; return what was seen.

        :raises PatienceError: the server kept it waiting.
        """
        return super().play()

    def _do(self, action: Any) -> None:
        if not isinstance(action, RECEIVING):
            data = getattr(action, "data", None)
            self._note(_name(action), "" if data is None else shown(data))
        super()._do(action)
        if isinstance(action, Send):
            time.sleep(_GAP)

    def _receive(self, action: Any) -> bytes:
        try:
            data = super()._receive(action)
        except TimeoutError:
            if action.timeout is None:
                raise PatienceError(f"{action!r} waited for {self._patience:g} s") from None
            raise
        self._note(_name(action), shown(data))
        return data


def _name(action: Any) -> str:
    return type(action).__name__.lower()
