# ruff: noqa: INP001 - a program, not a package
"""Writes reference.md from the docstrings: run `python docs/make_reference.py` from the top folder.

The same sources give the same page, on every Python. What a class says about its attributes stands
beside them: in a comment that begins with `#:` above, or in a string below.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from types import GenericAlias, ModuleType
from typing import Any, Final, NamedTuple, TypeAlias

PAGE: Final = Path(__file__).parent / "reference.md"

#: The modules, in the order of the page. A package stands for the names that it exports.
MODULES: Final = (
    "sync_backend",
    "sync_backend.runtime",
    "trio_backend",
    "trio_backend.blocking",
    "trio_backend.listeners",
    "trio_backend.tasks",
    "trio_backend.draining",
    "trio_backend.runtime",
    "sansio_server.handlers",
    "sansio_server.streams",
    "sansio_server.socket_files",
    "sansio_server.buffers",
    "sansio_server.exceptions",
    "sansio_server.trace",
    "sansio_server.limits",
    "sansio_server.drain",
    "sansio_server.draining",
    "sansio_server.drain_trace",
    "sansio_server.ledger",
    "sansio_server.hooks",
    "sansio_server.serving",
    "sansio_server.loop",
    "sansio_server.tasks",
    "sansio_server.request",
    "sansio_server.driver",
    "sansio_server.deferred",
    "sansio_server.lifecycle",
    "sansio_server.supervision",
    "sansio_server.accept_errors",
    "sansio_server.stacks",
    "sansio_server.diagrams",
    "sansio_server.testing",
    "sansio_server.testing.strategies",
    "sansio_server.testing.machine",
)

_HEAD: Final = """\
# Reference

Made from the docstrings by `docs/make_reference.py`. The [guide](index.md) says how things work
together; this page lists them.

Names of the modules `sansio_server.…` that are marked † can be imported from `sansio_server` too.
"""


#: The classes that have an entry of their own, and the modules under which they have it.
Documented: TypeAlias = Mapping[type, str]


class Described(NamedTuple):
    """An assignment, and what is said about it."""

    name: str
    annotation: str
    value: str
    text: str


# From reStructuredText, as docstrings have it, to Markdown.

_ROLE: Final = re.compile(r":(?P<role>class|meth|func|attr|data|exc|mod):`(?P<target>[^`]+)`")
_FIELD: Final = re.compile(
    r":(?P<kind>param|raises|ivar|returns)(?: (?P<name>[^:]+))?: (?P<text>.*)"
)
_FIELD_FORMS: Final = {
    "param": "- *{}*: {}",
    "raises": "- raises `{}`: {}",
    "ivar": "- `{}`: {}",
    "returns": "- returns{}: {}",
}


def _role(match: re.Match[str]) -> str:
    target = match["target"]
    name = target.rpartition(".")[2] if target.startswith("~") else target.lstrip(".")
    if match["role"] in ("meth", "func"):
        name += "()"
    return f"`{name}`"


def _inline(text: str) -> str:
    return _ROLE.sub(_role, text).replace("``", "`")


def markdown(docstring: str | None) -> str:
    """Return a docstring as Markdown."""
    lines: list[str] = []
    in_field = in_table = False
    for line in inspect.cleandoc(docstring or "").splitlines():
        if line.startswith("===") and not in_table:
            in_table = True
            lines.append("```text")
        elif in_table and not line:
            in_table = False
            lines.append("```")
        if match := _FIELD.match(line):
            lines.append(
                _inline(_FIELD_FORMS[match["kind"]].format(match["name"] or "", match["text"]))
            )
            in_field = True
        elif in_field and line.startswith(" "):
            lines.append("  " + _inline(line.strip()))
        else:
            in_field = False
            lines.append(line if in_table else _inline(line))
    return "\n".join(lines)


# What stands in the sources.


def _comment_above(lines: list[str], node: ast.stmt) -> str:
    """Return the comment of lines that begin with `#:` right above a statement."""
    comment: list[str] = []
    for line in reversed(lines[: node.lineno - 1]):
        if not line.strip().startswith("#:"):
            break
        comment.insert(0, line.strip()[2:].strip())
    return "\n".join(comment)


def assignments(source: str) -> Iterator[Described]:
    """Each assignment to a name at the top of a module, or of a class if that is all there is."""
    lines = source.splitlines()
    body = ast.parse(source).body
    if len(body) == 1 and isinstance(body[0], ast.ClassDef):
        body = body[0].body
    for node, following in zip(body, [*body[1:], None], strict=True):
        target: ast.expr
        if isinstance(node, ast.AnnAssign):
            target, annotation = node.target, ast.unparse(node.annotation)
        elif isinstance(node, ast.Assign):
            target, annotation = node.targets[0], ""
        else:
            continue
        text = _comment_above(lines, node)
        if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            text = text or str(following.value.value)
        if isinstance(target, ast.Name):
            value = "" if node.value is None else ast.unparse(node.value)
            yield Described(target.id, annotation, value, inspect.cleandoc(text))


def _source(thing: Any) -> str:
    return textwrap.dedent(inspect.getsource(thing))


def home_of(package: ModuleType, name: str) -> str:
    """Return the module that a package takes a name from; the package itself if it makes it."""
    for node in ast.walk(ast.parse(_source(package))):
        if isinstance(node, ast.ImportFrom) and name in {alias.name for alias in node.names}:
            base = package.__name__ if node.level else ""
            return ".".join(filter(None, [base, node.module]))
    return package.__name__


# What is written.


def _default(value: object) -> str:
    if isinstance(value, Enum):
        return str(value) if not isinstance(value, int) else f"{type(value).__name__}.{value.name}"
    return repr(value)


def _signature(function: Callable[..., Any]) -> str:
    parameters = []
    shown_star = False
    for at, parameter in enumerate(inspect.signature(function).parameters.values()):
        if at == 0 and parameter.name == "self":
            continue
        text = parameter.name
        if parameter.kind is parameter.VAR_POSITIONAL:
            text, shown_star = f"*{text}", True
        elif parameter.kind is parameter.VAR_KEYWORD:
            text = f"**{text}"
        elif parameter.kind is parameter.KEYWORD_ONLY and not shown_star:
            parameters.append("*")
            shown_star = True
        if parameter.default is not parameter.empty:
            text += f"={_default(parameter.default)}"
        parameters.append(text)
    return f"({', '.join(parameters)})"


def _called(name: str, function: Callable[..., Any]) -> str:
    awaited = "async " if inspect.iscoroutinefunction(function) else ""
    return f"`{awaited}{name}{_signature(function)}`"


def _entry(heading: str, text: str) -> Iterator[str]:
    """One member of a class: what it is, and what is said about it, indented below."""
    yield f"- {heading}"
    if text:
        yield ""
        yield textwrap.indent(text, "  ")
    yield ""


def _members(cls: type, documented: Documented) -> Iterator[tuple[type, Mapping[str, Any]]]:
    """Where a class has its members from, up to the classes that have an entry of their own."""
    hidden: set[type] = set()
    for base in cls.__mro__:
        if base is cls or base not in documented:
            if base not in hidden and base.__module__.split(".")[0] in _OURS:
                yield base, vars(base)
        else:
            hidden |= set(base.__mro__)


_OURS: Final = {name.split(".")[0] for name in MODULES}


def _class(name: str, cls: type, documented: Documented) -> Iterator[str]:
    if issubclass(cls, Enum):
        yield f"class `{name}`, an enumeration"
    else:
        made = inspect.isfunction(cls.__init__) and not getattr(cls, "_is_protocol", False)
        arguments = _signature(cls) if made else ""
        bases = " and ".join(_base_name(cls, base, documented) for base in _bases(cls, documented))
        yield f"class `{name}{arguments}`" + (f", derived from {bases}" if bases else "")
    yield from ("", markdown(vars(cls).get("__doc__")), "")
    members = list(_all_members(cls, documented))
    if members:
        yield from ("Members:", "", *members)


def _bases(cls: type, documented: Documented) -> Iterator[type]:
    """The nearest classes above this one that the page or Python's own documentation describes."""
    known: set[type] = {object}
    for base in cls.__mro__[1:]:
        if base not in known and (base in documented or base.__module__ == "builtins"):
            known |= set(base.__mro__)
            yield base


def _base_name(cls: type, base: type, documented: Documented) -> str:
    """Return the name of a base; with its module if another one has a class of that name, too."""
    section = documented.get(base, documented[cls])
    names = [other.__name__ for other in documented]
    if section != documented[cls] and names.count(base.__name__) > 1:
        return f"`{section}.{base.__name__}`"
    return f"`{base.__name__}`"


def _all_members(cls: type, documented: Documented) -> Iterator[str]:
    seen: set[str] = set()
    for base, members in _members(cls, documented):
        for described in assignments(_source(base)):
            if described.name in seen or described.name.startswith("_"):
                continue
            seen.add(described.name)
            yield from _attribute(cls, described, vars(base).get("__doc__") or "")
        for member, value in members.items():
            if member in seen or member.startswith("_"):
                continue
            function = value.fget if isinstance(value, property) else value
            if inspect.isfunction(function) and function.__doc__:
                seen.add(member)
                is_value = isinstance(value, property)
                shown = f"`{member}`" if is_value else _called(member, function)
                yield from _entry(shown, markdown(function.__doc__))


def _attribute(cls: type, described: Described, docstring: str) -> Iterator[str]:
    if re.search(rf":(ivar|param) {described.name}:", docstring):
        return
    if issubclass(cls, Enum):
        heading = f"`{described.name}`"
    else:
        annotation = f": {described.annotation}" if described.annotation else ""
        value = f" = {described.value}" if described.value else ""
        heading = f"`{described.name}{annotation}{value}`"
    yield from _entry(heading, markdown(described.text))


def _constant(name: str, home: ModuleType) -> Iterator[str]:
    described = next(entry for entry in assignments(_source(home)) if entry.name == name)
    short = described.value if "\n" not in described.value and len(described.value) < 60 else "…"
    yield f"`{name} = {short}`"
    yield ""
    yield markdown(described.text)
    yield ""


def _named(module: ModuleType) -> Iterator[tuple[str, Any, ModuleType]]:
    """Each name that a module exports, what it stands for, and the module that makes it."""
    is_package = hasattr(module, "__path__")
    for name in module.__all__:
        thing = getattr(module, name)
        home = home_of(module, name) if is_package else module.__name__
        if not is_package and getattr(thing, "__module__", None) in MODULES:
            home = thing.__module__  # what it passes on of another one
        yield name, thing, importlib.import_module(home)


def _is_class(thing: Any) -> bool:
    # On Python 3.10 a generic alias passes for a class.
    return inspect.isclass(thing) and not isinstance(thing, GenericAlias)


def _is_elsewhere(home: ModuleType, module: ModuleType) -> bool:
    """Say whether a name that *module* exports has its entry under *home*."""
    return home is not module and home.__name__ in MODULES


def _entry_of(name: str, thing: Any, home: ModuleType, documented: Documented) -> Iterator[str]:
    if _is_class(thing):
        yield from _class(name, thing, documented)
    elif inspect.isfunction(thing):
        yield from (_called(name, thing), "", markdown(thing.__doc__), "")
    else:
        yield from _constant(name, home)


def page() -> str:
    """Return the text of the page."""
    modules = [importlib.import_module(name) for name in MODULES]
    entries = {module: sorted(_named(module), key=lambda entry: entry[0]) for module in modules}
    documented: dict[type, str] = {}
    for module, names in entries.items():
        for _, thing, home in names:
            if _is_class(thing) and not _is_elsewhere(home, module):
                documented.setdefault(thing, module.__name__)
    exported = set(importlib.import_module("sansio_server").__all__)
    lines = [_HEAD]
    for module, names in entries.items():
        lines += [f"## {module.__name__}", "", markdown(module.__doc__), ""]
        elsewhere = [entry for entry in names if _is_elsewhere(entry[2], module)]
        lines += [f"`{name}` is that of `{home.__name__}`.\n" for name, _, home in elsewhere]
        for name, thing, home in names:
            if not _is_elsewhere(home, module):
                first, *rest = _entry_of(name, thing, home, documented)
                in_core = module.__name__.startswith("sansio_server")
                mark = " †" if in_core and name in exported else ""
                lines += [f"### {name}", "", first + mark, *rest]
    text = "\n".join(line.rstrip() for line in "\n".join(lines).splitlines())
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
