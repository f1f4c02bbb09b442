"""A script, played in memory or on real sockets."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sansio_server.testing.real_sockets.backends import REAL_BACKENDS
from sansio_server.testing.real_sockets.replaying import replay
from sansio_server.testing.runs.run import Run
from sansio_server.testing.scripts.script import Script, script_from_json

from .console import REFUSED, CommandError, say
from .search_path import look_here
from .targets import Target, load_target

__all__ = ["read_script", "replay_script"]

#: How many of the last moments are shown where something is found.
_SHOWN: Final = 60


def read_script(path: Path, text: str) -> Script:
    """Return the script that *text*, of the file at *path*, holds.

    :raises CommandError: it holds none.
    """
    try:
        return script_from_json(text)
    except ValueError as error:
        raise CommandError(f"{path} is neither a recording nor a script: {error}") from None


def replay_script(
    script: Script, backend: str, handler: str | None, server_class: str | None
) -> int:
    """Play *script*; return the exit status.

    :param backend: "memory", or one of those on real sockets.
    :param handler: what is to serve, if not what the script says.
    :param server_class: likewise the server class.
    :raises CommandError: there is no such backend, or nothing to serve with, or it cannot be had.
    """
    if backend != "memory" and backend not in REAL_BACKENDS:
        known = ", ".join(["memory", *REAL_BACKENDS])
        raise CommandError(f"there is no backend {backend!r}; there are {known}")
    target = _target(script, handler, server_class)
    run = (
        _in_memory(script, target) if backend == "memory" else _on_sockets(script, target, backend)
    )
    if not run.findings:
        count = len(run.script.clients)
        say(f"{backend}: nothing was found wrong; {count} clients in {run.seconds:.3f} s")
        return 0
    say(f"{backend}:", run.report(_SHOWN))
    return REFUSED


def _target(script: Script, handler: str | None, server_class: str | None) -> Target:
    look_here()
    named = handler or script.handler
    if named is None:
        raise CommandError("the script does not say what is to serve; name it with --handler")
    return load_target(named, server_class or script.server)


def _in_memory(script: Script, target: Target) -> Run:
    from sansio_server.testing.simulation.simulation import Simulation  # noqa: PLC0415 - for this alone

    with Simulation(target.handler, server_class=target.server_class) as simulation:
        return simulation.examine(script)


def _on_sockets(script: Script, target: Target, backend: str) -> Run:
    try:
        result = replay(script, target.handler, backend=backend, server_class=target.server_class)
    except (ImportError, OSError) as error:
        raise CommandError(f"{backend} cannot be had: {error}", REFUSED) from error
    for fault in result.left_out:
        say(f"left out, since real sockets cannot show it: {fault}")
    return result.run
