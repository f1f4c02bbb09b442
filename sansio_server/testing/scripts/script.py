"""A run as data: what each client does, which faults happen, and who moves when.

A :class:`Script` is what a failing seed shrinks to. It goes to JSON and back
(:func:`script_to_json`, :func:`script_from_json`), so that it can be kept in a file and played
again, in memory or on real sockets.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs

from .actions import ACTIONS, Action, ClientScript
from .faults import Fault

__all__ = ["Script", "script_from_json", "script_to_json"]

_FORMAT: Final = "sansio-server script 1"


def _each(kind: type) -> Any:
    return attrs.validators.deep_iterable(attrs.validators.instance_of(kind))


def _clients(clients: Iterable[ClientScript]) -> tuple[ClientScript, ...]:
    return tuple(clients)


def _faults(faults: Iterable[Fault]) -> tuple[Fault, ...]:
    return tuple(faults)


def _target(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is None:
        return
    if not isinstance(value, str) or value.count(":") != 1 or value[0] == ":" or value[-1] == ":":
        raise ValueError(f"{attribute.name} must be 'module:Name' or None, not {value!r}")


def _schedule(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise TypeError(f"{attribute.name} must be a whole number or None, not {value!r}")


@attrs.frozen
class Script:
    """All that decides how a run goes.

    :param clients: what each client does; named "client 1" and so on, in this order.
    :param faults: what goes wrong, and where.
    :param schedule: the seed by which it is drawn who moves next; None for first
        come, first served.
    :param between_lines: whether it is drawn between lines of blocking handlers, too; only where
        there is a schedule.
    :param handler: the handler that it was found with, as ``"module:Name"``; None if it has no such
        name.
    :param server: its server class, likewise.
    :raises TypeError: something is of the wrong type.
    :raises ValueError: a name is not of that form.
    """

    clients: tuple[ClientScript, ...] = attrs.field(
        converter=_clients, validator=_each(ClientScript)
    )
    faults: tuple[Fault, ...] = attrs.field(
        default=(), converter=_faults, validator=_each(Fault), kw_only=True
    )
    schedule: int | None = attrs.field(default=None, validator=_schedule, kw_only=True)
    between_lines: bool = attrs.field(
        default=False, validator=attrs.validators.instance_of(bool), kw_only=True
    )
    handler: str | None = attrs.field(default=None, validator=_target, kw_only=True)
    server: str | None = attrs.field(default=None, validator=_target, kw_only=True)


def script_to_json(script: Script) -> str:
    """Return *script* as JSON, indented, with a line feed at its end.

    Bytes are strings there, a character for each byte (ISO 8859-1).
    """
    clients = [
        {
            **({"start": client.start} if client.start else {}),
            "actions": [_from_action(action) for action in client.actions],
        }
        for client in script.clients
    ]
    content: dict[str, Any] = {"format": _FORMAT}
    for name in ("handler", "server", "schedule", "between_lines"):
        value = getattr(script, name)
        if value is not None and value is not False:
            content[name] = value
    content["clients"] = clients
    content["faults"] = [_present(fault) for fault in script.faults]
    return json.dumps(content, indent=2) + "\n"


def script_from_json(text: str) -> Script:
    """Return the script that *text* holds, as :func:`script_to_json` writes it.

    :raises ValueError: it is no JSON, or not a script; the error says where.
    """
    try:
        content = json.loads(text)
    except ValueError as error:
        raise ValueError(f"a script must be JSON: {error}") from None
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise ValueError(f'a script must be an object with "format": {_FORMAT!r}')
    fields = {name: value for name, value in content.items() if name != "format"}
    fields["clients"] = [
        _client(client, f"clients[{index}]")
        for index, client in enumerate(_list(fields.get("clients"), "clients"))
    ]
    fields["faults"] = [
        _make(Fault, fault, f"faults[{index}]")
        for index, fault in enumerate(_list(fields.get("faults", []), "faults"))
    ]
    script: Script = _make(Script, fields, "the script")
    return script


def _from_action(action: Action) -> dict[str, Any]:
    fields = _present(action)
    if isinstance(fields.get("data"), bytes):
        fields["data"] = fields["data"].decode("latin-1")
    return {"do": type(action).__name__, **fields}


def _present(value: attrs.AttrsInstance) -> dict[str, Any]:
    """Return the fields of *value* that are not what they are by default."""
    return {
        field.name: getattr(value, field.name)
        for field in attrs.fields(type(value))
        if getattr(value, field.name) != field.default
    }


def _client(content: object, where: str) -> ClientScript:
    fields = dict(_mapping(content, where))
    fields["actions"] = [
        _action(action, f"{where}.actions[{index}]")
        for index, action in enumerate(_list(fields.get("actions"), f"{where}.actions"))
    ]
    client: ClientScript = _make(ClientScript, fields, where)
    return client


def _action(content: object, where: str) -> Action:
    fields = dict(_mapping(content, where))
    kind = fields.pop("do", None)
    if not isinstance(kind, str) or kind not in ACTIONS:
        raise ValueError(f'{where}: "do" must be one of {", ".join(ACTIONS)}, not {kind!r}')
    if isinstance(fields.get("data"), str):
        try:
            fields["data"] = fields["data"].encode("latin-1")
        except UnicodeEncodeError:
            raise ValueError(f"{where}: data must have a character for each byte") from None
    action: Action = _make(ACTIONS[kind], fields, where)
    return action


def _mapping(content: object, where: str) -> Mapping[str, Any]:
    if not isinstance(content, dict):
        raise ValueError(f"{where} must be an object, not {content!r}")  # noqa: TRY004 - a file is wrong
    return content


def _list(content: object, where: str) -> list[Any]:
    if not isinstance(content, list):
        raise ValueError(f"{where} must be a list, not {content!r}")  # noqa: TRY004 - a file is wrong
    return content


def _make(kind: type[Any], content: object, where: str) -> Any:
    fields = _mapping(content, where)
    known = [field.name for field in attrs.fields(kind)]
    for name in fields:
        if name not in known:
            raise ValueError(f"{where} has no {name!r}; there are: {', '.join(known) or 'none'}")
    try:
        return kind(**fields)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}") from None
