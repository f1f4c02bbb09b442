"""Scripts as Python source: the values themselves, and a regression test around them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import attrs

from .script import Script

__all__ = ["regression_test", "to_source"]

_WIDTH: Final = 96
_INDENT: Final = "    "
#: Fields that are given by position.
_POSITIONAL: Final = frozenset({"clients", "actions", "data", "point", "kind", "size", "seconds"})


def to_source(value: Any, indent: str = "") -> str:
    """Return an expression that makes *value*: a script, a client, an action, a fault.

    Names are those of :mod:`sansio_server.testing`; fields that have their defaults are left out.

    :param indent: what lines after the first begin with.
    """
    if isinstance(value, tuple):
        parts = [to_source(each, indent + _INDENT) for each in value]
        opening, closing, lonely = "(", ")", len(parts) == 1
    elif attrs.has(type(value)):
        parts = [_argument(value, field, indent) for field in attrs.fields(type(value))]
        parts = [part for part in parts if part]
        opening, closing, lonely = f"{type(value).__name__}(", ")", False
    elif isinstance(value, bytes) and len(indent) + len(repr(value)) > _WIDTH:
        return _long_bytes(value, indent)
    else:
        return repr(value)
    line = f"{opening}{', '.join(parts)}{',' if lonely else ''}{closing}"
    if "\n" not in line and len(indent) + len(line) <= _WIDTH:
        return line
    lines = "".join(f"\n{indent}{_INDENT}{part}," for part in parts)
    return f"{opening}{lines}\n{indent}{closing}"


def _long_bytes(data: bytes, indent: str) -> str:
    """Return *data* in several literals, each with as many bytes as fit on a line."""
    pieces = [data[index : index + 16] for index in range(0, len(data), 16)]
    lines = "".join(f"\n{indent}{_INDENT}{piece!r}" for piece in pieces)
    return f"({lines}\n{indent})"


def _argument(value: Any, field: attrs.Attribute[Any], indent: str) -> str:
    content = getattr(value, field.name)
    if content == field.default:
        return ""
    source = to_source(content, indent + _INDENT)
    return source if field.name in _POSITIONAL else f"{field.name}={source}"


def regression_test(script: Script, *, name: str, found: Iterable[object] = ()) -> str:
    """Return the source of a module with one test, which fails as long as *script* does.

    :param script: if it does not say of which handler it is, or of which server class, a line to
        fill in says so.
    :param name: what the test is to be called, after "test_".
    :param found: what does not hold; for the docstring.
    """
    names = {"sansio_server.testing": {*_names(script), "check"}}
    remarks: list[str] = []
    handler = _import(script.handler, "HANDLER", names, remarks)
    server = _import(script.server, "SERVER", names, remarks) if script.server else ""
    arguments = f"SCRIPT, {handler}" + (f", server_class={server}" if server else "")
    imports = [
        f"from {module} import {', '.join(sorted(named, key=_import_order))}"
        for module, named in names.items()
    ]
    imported = _wrapped_imports([*imports, *remarks])
    said = "\n\n    ".join(_in_docstring(each) for each in found) or "It ends, and all holds."
    identifier = re.sub(r"\W+", "_", name).strip("_")
    return (
        f"{imported}\n\n"
        f"SCRIPT = {to_source(script)}\n\n\n"
        f"def test_{identifier}() -> None:\n"
        f'    """{said}"""\n'
        f"    check({arguments})\n"
    )


def _import(
    target: str | None, placeholder: str, names: dict[str, set[str]], remarks: list[str]
) -> str:
    """Return what *target* is called; note what is to be imported for that."""
    if target is None:
        remarks.append(f"# {placeholder}: import here what was tested.")
        return placeholder
    module, name = target.split(":")
    names.setdefault(module, set()).add(name.split(".")[0])
    return name


def _import_order(name: str) -> tuple[bool, str]:
    return name[0].islower(), name


def _names(value: Any) -> set[str]:
    if isinstance(value, tuple):
        return set().union(*map(_names, value))
    if not attrs.has(type(value)):
        return set()
    fields = attrs.fields(type(value))
    return {type(value).__name__}.union(
        *(_names(getattr(value, f.name)) for f in fields if getattr(value, f.name) != f.default)
    )


def _wrapped_imports(imports: Iterable[str]) -> str:
    lines: list[str] = []
    for line in sorted(imports, key=lambda each: (each[0] == "#", each)):
        if len(line) <= _WIDTH or line[0] == "#":
            lines.append(line)
            continue
        head, names = line.split(" import ")
        lines.append(f"{head} import (")
        lines += [f"{_INDENT}{name}," for name in names.split(", ")]
        lines.append(")")
    return "\n".join(lines)


def _in_docstring(finding: object) -> str:
    first = str(finding).strip().splitlines() or [""]
    return first[0].replace("\\", "\\\\").replace('"""', "'''").rstrip('"')
