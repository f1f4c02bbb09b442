"""The clients that a file holds: a Python file, or a script as JSON."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sansio_server.testing.scripts.actions import ACTIONS, ClientScript
from sansio_server.testing.scripts.script import Script, script_from_json

from .console import REFUSED, CommandError

__all__ = ["read_clients"]


def read_clients(name: str) -> list[ClientScript]:
    """Return the clients of a file.

    In a Python file they are: each :class:`~sansio_server.testing.ClientScript` and
    :class:`~sansio_server.testing.Script` that it has under a name, alone or in a list, and
    what each function whose name begins with ``client`` gives when it is called: one of these, or
    actions.

    :raises CommandError: the file cannot be read, or there are no clients in it.
    """
    path = Path(name)
    try:
        clients = _from_python(path) if path.suffix == ".py" else _from_json(path)
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror}", REFUSED) from error
    if not clients:
        raise CommandError(
            f"there are no clients in {path}; give a ClientScript a name in it, or write a "
            "function client…() that yields actions"
        )
    return clients


def _from_json(path: Path) -> list[ClientScript]:
    try:
        return list(script_from_json(path.read_text(encoding="utf-8")).clients)
    except ValueError as error:
        raise CommandError(f"{path}: {error}") from None


def _from_python(path: Path) -> list[ClientScript]:
    path.stat()  # what is wrong with the file itself is told as for any other
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise CommandError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        return list(_clients_of(vars(module)))
    except CommandError:
        raise
    except (Exception, SystemExit) as error:
        raise CommandError(f"{path}: {type(error).__name__}: {error}") from error


def _clients_of(names: dict[str, Any]) -> Iterator[ClientScript]:
    for name, value in list(names.items()):
        if name.startswith("client") and callable(value) and not isinstance(value, type):
            result = value()
            found = list(_clients_in(result))
            yield from found or [ClientScript(_actions(name, result))]
        elif not name.startswith("_"):
            yield from _clients_in(value)


def _clients_in(value: Any) -> Iterator[ClientScript]:
    if isinstance(value, ClientScript):
        yield value
    elif isinstance(value, Script):
        yield from value.clients
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _clients_in(each)


def _actions(name: str, result: Any) -> list[Any]:
    known = tuple(ACTIONS.values())
    if isinstance(result, known):
        return [result]
    if isinstance(result, Iterable) and not isinstance(result, (str, bytes)):
        actions = list(result)
        if actions and all(isinstance(each, known) for each in actions):
            return actions
    raise CommandError(f"{name}() gives {result!r}, which is neither a ClientScript nor actions")
