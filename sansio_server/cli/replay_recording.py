"""A recording, decided again, also under other limits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sansio_server.testing.offline.projections import as_table
from sansio_server.testing.offline.rerun import rerun
from sansio_server.testing.offline.what_if import what_if
from sansio_server.testing.recording.format import Record, read_recording

from .console import REFUSED, CommandError, say

__all__ = ["replay_recording"]


def replay_recording(path: Path, server: str | None, changes: Sequence[dict[str, Any]]) -> int:
    """Decide again what was recorded; return the exit status.

    :param server: the name of the only server to look at; None for all.
    :param changes: other limits to try, rather than those recorded.
    :raises CommandError: it is no whole recording, or has no such server.
    """
    try:
        records = read_recording(path)
        servers = _servers(records, server, path)
        return _what_if(records, servers, changes) if changes else _again(records, servers)
    except ValueError as error:
        raise CommandError(str(error)) from error


def _servers(records: Iterable[Record], wanted: str | None, path: Path) -> list[str]:
    servers = list(dict.fromkeys(record.server for record in records))
    if wanted is None:
        return servers
    if wanted not in servers:
        names = ", ".join(map(repr, servers))
        raise CommandError(f"there is no server {wanted!r} in {path}; there are {names}")
    return [wanted]


def _again(records: Sequence[Record], servers: Sequence[str]) -> int:
    same = True
    for server in servers:
        result = rerun(record for record in records if record.server == server)
        same = same and result.same
        if server:
            say(f"{server}:")
        say(str(result), *(f"counted: {counters}" for counters in result.counters.values()))
    return 0 if same else REFUSED


def _what_if(
    records: Sequence[Record], servers: Sequence[str], changes: Sequence[dict[str, Any]]
) -> int:
    for server in servers:
        projections, notes = what_if(records, *changes, server=server)
        if server:
            say(f"{server}:")
        say(*as_table(projections), "", *(f"note: {note}" for note in notes))
    return 0
