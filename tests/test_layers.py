"""Who may import whom: arrows point down, and the core does no I/O.

The linter bans imports in the core by name; what it can't say, these tests do: which names one
module may take of a banned one, and what each backend may know of the others.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DRIVERS = {"cli", "testing", "__main__.py"}

# The packages a package may import besides itself and the standard library.
MAY_IMPORT = {
    "sansio_server": {"attrs"},
    "sync_backend": {"attrs", "sansio_server"},
    "trio_backend": {"attrs", "greenlet", "outcome", "sansio_server", "sync_backend", "trio"},
}

# What the core needs of the standard library beside constants of `socket`: it computes and waits
# for nothing, and nobody outside the process sees it (but what it logs, and writes to stderr).
COMPUTES = {
    "__future__",
    "collections",
    "contextlib",
    "contextvars",
    "enum",
    "errno",
    "functools",
    "gc",
    "heapq",
    "inspect",
    "io",
    "itertools",
    "logging",
    "math",
    "operator",
    "re",
    "sys",
    "traceback",
    "types",
    "typing",
}

# The parts of the testing kit, and what each may import of the parts above it.
KIT = {
    "timeline": set[str](),
    "scripts": set[str](),
    "world": {"timeline", "scripts"},
    "sockets": {"timeline", "scripts", "world"},
    "servers": {"timeline", "scripts", "world", "sockets"},
    "runs": {"timeline", "scripts", "servers"},
    "simulation": {"timeline", "scripts", "world", "sockets", "servers", "runs"},
    "real_sockets": {"timeline", "scripts", "sockets", "servers", "runs"},
    "recording": set[str](),
    "offline": {"recording"},
}
# What stands above them all: the fronts for pytest and for Hypothesis, which alone import these.
KIT_FRONTS = {"__init__.py", "machine.py", "plugin.py", "strategies.py"}

FOR_TYPES = {"_typeshed", "typing_extensions"}


def core_modules() -> Iterator[Path]:
    for path in sorted((ROOT / "sansio_server").rglob("*.py")):
        if path.relative_to(ROOT / "sansio_server").parts[0] not in DRIVERS:
            yield path


def imported_names(path: Path) -> Iterator[tuple[str, str | None]]:
    """Each import in a file as (module, name), name None for the module itself."""
    tree = ast.parse(path.read_text(), str(path))
    for_types = set(imports_for_types(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node not in for_types:
            assert node.module is not None
            yield from ((node.module, alias.name) for alias in node.names)


def imports_for_types(tree: ast.AST) -> Iterator[ast.AST]:
    """Imports from the packages that only type checkers have, where only they look."""
    for block in ast.walk(tree):
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING":
            for node in block.body:
                if isinstance(node, ast.ImportFrom) and node.module in FOR_TYPES:
                    yield node


def packages_here() -> list[str]:
    return [name for name in MAY_IMPORT if list((ROOT / name).glob("*.py"))]


def modules_of(package: str) -> Iterator[Path]:
    return core_modules() if package == "sansio_server" else (ROOT / package).rglob("*.py")


@pytest.mark.parametrize("package", packages_here())
def test_arrows_point_down(package: str) -> None:
    allowed = MAY_IMPORT[package] | {package} | sys.stdlib_module_names
    strays = [
        f"{path.relative_to(ROOT)}: {module}"
        for path in modules_of(package)
        for module, _ in imported_names(path)
        if module.split(".")[0] not in allowed
    ]
    assert strays == []


def test_the_core_takes_only_constants_of_socket() -> None:
    taken = [
        (path.name, name)
        for path in core_modules()
        for module, name in imported_names(path)
        if module == "socket"
    ]
    strays = [(file, name) for file, name in taken if not (name and name.isupper())]
    assert strays == []
    assert {file for file, _ in taken} <= {"handlers.py"}


def test_the_core_takes_only_what_computes_from_the_standard_library() -> None:
    """The linter knows what is banned; this finds what nobody has thought of banning."""
    taken = {module.split(".")[0] for path in core_modules() for module, _ in imported_names(path)}
    assert taken - COMPUTES - {"attrs", "socket"} == set()


def test_the_parts_of_the_kit_have_an_order() -> None:
    parts = list(KIT)
    for at, part in enumerate(parts):
        assert KIT[part] <= set(parts[:at])
    kit = ROOT / "sansio_server" / "testing"
    assert {path.parent.name for path in kit.glob("*/*.py")} == set(parts)
    assert {path.name for path in kit.glob("*.py")} == KIT_FRONTS


@pytest.mark.parametrize("part", KIT)
def test_a_part_of_the_kit_knows_only_those_above_it(part: str) -> None:
    """Imports for types count, too: a part that is read needs no other than these."""
    kit = "sansio_server.testing"
    allowed = {f"{kit}.{each}" for each in KIT[part]}
    strays = [
        f"{path.relative_to(ROOT)}: {module}"
        for path in (ROOT / "sansio_server" / "testing" / part).glob("*.py")
        for module, _ in imported_names(path)
        if (module.startswith(kit) and ".".join(module.split(".")[:3]) not in allowed)
        or module.split(".")[0] in {"hypothesis", "pytest"}
    ]
    assert strays == []


@pytest.mark.parametrize("package", ["sansio_server", "sync_backend"])
def test_importing_it_does_not_load_trio(package: str) -> None:
    # A fork's cost follows the size of the parent: trio would double it.
    code = f"import sys, {package}; sys.exit('trio' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=30)
